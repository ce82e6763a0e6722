"""The part of TensorFlow's C API that loads and runs SavedModels, called by ctypes.

TensorFlow must be installed, because its library is loaded; `import tensorflow` is not needed.
"""

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

from rocket_tf.errors import LoaderError

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9


def call(function, *arguments):
    """Calls a function whose last parameter is a status, and raises an error for a bad status."""
    library = load_library()
    status = library.TF_NewStatus()
    try:
        result = getattr(library, function)(*arguments, status)
        code = library.TF_GetCode(status)
        if code:
            message = library.TF_Message(status).decode(errors="replace")
            raise LoaderError(" ".join(message.split()), code)
        return result
    finally:
        library.TF_DeleteStatus(status)


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


_POINTER = ctypes.c_void_p
_FUNCTIONS = {  # of tensorflow/c/c_api.h and tf_tensor.h: result, arguments
    "TF_NewStatus": (_POINTER, []),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_GetCode": (ctypes.c_int, [_POINTER]),
    "TF_Message": (ctypes.c_char_p, [_POINTER]),
    "TF_NewGraph": (_POINTER, []),
    "TF_DeleteGraph": (None, [_POINTER]),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_SetConfig": (None, [_POINTER, ctypes.c_char_p, ctypes.c_size_t, _POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [
            _POINTER,
            _POINTER,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_int,
            _POINTER,
            _POINTER,
            _POINTER,
        ],
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, ctypes.c_char_p]),
    "TF_OperationNumOutputs": (ctypes.c_int, [_POINTER]),
    "TF_OperationOutputType": (ctypes.c_int, [Output]),
    "TF_SessionRun": (
        None,
        [
            _POINTER,
            _POINTER,
            ctypes.POINTER(Output),
            ctypes.POINTER(_POINTER),
            ctypes.c_int,
            ctypes.POINTER(Output),
            ctypes.POINTER(_POINTER),
            ctypes.c_int,
            _POINTER,
            ctypes.c_int,
            _POINTER,
            _POINTER,
        ],
    ),
    "TF_AllocateTensor": (
        _POINTER,
        [ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_size_t],
    ),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_TensorType": (ctypes.c_int, [_POINTER]),
    "TF_NumDims": (ctypes.c_int, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, ctypes.c_int]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringCopy": (None, [_POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "TF_StringDealloc": (None, [_POINTER]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (ctypes.c_size_t, [_POINTER]),
}


@functools.cache
def load_library():
    """TensorFlow's shared library, from where it is installed."""
    installed = importlib.util.find_spec("tensorflow")
    if installed is None:
        raise LoaderError("TensorFlow is not installed: pip install tensorflow", 9)
    folder = Path(installed.origin).parent
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    library = ctypes.CDLL(str(next(folder.glob("libtensorflow_cc.*"))))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
