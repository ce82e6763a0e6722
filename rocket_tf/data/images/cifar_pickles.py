"""Reads CIFAR's pickles without running any code that they name.

It does not import TensorFlow.
"""

import io
import pickle

import numpy as np

from rocket_tf.data.local_files import reason_of
from rocket_tf.errors import DamagedDataError


def read(source, content):
    """Reads a pickled dictionary.

    It calls no class or function outside this file, not even NumPy's: the state of an array can be
    forged so that NumPy takes numbers for addresses.

    Args:
        source: the file, for messages.
        content: bytes, pickled by Python 2 or 3.

    Returns:
        A dict with strings as keys. Strings of Python 2 are bytes; `to_array` converts arrays.

    Raises:
        DamagedDataError: if it is not a pickled dictionary, or names a class or function that CIFAR
            does not need.
    """
    try:
        unpickled = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DamagedDataError(
            f"{source}: its pickle names {error}, which CIFAR does not need and which may be "
            "malicious; download the archive again from its authors"
        ) from error
    except Exception as error:  # the unpickler raises many kinds of errors
        raise DamagedDataError(f"{source}: not a complete pickle ({reason_of(error)})") from error
    if not isinstance(unpickled, dict):
        raise DamagedDataError(f"{source}: contains a {type(unpickled).__name__}, expected a dict")
    return {
        key.decode("latin-1") if isinstance(key, bytes) else str(key): value
        for key, value in unpickled.items()
    }


def to_array(source, value):
    """Converts an array that `read` found to NumPy: uint8, with the shape that was pickled.

    Raises:
        DamagedDataError: if it is not an array of bytes, or incomplete.
    """
    if not isinstance(value, _Array) or value.state is None:
        raise DamagedDataError(f"{source}: images are a {type(value).__name__}, expected an array")
    try:
        _, shape, dtype, is_fortran, content = value.state
        if dtype.name not in ("u1", b"u1", "|u1", b"|u1"):
            raise ValueError(f"dtype {dtype.name}, expected u1")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")
    except Exception as error:  # the state may be anything
        raise DamagedDataError(f"{source}: not an array of bytes ({reason_of(error)})") from error


class _RefusedError(pickle.UnpicklingError):
    """A pickle names a class or function that is refused."""


class _Array:
    """Stands in for numpy.ndarray and keeps its pickled state."""

    state = None

    def __setstate__(self, state):
        self.state = state


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, name, *_):
        self.name = name

    def __setstate__(self, state):
        pass  # byte order and the like, which do not matter for bytes


def _reconstruct(*_):
    return _Array()


def _encode(text, _):
    """Bytes, which Python 3 writes in protocol 2 as text in Latin-1."""
    return text.encode("latin-1")


def _empty_bytes():
    return b""


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise _RefusedError(ascii(f"{module}.{name}"))
        return _ADMITTED[module, name]

    def persistent_load(self, pid):
        raise _RefusedError("a persistent object")
