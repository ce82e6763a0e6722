"""Every option of a run: its default, its meaning with unit, and what it must be.

It does not import TensorFlow, which takes seconds to load, so mistakes are reported at once.
"""

from collections.abc import Mapping

from rocket_tf.config import own_code
from rocket_tf.config.data_fields import DATA_FIELDS
from rocket_tf.config.field_types import (
    Field,
    choice,
    integer,
    is_depth,
    is_light_depth,
    name,
    non_negative,
    number,
    path,
    positive,
    switch,
)
from rocket_tf.config.optimization_fields import OPTIMIZATION_FIELDS
from rocket_tf.config.pretrained_fields import PRETRAINED_FIELDS
from rocket_tf.config.read_by import (
    ATTENTION_TRANSFER,
    BUILT_IN_NETS,
    CONTINUABLE,
    DISTILLATION,
    FOLLOWERS,
    HINT_TEMPERATURES,
    HINTS,
    HINTS_ON_LOGITS,
    IMAGE_NETS,
    JOINT_METHODS,
    METHODS_WITH_TEACHER,
    STANDARDIZABLE,
    STEMS,
    TEMPERATURES,
    WIDE_RESNETS,
)
from rocket_tf.networks.backbone_names import BACKBONES

METHODS = ("rocket", "light", "booster", *METHODS_WITH_TEACHER)
FIELDS: Mapping[str, Field] = {
    "seed": Field(
        0,
        "seed of initial weights, shuffling, augmentation and dropout",
        "a whole number from 0 to 2**32 - 1",
        lambda value: 0 <= value < 2**32,
    ),
    "method": choice(
        "rocket",
        "what is trained. rocket: both nets together; light, booster: one of the same nets alone; "
        "kd or at: the light net follows a trained booster by knowledge distillation or attention "
        "transfer; rocket_kd: rocket and kd at once; no_joint_training: the light net starts from "
        "a copy of a trained booster's shared layers and follows its logits by the hint",
        *METHODS,
    ),
    "booster_run": path(
        "",
        "folder of the run that trained the booster to follow; if there is none, it is trained "
        "there; empty: `booster` in the run's own folder",
        read_by=FOLLOWERS,
        changes_results=False,
    ),
    "init_run": path(
        "",
        "folder of a finished run of the same nets, such as the day before's, to start from: from "
        "its weights, and the mean and variance by which it scales numbers; these nets are first "
        "evaluated on the new data; empty: random weights",
        read_by=CONTINUABLE,
    ),
    "epochs": integer(200, "length of the training, in passes over the training examples", 1),
    "batch_size": integer(128, "examples a step, over all replicas together", 1),
    **DATA_FIELDS,
    # Nets
    **own_code.FIELDS,
    "booster_backbone": choice(
        "",
        "the booster: the name of a net in keras.applications or KerasCV; empty: the net of "
        "booster_weights, or a wide residual net",
        "",
        *BACKBONES,
        read_by=IMAGE_NETS,
    ),
    "light_backbone": choice(
        "",
        "the light net: the name of a net in keras.applications or KerasCV; needs "
        "booster_backbone or booster_weights; empty: the net of light_weights, or see branch_layer",
        "",
        *BACKBONES,
        read_by=IMAGE_NETS,
    ),
    "branch_layer": name(
        "",
        "layer of the named booster at which the light net branches off; both share the layers "
        "below; empty: the light net is light_backbone, and shares nothing",
        may_be_empty=True,
        read_by=IMAGE_NETS,
    ),
    **PRETRAINED_FIELDS,
    "layout": choice(
        "interval",
        "which low layers the light net shares. interval: the first blocks of every group; bottom: "
        "all of the first two groups (the paper's Figure 3); constant: the lowest blocks of a "
        "booster whose groups all have the same width (Figure 4)",
        "interval",
        "bottom",
        "constant",
        read_by=WIDE_RESNETS,
    ),
    "light_depth": Field(
        16,
        "layers of the light net: 6n + 4; 0 with layout=bottom, since the booster decides; 2n + 4 "
        "with layout=constant",
        "6n + 4 with n >= 1 (10, 16, 22, … below 2**31), 0 with layout=bottom, 2n + 4 with "
        "layout=constant",
        is_light_depth,
        read_by=WIDE_RESNETS,
    ),
    "booster_depth": Field(
        40,
        "layers of the booster, 6n + 4",
        "6n + 4 with n >= 1 (10, 16, 22, … below 2**31)",
        is_depth,
        read_by=WIDE_RESNETS,
    ),
    "width": integer(
        1, "widening factor k: the groups have 16k, 32k and 64k channels", 1, read_by=WIDE_RESNETS
    ),
    "share": switch(
        True,
        "share the low layers; False: the nets have only the input in common",
        read_by=BUILT_IN_NETS,
    ),
    "share_stem": switch(
        False,
        "share the first convolution if nothing else is shared, as the authors' release does",
        read_by=STEMS,
    ),
    "batch_normalization": choice(
        "fused",
        "batch statistics. fused: of each replica, by a fused kernel; synchronized: of all "
        "replicas together; keras: of each replica, by Keras's own layer",
        "fused",
        "synchronized",
        "keras",
        read_by=WIDE_RESNETS,
    ),
    "booster_dropout": number(
        0.0,
        "fraction of activations dropped after each convolution that only the booster has",
        "a number of at least 0 and below 1",
        lambda value: 0 <= value < 1,
        read_by=BUILT_IN_NETS,
    ),
    # Objective; the methods that have such a term read the field
    "hint": choice(
        "logits_mse",
        "loss by which the light net follows the booster; dkd and dist need three classes",
        *HINTS_ON_LOGITS,
        read_by=HINTS,
    ),
    "hint_weight": non_negative(
        0.03, "weight of the hint loss; cross-entropies have weight 1", read_by=HINTS
    ),
    "hint_temperature": non_negative(
        0.0,
        "temperature T of the hint; 0: 4 for dkd, 1 for dist, 2 for kd with standardize_logits, "
        "and `temperature` for kd without it",
        read_by=HINT_TEMPERATURES,
    ),
    "standardize_logits": switch(
        False,
        "hint=kd: scale logits to mean 0 and deviation 1 over classes",
        read_by=STANDARDIZABLE,
    ),
    "booster_hint_weight": non_negative(
        0.0,
        "weight of the same hint in the other direction: the booster follows the light net "
        "(mutual learning)",
        read_by=JOINT_METHODS,
    ),
    "gradient_block": switch(
        True, "stop the hint's gradient from reaching the booster", read_by=JOINT_METHODS
    ),
    "shared_layers_learn_from": choice(
        "both",
        "which losses move the shared layers: those of both nets (the paper), or only the "
        "booster's (as in EasyRec)",
        "both",
        "booster",
        read_by=JOINT_METHODS,
    ),
    "temperature": positive(
        4.0,
        "temperature T of both softmaxes; read by hint=kd and by methods kd and rocket_kd",
        read_by=TEMPERATURES,
    ),
    "distillation_weight": number(
        0.9,
        "alpha of methods kd and rocket_kd: weight of the distillation term, which has the factor "
        "2 / classes; in kd, the labels have weight 1 - alpha",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
        read_by=DISTILLATION,
    ),
    "attention_weight": non_negative(
        1000.0,
        "beta of method at: weight of the attention maps' mean squared difference",
        read_by=ATTENTION_TRANSFER,
    ),
    **OPTIMIZATION_FIELDS,
    # Execution
    "precision": choice(
        "float32",
        "Keras dtype policy of the nets; logits and losses are always float32",
        "float32",
        "mixed_bfloat16",
        "mixed_float16",
    ),
    "replicas": integer(
        0,
        "replicas of tf.distribute.MirroredStrategy; 0: one for each GPU, or one CPU; without "
        "GPUs, this many logical CPU devices",
        0,
    ),
    "deterministic": switch(
        True, "same seed, same machine, same result to the last digit; False may be faster on GPUs"
    ),
    "evaluate_every_epochs": integer(
        1,
        "epochs between two evaluations, on the validation examples or, if none are held out, on "
        "the test examples; the last epoch is always evaluated",
        1,
    ),
    "checkpoints_kept": integer(
        3, "number of checkpoints to keep, the last ones", 1, changes_results=False
    ),
    "checkpoint_every_steps": integer(
        0,
        "steps between checkpoints within an epoch; 0: only after each epoch",
        0,
        changes_results=False,
    ),
    "pictures": switch(
        True,
        "draw learning curves, gradient flow and attention maps into the run's folder",
        changes_results=False,
    ),
}
