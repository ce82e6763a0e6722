"""Loads SavedModels through TensorFlow's C API, without `import tensorflow`.

The C++ loader and session behind it are those of TensorFlow Serving, so the server accepts a model
that runs here. They load in a second, not ten. TensorFlow must be installed, because its library is
loaded.
"""

import ctypes
import dataclasses
import os
import re
import weakref
from pathlib import Path

import ml_dtypes  # noqa: F401 - so that NumPy knows bfloat16
import numpy as np
from google.protobuf import unknown_fields
from google.protobuf.empty_pb2 import Empty

from rocket_tf.errors import LoaderError
from rocket_tf.serving.c_api import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    Output,
    call,
    load_library,
)
from rocket_tf.system import files

_DTYPES = {  # from tensorflow/core/framework/types.proto
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_REFERENCE = 100  # added to the number of a dtype for a reference to a variable
_DTYPE_NUMBERS = {name: number for number, name in _DTYPES.items()}
_STRING_BYTES = 24  # of a TF_TString
_MOST_THREADS = 127  # bits of payload in a byte of a varint
_INTERNAL_SIGNATURES = ("__saved_model_init_op",)


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        tensor: its name in the graph.
        dtype: NumPy's name of its dtype, or "string".
        shape: tuple with `None` for what may vary; `None` if nothing is known.
    """

    tensor: str
    dtype: str
    shape: tuple | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a signature: dicts from names to `TensorInfo`."""

    inputs: dict
    outputs: dict


class LoadedModel:
    """A SavedModel in its own session.

    Args:
        directory: the SavedModel's folder.
        threads: threads of an operation and between operations; 0: as many as there are cores.
            TensorFlow keeps to the first number that a process asks for.

    Attributes:
        signatures: dict from names to `Signature`.

    Raises:
        LoaderError: if it cannot be loaded; the message is TensorFlow's own.
    """

    def __init__(self, directory, threads=0):
        if not 0 <= threads <= _MOST_THREADS:
            raise ValueError(f"threads must be 0 to {_MOST_THREADS}. Received: threads={threads}")
        self.signatures = read_signatures(directory)
        _check_files(directory)
        library = load_library()
        self._graph = library.TF_NewGraph()
        options = library.TF_NewSessionOptions()
        try:
            if threads:
                config = _session_config(threads)
                call("TF_SetConfig", options, config, len(config))
            self._session = call(
                "TF_LoadSessionFromSavedModel",
                options,
                None,
                os.fsencode(directory),
                (ctypes.c_char_p * 1)(b"serve"),
                1,
                self._graph,
                None,
            )
        except LoaderError:
            library.TF_DeleteGraph(self._graph)
            raise
        finally:
            library.TF_DeleteSessionOptions(options)
        self._free_session = weakref.finalize(self, _free_session, self._session, self._graph)
        for name, signature in self.signatures.items():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                self._check_tensor(name, info)

    def predict(self, inputs, signature="serving_default", outputs=None):
        """Answers one request.

        Args:
            inputs: dict from the signature's input names to arrays; of bytes for strings. As on the
                server, dtypes must be those of the signature.
            signature: name of the signature.
            outputs: names of the outputs to return; `None`: all.

        Returns:
            Dict from the signature's output names to arrays; strings as arrays of bytes objects.

        Raises:
            LoaderError: if there is no such signature, inputs are missing, unknown or of another
                dtype, or TensorFlow cannot compute the outputs.
        """
        if not self._free_session.alive:
            raise LoaderError("the model has been closed", FAILED_PRECONDITION)
        info = self._signature(signature)
        if inputs.keys() != info.inputs.keys():
            raise LoaderError(
                f"{signature} takes {sorted(info.inputs)}, got {sorted(inputs)}",
                INVALID_ARGUMENT,
            )
        arrays = {name: _checked(name, array, info.inputs[name]) for name, array in inputs.items()}
        outputs = list(info.outputs) if outputs is None else outputs
        unknown = set(outputs) - info.outputs.keys()
        if unknown:
            raise LoaderError(
                f"{signature} returns {sorted(info.outputs)}, not {sorted(unknown)}",
                INVALID_ARGUMENT,
            )
        tensors = [_to_tensor(array) for array in arrays.values()]
        try:
            return self._run(info, list(arrays), tensors, outputs)
        finally:
            for array, tensor in zip(arrays.values(), tensors, strict=True):
                _free_tensor(array, tensor)

    def close(self):
        """Ends the session and frees its memory; so does the garbage collector."""
        self._free_session()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _signature(self, signature):
        if signature not in self.signatures:
            raise LoaderError(
                f"Serving signature key {signature!r} not found; there are "
                f"{', '.join(sorted(self.signatures))}",
                FAILED_PRECONDITION,
            )
        return self.signatures[signature]

    def _run(self, signature, names, tensors, output_names):
        inputs = (Output * len(names))(
            *[self._output(signature.inputs[name].tensor) for name in names]
        )
        outputs = (Output * len(output_names))(
            *[self._output(signature.outputs[name].tensor) for name in output_names]
        )
        results = (ctypes.c_void_p * len(outputs))()
        call(
            "TF_SessionRun",
            self._session,
            None,
            inputs,
            (ctypes.c_void_p * len(tensors))(*tensors),
            len(inputs),
            outputs,
            results,
            len(outputs),
            None,
            0,
            None,
        )
        return {name: _to_array(tensor) for name, tensor in zip(output_names, results, strict=True)}

    def _check_tensor(self, signature, info):
        """Checks that the graph has a tensor; a session would read any memory for a missing one."""
        library, output = load_library(), self._output(info.tensor)
        problem = None
        if not output.operation:
            problem = "which is not in its graph"
        elif not 0 <= output.index < library.TF_OperationNumOutputs(output.operation):
            problem = "which its operation does not output"
        else:
            number = library.TF_OperationOutputType(output) % _REFERENCE
            dtype = _DTYPES.get(number, f"dtype {number}")
            if dtype != info.dtype:
                problem = f"{dtype} in its graph, as {info.dtype}"
        if problem:
            raise LoaderError(
                f"the signature {signature} names the tensor {info.tensor}, {problem}; export the "
                "net again",
                INVALID_ARGUMENT,
            )

    def _output(self, tensor_name):
        operation, _, index = tensor_name.partition(":")
        if not re.fullmatch(r"\d{0,9}", index, re.ASCII):
            return Output(None, 0)
        pointer = load_library().TF_GraphOperationByName(self._graph, operation.encode())
        return Output(pointer, int(index or 0))


def _check_files(directory):
    """Checks that all that TensorFlow may open are regular files: it would wait for a pipe."""
    for path in Path(directory).rglob("*"):
        if path.exists() and not path.is_dir() and not path.is_file():
            raise LoaderError(f"{path} is not a regular file", FAILED_PRECONDITION)


def _free_session(session, graph):
    call("TF_CloseSession", session)
    call("TF_DeleteSession", session)
    load_library().TF_DeleteGraph(graph)


def _checked(name, value, info):
    """An input as an array of the signature's dtype; strings as an array of objects."""
    array = np.asarray(value, object if info.dtype == "string" else None)
    if info.dtype == "string":
        strays = {type(text).__name__ for text in array.flat if not isinstance(text, bytes | str)}
        dtype = ", ".join(sorted(strays)) or "string"
    else:
        dtype = "string" if array.dtype.kind in "SU" else array.dtype.name
    if dtype != info.dtype:
        raise LoaderError(f"{name} must be {info.dtype}, got {dtype}", INVALID_ARGUMENT)
    return array


def _to_tensor(array):
    library = load_library()
    is_string = array.dtype == object
    number = _DTYPE_NUMBERS["string" if is_string else array.dtype.name]
    size = array.size * _STRING_BYTES if is_string else array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = library.TF_AllocateTensor(number, shape, array.ndim, size)
    data = library.TF_TensorData(tensor)
    if not is_string:
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
        return tensor
    for index, text in enumerate(array.flat):
        content = text.encode() if isinstance(text, str) else text
        address = data + index * _STRING_BYTES
        library.TF_StringInit(address)
        library.TF_StringCopy(address, content, len(content))
    return tensor


def _to_array(tensor):
    """The tensor's content; frees the tensor."""
    library = load_library()
    dtype = _DTYPES.get(library.TF_TensorType(tensor))
    if dtype is None:
        library.TF_DeleteTensor(tensor)
        raise LoaderError("an output has a dtype that NumPy lacks", INVALID_ARGUMENT)
    shape = tuple(library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor)))
    data = library.TF_TensorData(tensor)
    if dtype == "string":
        array = np.empty(shape, object)
        flat = array.reshape(-1)
        for index in range(array.size):
            address = data + index * _STRING_BYTES
            start = library.TF_StringGetDataPointer(address)
            flat[index] = ctypes.string_at(start, library.TF_StringGetSize(address))
    else:
        array = np.empty(shape, dtype)
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
    library.TF_DeleteTensor(tensor)
    return array


