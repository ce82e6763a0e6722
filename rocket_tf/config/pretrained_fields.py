"""Fields of nets that start from trained weights. It does not import TensorFlow."""

from collections.abc import Mapping

from rocket_tf.config.field_types import Field, choice, integer, name, positive
from rocket_tf.config.read_by import (
    IMAGE_NETS,
    PRETRAINED,
    PRETRAINED_BOOSTERS,
    PRETRAINED_LIGHT_NETS,
    WITH_FROZEN_LAYERS,
)
from rocket_tf.networks.weight_sources import kind_of


def _weights(net):
    return Field(
        "",
        f"where the {net} starts. empty: random weights; imagenet or a .weights.h5 file: weights "
        f"of {net}_backbone; a .keras file or hub/<preset> of KerasHub (a name, a local folder or "
        "hf://...): a net with its weights, instead of a backbone; its classifier is replaced if "
        "it has another number of classes",
        "imagenet, the path of a .keras or .weights.h5 file, hub/<preset>, or nothing",
        lambda value: isinstance(value, str) and (value == "" or _is_source(value)),
        read_by=IMAGE_NETS,
    )


def _is_source(value):
    return value.isprintable() and value.strip() == value and kind_of(value) != ""


def _preprocessing(net, reader):
    return choice(
        "",
        f"how the {net} scales pixels from 0 to 255: tf, caffe or torch of Keras's "
        "preprocess_input; none: not at all; empty: as the application or the preset does, and "
        "not at all for a .keras file",
        "",
        "tf",
        "caffe",
        "torch",
        "none",
        read_by=reader,
    )


def _freeze_until(net, reader):
    return name(
        "",
        f"layer of the {net} that is frozen, with everything that its output is computed from; "
        f"{net}_pool: all but the classifier; empty: nothing",
        may_be_empty=True,
        read_by=reader,
    )


PRETRAINED_FIELDS: Mapping[str, Field] = {
    "booster_weights": _weights("booster"),
    "light_weights": _weights("light"),
    "booster_preprocessing": _preprocessing("booster", PRETRAINED_BOOSTERS),
    "light_preprocessing": _preprocessing("light", PRETRAINED_LIGHT_NETS),
    "booster_freeze_until": _freeze_until("booster", PRETRAINED_BOOSTERS),
    "light_freeze_until": _freeze_until("light", PRETRAINED_LIGHT_NETS),
    "unfreeze_epoch": integer(
        0,
        "epoch, counted from 1, at whose start frozen layers begin to train; 0: none",
        0,
        read_by=WITH_FROZEN_LAYERS,
    ),
    "pretrained_learning_rate_factor": positive(
        1.0,
        "factor on the learning rate of weights that do not start at random",
        read_by=PRETRAINED,
    ),
}
