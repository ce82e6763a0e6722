"""Every option of a run: its default, its meaning with unit, and what it must be.

Free of TensorFlow, so that a mistake is answered before the seconds that TensorFlow takes to load.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping

from rocket_tf.data.catalog import DATASETS, LOCAL_DATASETS
from rocket_tf.networks.backbone_names import BACKBONES


@dataclasses.dataclass(frozen=True)
class Field:
    """One option of a run.

    Attributes:
        default: its value where a configuration does not set it; its type is the field's type.
        meaning: what it does, with the unit of its values.
        expected: in words, the values it takes.
        accepts: the same as a predicate.
        before: its value in runs that are older than the field; `None`: the default.
    """

    default: object
    meaning: str
    expected: str
    accepts: Callable[[object], bool]
    before: object = None


def _integer(default, meaning, minimum):
    return Field(
        default,
        meaning,
        f"a whole number from {minimum} to 2**31 - 1",
        lambda value: minimum <= value < 2**31,
    )


def _number(default, meaning, expected, accepts):
    return Field(default, meaning, expected, lambda value: _is_finite(value) and accepts(value))


def _path(default, meaning):
    return Field(default, meaning, "a path", _is_path)


def _non_negative(default, meaning):
    return _number(default, meaning, "a number of at least 0", lambda value: value >= 0)


def _positive(default, meaning):
    return _number(default, meaning, "a number above 0", lambda value: value > 0)


def _choice(default, meaning, *choices):
    named = ", ".join(choice or "''" for choice in choices)
    return Field(default, meaning, "one of " + named, lambda value: value in choices)


def _name(default, meaning, may_be_empty=False):
    return Field(
        default,
        meaning,
        "a name" + (", or nothing" if may_be_empty else ""),
        lambda value: _is_name(value) or (may_be_empty and value == ""),
    )


def _names(default, meaning):
    return Field(
        default,
        meaning,
        "different names with commas between",
        lambda values: all(map(_is_name, values)) and len(set(values)) == len(values),
    )


def _sizes(default, meaning):
    return Field(
        default,
        meaning,
        "whole numbers from 1 to 2**31 - 1, such as (200, 80)",
        lambda values: len(values) > 0 and all(map(_is_size, values)),
    )


def _switch(default, meaning):
    return Field(default, meaning, "True or False", lambda value: True)


def _is_name(value):
    return isinstance(value, str) and value.isprintable() and value.strip() == value != ""


def _is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _is_finite(value):
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _is_path(value):
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def is_depth(value):
    return 10 <= value < 2**31 and (value - 4) % 6 == 0


def _is_light_depth(value):
    return value == 0 or (6 <= value < 2**31 and value % 2 == 0)


def _are_drops(values):
    return all(isinstance(value, int | float) and 0 < value < 1 for value in values) and list(
        values
    ) == sorted(set(values))


# Those that need a booster that was trained before.
METHODS_WITH_TEACHER = ("kd", "at", "rocket_kd", "no_joint_training")
METHODS = ("rocket", "light", "booster", *METHODS_WITH_TEACHER)
# None of these changes what is computed.
FREE_FIELDS = (
    "data_dir",
    "booster_run",
    "checkpoints_kept",
    "checkpoint_every_steps",
    "pictures",
)

FIELDS: Mapping[str, Field] = {
    "seed": Field(
        0,
        "seed of initial weights, shuffling, augmentation and dropout",
        "a whole number from 0 to 2**32 - 1",
        lambda value: 0 <= value < 2**32,
    ),
    "method": _choice(
        "rocket",
        "what is trained. rocket: both nets together; light, booster: one of the same nets alone; "
        "kd or at: the light net follows a trained booster by knowledge distillation or attention "
        "transfer; rocket_kd: rocket and kd at once; no_joint_training: the light net starts from "
        "a copy of a trained booster's shared layers and follows its logits by the hint",
        *METHODS,
    ),
    "booster_run": _path(
        "",
        "folder of the run that trained the booster to follow; the booster is trained there where "
        "none is; empty: `booster` in the run's own folder; not read by methods without one",
    ),
    "epochs": _integer(200, "length of the training, in passes over the training examples", 1),
    "batch_size": _integer(128, "examples a step, over all replicas together", 1),
    # Data
    "dataset": _choice(
        "cifar10",
        "which data; of one's own, read from data_path: npz (arrays of images in one file), "
        "image_folder (train/<class>/*.jpg), click_log (CSV or TFRecord)",
        *DATASETS,
        *LOCAL_DATASETS,
    ),
    "data_dir": _path(
        "", "folder of TensorFlow Datasets; empty: $TFDS_DATA_DIR, or ~/tensorflow_datasets"
    ),
    "data_path": _path(
        "",
        "one's own data: the file of dataset=npz, the folder of image_folder and of click_log "
        "(train*.csv and test*.csv, or train*.tfrecord and test*.tfrecord)",
    ),
    "image_size": _integer(
        64, "image_folder: height and width, in pixels, that images are resized and cropped to", 8
    ),
    "unreadable_images": _choice(
        "refuse",
        "image_folder: images that cannot be read are refused, or skipped with a warning",
        "refuse",
        "skip",
    ),
    "train_examples": _integer(0, "the first so many training examples are used; 0: all", 0),
    "validation_examples": _integer(
        0,
        "so many of the training examples, the same of each class, are held out; the epoch with "
        "the fewest errors on them is exported and evaluated on the test examples; of clicks, the "
        "latest are held out, and the epoch with the highest AUC; 0: the last is",
        0,
    ),
    "split_seed": _integer(
        0,
        "seed of the split into training and test examples of digits, which have none, or of "
        "simulated clicks",
        0,
    ),
    "flip": _switch(False, "augmentation: mirror half of the images left to right"),
    "crop_padding": _integer(
        0, "augmentation: pad by reflection, so many pixels, then crop at random; 0: off", 0
    ),
    "crop_padding_mode": dataclasses.replace(
        _choice(
            "symmetric",
            "the reflection of crop_padding: symmetric repeats the edge pixel, as the authors' "
            "release does; reflect does not, as this package did before 0.2",
            "symmetric",
            "reflect",
        ),
        before="reflect",
    ),
    "rand_augment": _number(
        0.0,
        "augmentation: magnitude of KerasCV's RandAugment, 0 to 1; 0: off",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    "mixup": _non_negative(0.0, "augmentation: alpha of KerasCV's MixUp; 0: off"),
    "cutmix": _number(
        0.0,
        "augmentation: alpha of KerasCV's CutMix, 0 to 1; 0: off",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    # Clicks
    "label_column": _name("click", "click_log: column of the labels, 0 or 1"),
    "user_column": _name("user", "click_log: column of users, whose AUCs GAUC is the mean of"),
    "category_columns": _names(
        ("user", "item"), "click_log: columns of ids and other categories that the nets read"
    ),
    "number_columns": _names((), "click_log: columns of numbers that the nets read"),
    "request_columns": _names(
        ("user",),
        "click_log: columns that are the same for all items that are shown at once, as the user's; "
        "an export takes them once, with any number of candidates",
    ),
    "history_column": _name(
        "",
        "click_log: column of what the user has clicked before, values of item_column; empty: none",
        may_be_empty=True,
    ),
    "item_column": _name("item", "click_log: column of the items that the history holds"),
    "history_length": _integer(20, "clicks: the most recent so many items of the history", 1),
    "hash_buckets": _integer(
        10_000, "clicks: rows of each embedding table, among which values are hashed", 2
    ),
    "embedding_dimension": _integer(16, "clicks: width of the embedding of each category", 1),
    "light_tower": _sizes((200, 80), "clicks: units of the light net's hidden layers (Table 5)"),
    "booster_tower": _sizes(
        (720, 360, 240, 180, 90), "clicks: units of the booster's hidden layers (Table 5)"
    ),
    "history_attention": _switch(
        False,
        "clicks: weigh the history by its likeness to the candidate (DIN), instead of its mean",
    ),
    # Nets
    "light_backbone": _choice(
        "",
        "images: a net by name, of keras.applications or KerasCV, instead of a wide residual net; "
        "needs a booster_backbone; empty with one: see branch_layer",
        "",
        *BACKBONES,
    ),
    "booster_backbone": _choice("", "images: likewise, for the booster", "", *BACKBONES),
    "branch_layer": _name(
        "",
        "images: layer of booster_backbone at which the light net branches off, sharing what is "
        "below; empty: the light net is light_backbone, and shares nothing",
        may_be_empty=True,
    ),
    "layout": _choice(
        "interval",
        "which low layers the light net shares. interval: the first blocks of every group; bottom: "
        "the whole of the first two groups (the paper's Figure 3); constant: the lowest blocks of "
        "a booster whose groups are all of one width (Figure 4)",
        "interval",
        "bottom",
        "constant",
    ),
    "light_depth": Field(
        16,
        "layers of the light net, 6n + 4; 0 with layout=bottom, where the booster decides; 2n + 4 "
        "with layout=constant",
        "6n + 4 with n >= 1 (10, 16, 22, … below 2**31), 0 with layout=bottom, 2n + 4 with "
        "layout=constant",
        _is_light_depth,
    ),
    "booster_depth": Field(
        40,
        "layers of the booster, 6n + 4",
        "6n + 4 with n >= 1 (10, 16, 22, … below 2**31)",
        is_depth,
    ),
    "width": _integer(1, "widening factor k: the groups have 16k, 32k and 64k channels", 1),
    "share": _switch(True, "share the low layers; False: two nets with only the input in common"),
    "share_stem": _switch(
        False,
        "with share=False: share the first convolution all the same, as the authors' release "
        "does; with share=True it is shared anyway",
    ),
    "batch_normalization": _choice(
        "fused",
        "batch statistics: fused kernel, each replica its own; synchronized over all replicas; or "
        "Keras's own layer, each replica its own",
        "fused",
        "synchronized",
        "keras",
    ),
    "booster_dropout": _number(
        0.0,
        "fraction of activations dropped after each convolution that is the booster's alone",
        "a number of at least 0 and below 1",
        lambda value: 0 <= value < 1,
    ),
    # Objective; each field is read by the methods that have such a term
    "hint": _choice(
        "logits_mse",
        "the loss by which the light net follows the booster (the paper's Table 3)",
        "logits_mse",
        "softmax_mse",
        "kd",
    ),
    "hint_weight": _non_negative(0.03, "weight of the hint loss; a cross-entropy weighs 1"),
    "gradient_block": _switch(True, "stop the hint's gradient from reaching the booster"),
    "shared_layers_learn_from": _choice(
        "both",
        "whose losses move the shared layers: both nets' (the paper), or the booster's alone (as "
        "in EasyRec)",
        "both",
        "booster",
    ),
    "temperature": _positive(
        4.0, "temperature T of both softmaxes; read by hint=kd and by methods kd and rocket_kd"
    ),
    "distillation_weight": _number(
        0.9,
        "alpha of methods kd and rocket_kd: weight of the distillation term, whose factor is "
        "2 / classes; in kd, the labels weigh 1 - alpha",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    "attention_weight": _non_negative(
        1000.0, "beta of method at: weight of the attention maps' mean squared difference"
    ),
    # Optimisation
    "optimizer": _choice("sgd", "sgd, with momentum 0.9, or adam", "sgd", "adam"),
    "learning_rate": _positive(0.1, "step size of the optimizer at the start"),
    "learning_rate_drops": Field(
        (0.295, 0.595, 0.795),
        "when the learning rate drops, in fractions of `epochs`: of 200, at the start of epochs "
        "60, 120 and 160, counted from 1",
        "increasing numbers above 0 and below 1, such as (0.3, 0.6, 0.8)",
        _are_drops,
    ),
    "booster_learning_rate_drops": Field(
        (),
        "the drops of the run that trains the booster alone, where it differs; empty: "
        "learning_rate_drops",
        "increasing numbers above 0 and below 1, such as (0.3, 0.6, 0.8), or nothing",
        _are_drops,
    ),
    "learning_rate_drop_factor": _number(
        0.2,
        "what each drop multiplies the learning rate by",
        "a number above 0 and at most 1",
        lambda value: 0 < value <= 1,
    ),
    "weight_decay": _non_negative(
        5e-4, "factor of the L2 term inside the gradient, on every parameter; sgd only"
    ),
    # Execution
    "precision": _choice(
        "float32",
        "Keras dtype policy of the nets; logits and losses are float32 in all",
        "float32",
        "mixed_bfloat16",
        "mixed_float16",
    ),
    "replicas": _integer(
        0,
        "replicas of tf.distribute.MirroredStrategy; 0: one for each GPU, or one CPU; without "
        "GPUs, so many logical CPU devices",
        0,
    ),
    "deterministic": _switch(
        True, "same seed, same machine, same result to the last digit; False may be faster on GPUs"
    ),
    "evaluate_every_epochs": _integer(
        1,
        "epochs between two evaluations, on the validation examples or, where none are held out, "
        "on the test examples; the last epoch always is evaluated",
        1,
    ),
    "checkpoints_kept": _integer(3, "the last so many checkpoints are kept", 1),
    "checkpoint_every_steps": _integer(
        0, "a checkpoint after every so many steps, beside those after each epoch; 0: none", 0
    ),
    "pictures": _switch(
        True, "draw learning curves, gradient flow and attention maps into the run's folder"
    ),
}
