"""Pairs of nets from backbones, with random or trained weights."""

import inspect
import re
from collections.abc import Sequence

import keras
from keras import layers

from rocket_tf.networks.backbone_names import KERAS_CV
from rocket_tf.networks.branching import branch
from rocket_tf.networks.pretrained import Start, classify

_LARGEST_MOMENTUM = 0.9  # as in the wide residual nets


def backbone_pair(
    light: str | Start,
    booster: str | Start,
    num_classes: int,
    input_shape: Sequence[int],
    branch_layer: str = "",
    dropout: float = 0.0,
) -> tuple[keras.Model, keras.Model]:
    """A light net and its booster, each a backbone with global average pooling and a classifier.

    Inputs are raw pixels, 0 to 255, of shape (batch, *input_shape) and dtype float32. If a net's
    weights are random, its first layer scales them to -1 to 1, and the moving statistics of batch
    normalization have a momentum of at most 0.9. Outputs are logits of shape (batch, num_classes)
    and dtype float32.

    Args:
        light: a name in `backbone_names.BACKBONES`, for random weights; or trained weights, a
            `pretrained.Start`; empty with `branch_layer`.
        booster: the same for the booster.
        num_classes: number of logits.
        input_shape: (height, width, channels) of an image.
        branch_layer: layer of the booster (not of KerasCV's) where the light net branches off; both
            share the layers below. Empty: the nets share nothing.
        dropout: fraction of the booster's pooled features that is dropped in training.

    Returns:
        `(light, booster)`, two functional `keras.Model`s.

    Raises:
        ValueError: if there is no such layer, if Keras has numbered its name, or if an image is too
            small for a backbone.

    Example:
        >>> from rocket_tf.networks import backbone_pair
        >>> light, booster = backbone_pair("", "ResNet50", 10, (64, 64, 3), "conv2_block3_out")
        >>> light.output.shape, light.count_params() < booster.count_params()
        ((None, 10), True)
    """
    booster_net = _classifier("booster", booster, num_classes, input_shape, dropout)
    if branch_layer:
        light_net = branch(booster_net, branch_layer)
        if isinstance(booster, str):  # a description keeps all names
            _check_own_name(booster_net.get_layer(branch_layer))
        return light_net, booster_net
    return _classifier("light", light, num_classes, input_shape, 0.0), booster_net


def _check_own_name(layer):
    """Checks that a layer has the same name wherever its net is built."""
    words = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
    if re.fullmatch(rf"{words}(_\d+)?", layer.name):
        raise ValueError(
            f"branch_layer={layer.name!r} is a name that Keras has numbered, so it depends on what "
            "was built before; take a layer with a fixed name"
        )


def _classifier(role, name, num_classes, input_shape, dropout):
    if not isinstance(name, str):
        return classify(role, name, num_classes, dropout)
    images = keras.Input(input_shape, name="images")
    # In float32 under every policy: bfloat16 would blur the pixels.
    pixels = layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name=f"{role}_rescaled")(images)
    make = _make_keras_cv if name in KERAS_CV else _make_keras_application
    features = make(name, pixels)
    features = layers.GlobalAveragePooling2D(name=f"{role}_pool")(features)
    if dropout:
        features = layers.Dropout(dropout, name=f"{role}_dropout")(features)
    logits = layers.Dense(num_classes, dtype="float32", name=f"{role}_logits")(features)
    net = keras.Model(images, logits, name=role)
    _forget_fast(net)
    return net


def _forget_fast(net):
    """Lowers the momentum of random nets' moving statistics, so that they adapt in tens of steps.

    The momentum of backbones is meant for millions of steps: after 1000 steps, MobileNetV3's 0.999
    still keeps 37 % of the initial statistics, and the net is no better than guessing.
    """
    for layer in net.layers:
        if isinstance(layer, keras.Model):
            _forget_fast(layer)
        elif isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _LARGEST_MOMENTUM)


def _make_keras_application(name, pixels):
    make = getattr(keras.applications, name)
    options = {"include_top": False, "weights": None, "input_tensor": pixels}
    if "include_preprocessing" in inspect.signature(make).parameters:
        options["include_preprocessing"] = False
    return make(**options).output


def _make_keras_cv(name, pixels):
    import keras_cv  # slow to import, and few runs need it

    backbone = keras_cv.models.ResNetV2Backbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=list(KERAS_CV[name]),
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
        input_shape=pixels.shape[1:],
    )
    return backbone(pixels)
