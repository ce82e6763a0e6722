"""Fields of the optimizer, of the learning rate, and of the losses' weights."""

from collections.abc import Mapping

from rocket_tf.config.field_types import (
    Field,
    are_drops,
    are_weights,
    choice,
    integer,
    non_negative,
    number,
    positive,
    switch,
)
from rocket_tf.config.read_by import CLICKS, DROPS, FOLLOWERS, LABEL_LOSSES
from rocket_tf.optimizers.catalog import OPTIMIZERS

_DECAYED = {
    kind: ", ".join(name for name, choice in OPTIMIZERS.items() if choice.weight_decay == kind)
    for kind in ("l2", "decoupled")
}

OPTIMIZATION_FIELDS: Mapping[str, Field] = {
    "optimizer": choice(
        "sgd",
        "; ".join(f"{name}: {choice.meaning}" for name, choice in OPTIMIZERS.items()),
        *OPTIMIZERS,
    ),
    "learning_rate": positive(0.1, "step size of the optimizer at the start"),
    "table_optimizer": choice(
        "",
        "optimizer of the embedding tables; empty: optimizer",
        "",
        *OPTIMIZERS,
        read_by=CLICKS,
    ),
    "table_learning_rate": non_negative(
        0.0, "learning rate of the embedding tables at the start; 0: learning_rate", read_by=CLICKS
    ),
    "learning_rate_schedule": choice(
        "drops",
        "drops: the rate is multiplied by learning_rate_drop_factor at each of "
        "learning_rate_drops; cosine: it falls to 0 along half a cosine over all epochs; constant",
        "drops",
        "cosine",
        "constant",
    ),
    "warmup_epochs": non_negative(
        0.0,
        "epochs, whole or not, during which the schedule's learning rate is multiplied by a factor "
        "that rises linearly to 1",
    ),
    "learning_rate_drops": Field(
        (0.295, 0.595, 0.795),
        "when the learning rate drops, in fractions of `epochs`; the default means the start of "
        "epochs 60, 120 and 160 of 200, counted from 1",
        "increasing numbers above 0 and below 1, such as (0.3, 0.6, 0.8)",
        are_drops,
        read_by=DROPS,
    ),
    "booster_learning_rate_drops": Field(
        (),
        "the drops of the run that trains the booster alone, if they differ; empty: "
        "learning_rate_drops",
        "increasing numbers above 0 and below 1, such as (0.3, 0.6, 0.8), or nothing",
        are_drops,
        read_by=FOLLOWERS,
    ),
    "learning_rate_drop_factor": number(
        0.2,
        "factor by which each drop multiplies the learning rate",
        "a number above 0 and at most 1",
        lambda value: 0 < value <= 1,
        read_by=DROPS,
    ),
    "weight_decay": non_negative(
        5e-4,
        f"with {_DECAYED['l2']}: factor of the L2 term inside the gradient, on every parameter; "
        f"with {_DECAYED['decoupled']}: the part of each weight, times the learning rate, that a "
        "step subtracts, except for biases and normalizations; other optimizers have none",
    ),
    "gradient_clip_norm": non_negative(
        0.0,
        "largest norm of all gradients together, without the L2 term; larger ones are scaled down; "
        "0: no limit",
    ),
    "average_momentum": number(
        0.0,
        "momentum of an exponential moving average of the weights over steps; the average is "
        "evaluated and exported; 0: none",
        "a number of at least 0 and below 1",
        lambda value: 0 <= value < 1,
    ),
    "label_smoothing": number(
        0.0,
        "share of each label, in the label losses, that is spread evenly over all classes",
        "a number of at least 0 and below 1",
        lambda value: 0 <= value < 1,
        read_by=LABEL_LOSSES,
    ),
    "class_weights": Field(
        (),
        "weights of each class's examples in losses and hints, in the order of the classes; "
        "empty: 1",
        "a number above 0 for each class, such as (1.0, 2.5), or nothing",
        are_weights,
    ),
    "balance_classes": switch(
        False,
        "weigh the examples of each class by examples / (classes · examples of the class), so that "
        "all classes count alike",
    ),
    "patience": integer(
        0,
        "the training ends after this many evaluations in a row without a new best result on the "
        "validation examples; 0: it goes through all epochs",
        0,
    ),
}
