"""Rows as serialized tf.train.Example messages, without importing TensorFlow, which takes seconds.

The wire format of protocol buffers is in https://protobuf.dev/programming-guides/encoding, the
messages in tensorflow/core/example/example.proto and feature.proto.
"""

import numpy as np

_BYTES, _FLOATS, _WHOLE = 1, 2, 3  # fields of a Feature


def kind_of(dtype):
    """The kind in which a tf.train.Example holds values of a dtype: "int64", "float32" or "string".

    Args:
        dtype: NumPy's name, or "string".

    Raises:
        ValueError: if it cannot hold them.
    """
    if dtype == "string":
        return "string"
    if dtype.startswith(("int", "uint", "bool")):
        return "int64"
    if dtype.startswith(("float", "bfloat")):
        return "float32"
    raise ValueError(f"a tf.train.Example cannot hold values of dtype {dtype}")


def serialized(columns, padding=None):
    """Rows as messages.

    Args:
        columns: dict from features' names to arrays of shape (rows,) or (rows, values); strings are
            arrays of objects, `str` or `bytes`.
        padding: dict from names to the value that pads rows at the end; it is left out of the
            messages.

    Returns:
        Array of objects, shape (rows,), each of them bytes.

    Example:
        >>> serialized({"item": np.array([300])})[0].hex(" ")
        '0a 10 0a 0e 0a 04 69 74 65 6d 12 06 1a 04 0a 02 ac 02'
    """
    padding = padding or {}
    rows = len(next(iter(columns.values())))
    messages = np.empty(rows, object)
    for row in range(rows):
        entries = []
        for name, array in columns.items():
            values = array[row : row + 1].reshape(-1)
            if name in padding and array.ndim > 1:
                values = values[: len(values) - _padded(values, padding[name])]
            entry = _field(1, name.encode()) + _field(2, _feature(values))
            entries.append(_field(1, entry))
        messages[row] = _field(1, b"".join(entries))
    return messages


def _padded(values, padding):
    """How many values at the end of each row are padding."""
    texts = [value.decode() if isinstance(value, bytes) else value for value in values[::-1]]
    return next((index for index, value in enumerate(texts) if value != padding), len(texts))


def _feature(values):
    if values.dtype == object:
        texts = (value.encode() if isinstance(value, str) else value for value in values)
        return _field(_BYTES, b"".join(_field(1, text) for text in texts))
    if kind_of(values.dtype.name) == "float32":
        return _field(_FLOATS, _field(1, values.astype("<f4").tobytes()))
    packed = b"".join(_varint(int(value) % 2**64) for value in values)
    return _field(_WHOLE, _field(1, packed))


def _field(number, content):
    """A field of known length: its number and wire type 2, the length, the content."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value):
    """A non-negative integer: seven bits per byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