def _free_tensor(array, tensor):
    library = load_library()
    if array.dtype == object:
        data = library.TF_TensorData(tensor)
        for index in range(array.size):
            library.TF_StringDealloc(data + index * _STRING_BYTES)
    library.TF_DeleteTensor(tensor)


def read_signatures(directory):
    """The signatures of a SavedModel for serving.

    Args:
        directory: the SavedModel's folder.

    Returns:
        Dict from names to `Signature`.

    Raises:
        LoaderError: if the folder holds no readable SavedModel.
    """
    path = Path(directory) / "saved_model.pb"
    try:
        (meta_graph,) = _fields(files.read_bytes(path))[2]
        signatures = {}
        for entry in map(_fields, _fields(meta_graph).get(5, [])):
            name, signature = entry[1][0].decode(), _fields(entry[2][0])
            if name not in _INTERNAL_SIGNATURES:
                signatures[name] = Signature(
                    _tensor_infos(signature.get(1, [])), _tensor_infos(signature.get(2, []))
                )
        return signatures
    except FileNotFoundError:
        raise LoaderError(
            f"{directory} is not a SavedModel: it has no saved_model.pb", FAILED_PRECONDITION
        ) from None
    except OSError as error:
        raise LoaderError(
            f"{path} cannot be read: {error.strerror}", FAILED_PRECONDITION
        ) from error
    except Exception as error:  # other content may raise any error
        raise LoaderError(
            f"{path} cannot be read as a SavedModel of one graph ({type(error).__name__})",
            FAILED_PRECONDITION,
        ) from error


