"""The light net alone, as a SavedModel for TensorFlow Serving."""

import os
import re
import shutil
from pathlib import Path

import keras
import tensorflow as tf


def export_light(model, directory, class_names=None, input_dtype=None):
    """Writes the inference path of the light net to `<directory>/<version>/`.

    The SavedModel holds each variable that the light net reads once, and nothing of the booster,
    the optimizer or random generators. Its signature `serving_default` takes the net's inputs by
    their names (characters other than letters, digits and underscores become underscores), for any
    batch size unless the net fixes one. It returns

    - `logits`: float32, shape (batch, ..., classes);
    - `probabilities`: their softmax; of a single logit, its sigmoid;
    - `classes`: int64, shape (batch, ...), the most probable class; of a single logit, 0 or 1;
    - `class_names`: string, the classes by name, where `class_names` are given.

    The folder gets its final name when all of it is written. Versions count up from 1; nothing is
    ever overwritten.

    Args:
        model: a `RocketModel`, or a functional `keras.Model` to export as it is.
        directory: the model's folder, as TensorFlow Serving's `base_path`.
        class_names: names of the classes, in their order.
        input_dtype: dtype of the inputs, cast to the net's own inside. `None`: uint8 for a net on
            pixels (one input of shape (batch, height, width, channels), read by a `Normalization`
            or `Rescaling` layer alone), the net's own otherwise.

    Returns:
        `pathlib.Path` of the version that was written.

    Raises:
        ValueError: if the number of class names is not that of the classes.
        OSError: if the folder cannot be written.
    """
    light = getattr(model, "light", model)
    classes = light.outputs[0].shape[-1]
    if class_names is not None and len(class_names) != max(classes, 2):
        raise ValueError(
            f"class_names must name each of the {max(classes, 2)} classes. "
            f"Received {len(class_names)}: {list(class_names)}"
        )
    if input_dtype is None and _normalizes_pixels(light):
        input_dtype = "uint8"
    serve = _serving_function(light, class_names, input_dtype)
    module = tf.Module()
    module.light_variables = list(serve.variables)
    module.tables = _lookup_tables(light)

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    version = directory / str(_next_version(directory))
    partial = directory / f".{version.name}.{os.getpid()}.partial"
    try:
        tf.saved_model.save(module, str(partial), signatures={"serving_default": serve})
        os.rename(partial, version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return version


def _serving_function(light, class_names, input_dtype):
    names = [re.sub(r"\W", "_", tensor.name) for tensor in light.inputs]
    specifications = {
        name: tf.TensorSpec(tensor.shape, input_dtype or tensor.dtype, name=name)
        for name, tensor in zip(names, light.inputs, strict=True)
    }
    class_table = None if class_names is None else tf.constant(list(class_names))

    @tf.function(autograph=False)
    def serve(**tensors):
        flat = [
            tensors[name] if tensor.dtype == "string" else tf.cast(tensors[name], tensor.dtype)
            for name, tensor in zip(names, light.inputs, strict=True)
        ]
        logits = light(keras.tree.pack_sequence_as(light.input, flat), training=False)
        logits = tf.cast(logits, tf.float32)
        outputs = {"logits": logits}
        if logits.shape[-1] == 1:
            outputs["probabilities"] = tf.sigmoid(logits)
            outputs["classes"] = tf.cast(logits[..., 0] > 0, tf.int64)
        else:
            outputs["probabilities"] = tf.nn.softmax(logits)
            outputs["classes"] = tf.argmax(logits, axis=-1)
        if class_table is not None:
            outputs["class_names"] = tf.gather(class_table, outputs["classes"])
        return outputs

    return serve.get_concrete_function(**specifications)


def _lookup_tables(light):
    """The tables that layers such as `StringLookup` read, which are no variables."""
    return [
        value
        for layer in light._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]


def _normalizes_pixels(light):
    """Whether a net takes raw pixels: all that reads its only input is a normalisation."""
    if len(light.inputs) != 1 or len(light.inputs[0].shape) != 4:
        return False
    readers = [
        layer
        for layer in light.layers
        for node in layer._inbound_nodes
        if any(tensor is light.inputs[0] for tensor in node.input_tensors)
    ]
    return bool(readers) and all(
        isinstance(layer, keras.layers.Normalization | keras.layers.Rescaling) for layer in readers
    )


def _next_version(directory):
    versions = [int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal()]
    return max(versions, default=0) + 1
