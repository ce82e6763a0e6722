"""Converts nets for LiteRT (phones, small machines) and ONNX, and to `.keras` files."""

import logging
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.core import tensorflow_internals
from rocket_tf.errors import ExportError
from rocket_tf.serving.answers import tasks_of
from rocket_tf.serving.folding import as_constants, fold_batch_normalization
from rocket_tf.serving.signatures import DEFAULT, input_names, make_functions, signatures_of
from rocket_tf.system.startup import stderr_kept_back

_OPSET = 18


def to_keras(net):
    """The net in Keras's format, for another training.

    Args:
        net: functional `keras.Model`.

    Returns:
        bytes, the content of a `.keras` file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.keras"
        net.save(path)
        return path.read_bytes()


def to_litert(net, calibration=None, multi_label=False):
    """The net's inference for LiteRT, as a flat buffer.

    It has one signature, `serving_default`, with the inputs, the outputs and the batch sizes of the
    SavedModel's, less `class_names`.

    Args:
        net: functional `keras.Model` of float32, logits as its output.
        calibration: inputs of the net, arrays in the structure of its inputs, whose activations
            set the ranges of an int8 model; `None`: a float32 model.
        multi_label: whether each of several logits is a separate yes or no.

    Returns:
        bytes, the content of a `.tflite` file.

    Raises:
        ExportError: if the converter fails.
    """
    function = _frozen_function(net, multi_label)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    if calibration is not None:
        arrays = dict(zip(input_names(net), keras.tree.flatten(calibration), strict=True))
        specifications = function.structured_input_signature[1]
        arrays = {
            name: np.asarray(array).astype(specifications[name].dtype.as_numpy_dtype)
            for name, array in arrays.items()
        }
        examples = len(next(iter(arrays.values())))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            {name: array[index : index + 1] for name, array in arrays.items()}
            for index in range(examples)
        )
    with warnings.catch_warnings():
        # The converter calibrates with TensorFlow's own interpreter, which is deprecated.
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        try:
            with stderr_kept_back(Exception):
                return converter.convert()
        except Exception as error:  # it raises many kinds of errors, also if the disk is full
            raise ExportError(f"LiteRT's converter fails: {_last_line(error)}") from error


def to_onnx(net, multi_label=False):
    """The net's inference as an ONNX model of opset 18.

    Inputs, outputs and batch sizes are those of the SavedModel's `serving_default`, less
    `class_names`.

    Args:
        net: functional `keras.Model` of float32, logits as its output.
        multi_label: as for `to_litert`.

    Returns:
        bytes, the content of an `.onnx` file.

    Raises:
        ExportError: if the converter fails.
    """
    import tf2onnx

    function = _frozen_function(net, multi_label)
    frozen = tensorflow_internals.with_constants(
        function
    )  # it warns about objects in layers that are not variables
    outputs = dict(zip(sorted(function.structured_outputs), frozen.outputs, strict=True))
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            name=net.name,
            input_names=[tensor.name for tensor in frozen.inputs],
            output_names=[tensor.name for tensor in outputs.values()],
            tensors_to_rename={tensor.name: name for name, tensor in outputs.items()}
            | {tensor.name: tensor.op.name for tensor in frozen.inputs},
            opset=_OPSET,
        )
    except Exception as error:  # of many kinds
        raise ExportError(f"tf2onnx fails: {_last_line(error)}") from error
    return model.SerializeToString()


def _last_line(error):
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}"


def _frozen_function(net, multi_label):
    folded, _ = fold_batch_normalization(net)
    tasks = tasks_of(net, multi_label=multi_label or None)
    return make_functions(signatures_of(net), as_constants(folded), tasks=tasks)[DEFAULT]