def _tensor_infos(entries):
    infos = {}
    for entry in map(_fields, entries):
        info = _fields(entry[2][0])
        infos[entry[1][0].decode()] = TensorInfo(
            tensor=info[1][0].decode(),
            dtype=_DTYPES.get(info[2][0], f"dtype {info[2][0]}"),
            shape=_shape(_fields(info[3][0])) if 3 in info else None,
        )
    return dict(sorted(infos.items()))


def _shape(shape):
    if shape.get(3, [0])[0]:  # of unknown rank
        return None
    sizes = [_fields(dimension).get(1, [0])[0] for dimension in shape.get(2, [])]
    return tuple(None if size >= 2**63 else size for size in sizes)  # -1 reads as 2**64 - 1


def _fields(content):
    """The fields of a protocol buffer by number, each a list of ints and bytes.

    TensorFlow's own classes would do this, but importing them imports all of TensorFlow.
    """
    message = Empty()
    message.ParseFromString(content)
    fields = {}
    for field in unknown_fields.UnknownFieldSet(message):
        fields.setdefault(field.field_number, []).append(field.data)
    return fields


def _session_config(threads):
    """A ConfigProto with intra_op (field 2) and inter_op (field 5) parallelism_threads."""
    return bytes([2 << 3, threads, 5 << 3, threads])
