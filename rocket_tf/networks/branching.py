"""A light net that branches off within any booster: the paper's bottom layout for any net."""

import difflib

import keras
from keras import layers


def branch(booster, layer, head=None, name="light"):
    """A light net that is a booster's layers up to one of them, with a head of its own.

    What lies below is shared, batch normalisations too (in the paper's nets those are separate). A
    net that is a layer of another cannot be branched from within: branch from the net itself.

    Args:
        booster: functional `keras.Model` that gives logits, shape (batch, ..., classes).
        layer: name of the layer whose output the light net's head takes.
        head: from that output, a symbolic tensor, to logits of the booster's shape: a layer, or any
            function that calls layers. `None`: global average pooling, where the output has rank
            3 or more, and a dense layer.
        name: name of the light net, of which the default head's layers have theirs.

    Returns:
        The light net, a `keras.Model` over the booster's own inputs.

    Raises:
        ValueError: if the booster has no such layer, the layer has several outputs, or the head's
            logits have another shape than the booster's.
    """
    if not isinstance(booster, keras.Model) or not getattr(booster, "inputs", None):
        raise ValueError(
            f"branch needs a functional keras.Model. Received: booster={booster!r} of type "
            f"{type(booster).__name__}"
        )
    names = [each.name for each in booster.layers]
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.3)
        raise ValueError(
            f"The booster has no layer {layer!r} to branch off at. Nearest by name: "
            f"{near or 'none'}; [layer.name for layer in booster.layers] lists them all"
        )
    features = booster.get_layer(layer).output
    if keras.tree.is_nested(features):
        raise ValueError(
            "A light net branches off at a layer with one output. Received: "
            f"layer={layer!r}, which gives {len(keras.tree.flatten(features))}"
        )
    classes = booster.outputs[0].shape[-1]
    logits = (head or _default_head(classes, name))(features)
    light = keras.Model(booster.input, logits, name=name)
    if light.outputs[0].shape != booster.outputs[0].shape:
        raise ValueError(
            f"The head's logits have shape {light.outputs[0].shape}, expected the booster's "
            f"{booster.outputs[0].shape}; end it in keras.layers.Dense({classes})"
        )
    return light


def _default_head(classes, name):
    def head(features):
        if len(features.shape) > 2:
            pool = {
                3: layers.GlobalAveragePooling1D,
                4: layers.GlobalAveragePooling2D,
                5: layers.GlobalAveragePooling3D,
            }[len(features.shape)]
            features = pool(name=f"{name}_pool")(features)
        return layers.Dense(classes, dtype="float32", name=f"{name}_logits")(features)

    return head
