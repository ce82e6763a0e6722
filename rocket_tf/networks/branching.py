"""A light net that branches off within any booster: the paper's bottom layout for any net."""

import difflib
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from rocket_tf.core import graph, keras_internals


def branch(
    booster: keras.Model,
    layer: str,
    head: Callable[[Any], Any] | None = None,
    name: str = "light",
) -> keras.Model:
    """A light net made of a booster's layers up to one of them, and its own head.

    The layers up to that one are shared, including batch normalizations (which are separate in the
    paper's nets). To branch inside a net that is a layer of another, branch that net itself.

    Args:
        booster: functional (or sequential) `keras.Model` that gives logits, shape
            (batch, ..., classes), or a dict of several.
        layer: name of the layer whose output the light net's head takes.
        head: a layer, or a function that calls layers, from that output, a symbolic tensor, to
            logits of the booster's shape, or a dict of several. `None`, for logits of shape
            (batch, classes): global average pooling, if the output has rank 3 to 5, and a dense
            layer.
        name: name of the light net, with which the default head's layers' names begin.

    Returns:
        The light net, a `keras.Model` over the booster's own inputs.

    Raises:
        ValueError: if the booster has no such layer, if the layer is called several times or has
            several outputs, or if the shapes of the head's and the booster's logits differ.

    Example:
        >>> import keras
        >>> from rocket_tf.networks import branch
        >>> booster = keras.Sequential([
        ...     keras.Input((5,)),
        ...     keras.layers.Dense(4, name="low"),
        ...     keras.layers.Dense(16),
        ...     keras.layers.Dense(3),
        ... ])
        >>> [layer.name for layer in branch(booster, "low").layers][1:]
        ['low', 'light_logits']
    """
    booster = graph.as_functional("booster", booster)
    names = [booster_layer.name for booster_layer in booster.layers]
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.3)
        raise ValueError(
            f"The booster has no layer {layer!r} to branch off at. Nearest by name: "
            f"{near or 'none'}; [layer.name for layer in booster.layers] lists them all"
        )
    # Only in this graph; the layer may also be in others.
    calls = keras_internals.calls_in(booster)
    features = [call.outputs for call in calls if call.operation.name == layer]
    if len(features) != 1 or len(features[0]) != 1:
        raise ValueError(
            "A light net branches off at a layer with one output, called once. Received: "
            f"layer={layer!r}, which is called {len(features)} times or gives several outputs"
        )
    [[features]] = features
    logits = _default_head(features, booster, name) if head is None else head(features)
    head_shape, booster_shape = (
        keras.tree.map_structure(_shape, net) for net in (logits, booster.output)
    )
    if head_shape != booster_shape:
        raise ValueError(
            f"The head's logits have shape {head_shape}, expected the booster's {booster_shape}; "
            "pass a head that gives such logits, a layer or a function that calls layers"
        )
    return keras.Model(booster.input, logits, name=name)


def _default_head(features, booster, name):
    pools = {
        3: layers.GlobalAveragePooling1D,
        4: layers.GlobalAveragePooling2D,
        5: layers.GlobalAveragePooling3D,
    }
    rank = len(features.shape)
    if keras.tree.is_nested(booster.output) or rank not in (2, *pools):
        raise ValueError(
            "Without a head of yours, a light net branches off at an output of rank 2 to 5, from a "
            f"booster with one output. Received: an output of shape {features.shape}, a booster "
            f"with outputs {keras.tree.map_structure(_shape, booster.output)}; pass head=..."
        )
    if rank > 2:
        features = pools[rank](name=f"{name}_pool")(features)
    classes = booster.output.shape[-1]
    return layers.Dense(classes, dtype="float32", name=f"{name}_logits")(features)


def _shape(tensor):
    return tensor.shape
