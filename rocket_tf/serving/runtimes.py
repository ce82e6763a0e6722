"""Exports in the runtimes that serve them, with one interface; TensorFlow is not imported."""

import importlib.util
from pathlib import Path

import numpy as np

from rocket_tf.errors import ConfigError
from rocket_tf.system import files
from rocket_tf.system.startup import stderr_kept_back

INSTALL = 'pip install "rocket_tf[formats]", or in a clone: pip install -e ".[formats]"'
# By runtime: the package that it comes in.
PACKAGES = {
    "tensorflow": "tensorflow",
    "litert": "ai_edge_litert",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}


# By format: the packages besides TensorFlow that write and check it.
FORMATS = {
    "savedmodel": (),
    "litert": ("ai_edge_litert",),
    "onnx": ("tf2onnx", "onnxruntime"),
    "keras": (),
}


def check_formats(formats):
    """Checks names of formats, and that their packages are installed.

    Raises:
        ConfigError: if they are not.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(
                f"--formats: got {name!r}, expected some of {','.join(FORMATS)}, with commas "
                "between"
            )
        if missing(*FORMATS[name]):
            raise ConfigError(
                f"--formats: {name} needs {' and '.join(missing(*FORMATS[name]))}, not installed "
                f"here; {INSTALL}"
            )


def check_folder(folder, formats):
    """Checks that exports in a folder can be loaded from there.

    Raises:
        ConfigError: if TensorFlow reads the path as a pattern, and so cannot load a SavedModel.
    """
    if "savedmodel" in formats and files.is_pattern(folder):
        raise ConfigError(
            f"--output: got {str(folder)!r}, expected a path without [ ] and \\, which TensorFlow "
            "reads as a pattern when it loads a SavedModel; use another folder"
        )


def missing(*packages):
    """The packages that are not installed."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def load(path, threads=0, runtime=None, logits_alone=False):
    """An export, ready to answer.

    Args:
        path: folder of a SavedModel, or a `.tflite` or `.onnx` file.
        threads: number of threads; 0: the runtime decides.
        runtime: a key of `PACKAGES`; `None`: that of the path's format, ONNX Runtime for `.onnx`.
        logits_alone: whether to return only `logits`, if the export has them and the runtime can.

    Returns:
        Function from a dict of inputs by name, as NumPy arrays, to a dict of outputs, with the
        attribute `inputs`: dict from names to `(dtype, shape)`.

    Raises:
        ConfigError: if there is no such export, or its runtime is not installed or cannot load it.
    """
    path = Path(path)
    runtime = runtime or _runtime_of(path)
    package = PACKAGES[runtime]
    if missing(package):
        raise ConfigError(f"{path}: needs {package}, which is not installed; {INSTALL}")
    try:
        if path.exists() and not path.is_dir():
            files.check_regular(path)
        with stderr_kept_back(Exception):
            return _LOADERS[runtime](path, threads, logits_alone)
    except Exception as error:  # runtimes may raise any error
        message = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: {package} cannot load it: {message}") from error


def _runtime_of(path):
    if path.is_dir():
        return "tensorflow"
    by_suffix = {".tflite": "litert", ".onnx": "onnxruntime"}
    if not path.exists() or path.suffix not in by_suffix:
        raise ConfigError(
            f"{path}: expected the folder of a SavedModel, or a .tflite or .onnx file; "
            + ("that is another kind of file" if path.exists() else "it does not exist")
        )
    return by_suffix[path.suffix]


class _TensorFlow:
    """`serving_default` of a SavedModel, in a session of TensorFlow's C++ library."""

    def __init__(self, path, threads, logits_alone):
        from rocket_tf.serving.c_loader import LoadedModel

        self._model = LoadedModel(path, threads)
        signature = self._model.signatures["serving_default"]
        self.inputs = {name: (info.dtype, info.shape) for name, info in signature.inputs.items()}
        self._outputs = _chosen_outputs(signature.outputs, logits_alone)

    def __call__(self, inputs):
        return self._model.predict(inputs, outputs=self._outputs)


class _LiteRT:
    def __init__(self, path, threads, logits_alone):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=threads or None)
        self._interpreter.allocate_tensors()
        self._run = self._interpreter.get_signature_runner("serving_default")
        self.inputs = {
            name: (np.dtype(detail["dtype"]).name, _open_shape(detail["shape_signature"]))
            for name, detail in self._run.get_input_details().items()
        }

    def __call__(self, inputs):
        return self._run(**inputs)


class _OnnxRuntime:
    def __init__(self, path, threads, logits_alone):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        outputs = [output.name for output in self._session.get_outputs()]
        self._outputs = _chosen_outputs(outputs, logits_alone)
        self.inputs = {
            tensor.name: (_ONNX_DTYPES.get(tensor.type, tensor.type), _open_shape(tensor.shape))
            for tensor in self._session.get_inputs()
        }

    def __call__(self, inputs):
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))


class _OpenVino:
    def __init__(self, path, threads, logits_alone):
        import openvino

        core = openvino.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
        self._request = compiled.create_infer_request()
        outputs = [output.get_any_name() for output in compiled.outputs]
        self._outputs = _chosen_outputs(outputs, logits_alone)
        self.inputs = {
            tensor.get_any_name(): (
                tensor.element_type.to_dtype().name,
                tuple(
                    None if size.is_dynamic else size.get_length()
                    for size in tensor.get_partial_shape()
                ),
            )
            for tensor in compiled.inputs
        }

    def __call__(self, inputs):
        self._request.infer(inputs)
        return {name: np.array(self._request.get_tensor(name).data) for name in self._outputs}


_LOADERS = {
    "tensorflow": _TensorFlow,
    "litert": _LiteRT,
    "onnxruntime": _OnnxRuntime,
    "openvino": _OpenVino,
}
_ONNX_DTYPES = {
    "tensor(uint8)": "uint8",
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(string)": "string",
}


def _chosen_outputs(outputs, logits_alone):
    return ["logits"] if logits_alone and "logits" in outputs else list(outputs)


def _open_shape(shape):
    """A shape with `None` for sizes that may vary, which runtimes write as -1 or as a name."""
    return tuple(
        int(size) if isinstance(size, int | np.integer) and size >= 0 else None for size in shape
    )
