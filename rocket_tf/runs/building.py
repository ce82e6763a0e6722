"""Builds the nets and the compiled model of a configuration: methods are settings of a rocket."""

import functools
import re

import keras
import numpy as np

from rocket_tf import config as options
from rocket_tf.config.read_by import has_named_nets
from rocket_tf.core.graph import common_layers, leaf_layers
from rocket_tf.core.hints import Hint
from rocket_tf.core.rocket_model import RocketModel
from rocket_tf.core.smoothing import SmoothedCrossEntropy
from rocket_tf.metrics.approximate import BinnedAUC, SampledGroupAUC
from rocket_tf.metrics.average_precision import MeanAveragePrecision
from rocket_tf.metrics.calibration import Calibration, CalibrationError
from rocket_tf.metrics.ranking import ExactAUC, GroupAUC
from rocket_tf.networks import group_outputs, wide_resnet_pair
from rocket_tf.optimizers.catalog import OPTIMIZERS
from rocket_tf.optimizers.schedules import WarmUp, piecewise_schedule
from rocket_tf.optimizers.split import SplitOptimizer
from rocket_tf.runs import own_parts
from rocket_tf.runs.click_nets import click_nets
from rocket_tf.runs.starts import Starts


def build_nets(config, card, own=own_parts.NONE, starts=None):
    """The light net and the booster of a configuration, as functional models.

    Args:
        config: a checked configuration.
        card: card of its data, a `rocket_tf.data.DatasetCard`.
        own: result of `rocket_tf.runs.own_parts.of` for it; with method=light, the booster of its
            nets may be `None`.
        starts: the run's `Starts`; `None`: initial weights are read anew.
    """
    if own.has("build_nets"):
        return own.nets()
    if card.kind == "clicks":
        return click_nets(config, card)
    if has_named_nets(config):
        return (starts or Starts(config)).nets(card)
    return wide_resnet_pair(
        light_depth=config["light_depth"] or None,
        booster_depth=config["booster_depth"],
        width=config["width"],
        num_classes=card.num_classes,
        input_shape=card.image_shape,
        layout=config["layout"],
        share=config["share"],
        share_stem=config["share_stem"],
        pixel_mean=card.pixel_mean,
        pixel_std=card.pixel_std,
        batch_normalization=config["batch_normalization"],
        booster_dropout=config["booster_dropout"],
        seed=config["seed"],
    )


def build_model(config, card, teacher=None, own=own_parts.NONE, starts=None):
    """The compiled model of a configuration; a net that is trained alone is its light net.

    Args:
        config: a checked configuration.
        card: card of its data, a `rocket_tf.data.DatasetCard`.
        teacher: the trained booster, for the methods in `config.METHODS_WITH_TEACHER`; it becomes
            frozen.
        own: as for `build_nets`.
        starts: as for `build_nets`.

    Returns:
        A compiled `RocketModel` on uint8 or float images from 0 to 255, or on a dict of columns.
        Layers that stay frozen in all epochs are frozen.
    """
    starts = starts or Starts(config)
    light, booster = build_nets(config, card, own, starts)
    with own.answering("the rocket", "build_hints"):
        model = _assemble(config, card, light, booster, teacher, own)
    with own.answering("compile", "build_losses"):
        model.compile(
            optimizer=starts.optimizer(
                make_optimizer(config, options.total_steps(config, card)),
                options.steps_per_epoch(config, card),
            ),
            loss=_losses(config, card, own),
            loss_weights=_loss_weights(config, card, model),
            **_metrics(config, card),
        )
    # Layers that thaw later must be variables of the optimizer, so they are frozen only when the
    # training begins.
    if not config["unfreeze_epoch"]:
        starts.freeze(1)
    return model


def _assemble(config, card, light, booster, teacher, own):
    """The model of two nets and a method, not compiled."""
    method = config["method"]
    if method in ("light", "booster"):
        return RocketModel({"light": light, "booster": booster}[method], hint=None)
    if method == "no_joint_training":
        _copy_shared_layers(teacher, light, booster, by_name=not own.has("build_nets"))
    trains_both = method in ("rocket", "rocket_kd")
    return RocketModel(
        light,
        booster if trains_both else None,
        hint=_hints(config, card, light, teacher, own),
        gradient_block=config["gradient_block"],
        teacher=teacher,
        shared_layers_learn_from=config["shared_layers_learn_from"] if trains_both else "both",
    )


def _losses(config, card, own):
    """The label losses, as `RocketModel.compile` takes them."""
    if own.has("build_losses"):
        return own.losses()
    if card.multi_label or card.outputs:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if mixes_labels(config):
        smoothing = config["label_smoothing"]
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    if config["label_smoothing"]:
        return SmoothedCrossEntropy(config["label_smoothing"])
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _loss_weights(config, card, model):
    """The weights of label losses, as `RocketModel.compile` takes them."""
    net_weights = {"light": 1 - config["distillation_weight"]} if config["method"] == "kd" else {}
    if not config["label_weights"]:
        return net_weights or None
    label_weights = dict(zip(card.outputs, config["label_weights"], strict=True))
    return {
        net: {label: net_weights.get(net, 1.0) * weight for label, weight in label_weights.items()}
        for net in dict.fromkeys(head.net for head in model.heads.values())
    }


def _metrics(config, card):
    """The metrics, as arguments of `RocketModel.compile`."""
    if card.multi_label:
        # The metric "accuracy" would guess from the loss, which may be the user's own.
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        return {"metrics": [accuracy, MeanAveragePrecision(card.num_classes)]}
    if card.kind != "clicks":
        return {"metrics": ["accuracy"]}
    metrics = ["accuracy", *_ranking_metrics(config, card), Calibration(), CalibrationError()]
    weighs = bool(card.columns.weight)
    # Needed if the loss is not the log loss: a weighted loss is divided by the number of examples.
    if config["label_smoothing"] or weighs_classes(config) or weighs:
        kind = keras.metrics.SparseCategoricalCrossentropy
        kind = keras.metrics.BinaryCrossentropy if card.outputs else kind
        metrics.append(kind(from_logits=True, name="log_loss"))
    return {"weighted_metrics" if weighs else "metrics": metrics}


def _ranking_metrics(config, card):
    evaluated = max(card.test_examples, config["validation_examples"])
    exact = config["exact_ranking_examples"]
    if evaluated > exact:
        group_auc, auc = functools.partial(SampledGroupAUC, share=exact / evaluated), BinnedAUC()
    else:
        group_auc, auc = GroupAUC, ExactAUC()
    user = card.columns.user
    return [auc, group_auc(user)] if user else [auc]


def mixes_labels(config):
    """Whether augmentation mixes labels, which are then one-hot."""
    return bool(config["mixup"] or config["cutmix"])


def weighs_classes(config):
    """Whether examples of different classes have different weights."""
    return bool(config["class_weights"]) or config["balance_classes"]


def class_weights(config, data):
    """The weights of each class's examples in training, an array, or `None`.

    Args:
        config: a checked configuration.
        data: its data, a `rocket_tf.data.DataSet`.
    """
    if not config["balance_classes"]:
        return np.array(config["class_weights"]) if config["class_weights"] else None
    counts = data.train.class_counts(data.card.num_classes)
    return counts.sum() / (len(counts) * np.maximum(counts, 1))


def make_schedule(config, total_steps):
    """The learning rate of a run, a `keras.optimizers.schedules.LearningRateSchedule`.

    Args:
        config: a checked configuration (`rocket_tf.config`).
        total_steps: steps in the whole run.
    """
    learning_rate = config["learning_rate"]
    if config["learning_rate_schedule"] == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, total_steps)
    else:
        drops = config["learning_rate_schedule"] == "drops"
        schedule = piecewise_schedule(
            learning_rate,
            config["learning_rate_drops"] if drops else (),
            config["learning_rate_drop_factor"],
            total_steps,
        )
    warm_up = round(config["warmup_epochs"] * total_steps / config["epochs"])
    return WarmUp(schedule, warm_up) if warm_up else schedule


def make_optimizer(config, total_steps):
    """The optimizer of a run.

    Args:
        config: a checked configuration (`rocket_tf.config`).
        total_steps: steps in the whole run.

    Returns:
        A `keras.optimizers.Optimizer`.
    """

    def make(name, learning_rate, **kwargs):
        schedule = make_schedule({**config, "learning_rate": learning_rate}, total_steps)
        return OPTIMIZERS[name].make(schedule, config["weight_decay"], **kwargs)

    clipping = {"global_clipnorm": config["gradient_clip_norm"] or None}
    if not (config["table_optimizer"] or config["table_learning_rate"]):
        averaging = {}
        if config["average_momentum"]:
            averaging = {"use_ema": True, "ema_momentum": config["average_momentum"]}
        return make(config["optimizer"], config["learning_rate"], **clipping, **averaging)
    rest = make(config["optimizer"], config["learning_rate"])
    tables = make(
        config["table_optimizer"] or config["optimizer"],
        config["table_learning_rate"] or config["learning_rate"],
    )
    return SplitOptimizer(tables, rest, **clipping)


def _hints(config, card, light, teacher, own):
    """The hints of a method."""
    hint = _hint(config, config["hint_weight"])
    mutual = []
    if config["booster_hint_weight"]:
        mutual = [_hint(config, config["booster_hint_weight"], follows="light")]
    # The authors' release uses alpha * 2 T² KL, where KL is also a mean over classes. The
    # cross-entropy here differs from KL by the teacher's entropy, which has no gradient.
    distillation = Hint(
        "kd",
        2 * config["distillation_weight"] / card.num_classes,
        follows="teacher",
        temperature=config["temperature"],
    )
    match config["method"]:
        case "rocket" | "rocket_kd":
            hints = own.hints() if own.has("build_hints") else [hint, *mutual]
            return [*hints, distillation] if config["method"] == "rocket_kd" else hints
        case "kd":
            return [distillation]
        case "no_joint_training":
            return [Hint(hint.loss, hint.weight, follows="teacher")]
        case "at":
            pairs = zip(group_outputs(light), group_outputs(teacher), strict=True)
            return [
                Hint("attention", config["attention_weight"], follows="teacher", layers=dict(pairs))
            ]


def _hint(config, weight, follows="booster"):
    """The hint of a configuration, in either direction."""
    standardize = config["hint"] == "kd" and config["standardize_logits"]
    temperature = None  # the loss's default
    if config["hint"] in options.HINTS_WITH_TEMPERATURE and config["hint_temperature"]:
        temperature = config["hint_temperature"]
    elif config["hint"] == "kd" and not standardize:
        temperature = config["temperature"]
    return Hint(config["hint"], weight, follows, temperature=temperature, standardize=standardize)


def _copy_shared_layers(teacher, light, booster, by_name):
    """Copies the teacher's weights into the layers that light net and booster share.

    Layers of built-in nets are matched by name. Otherwise, teacher and booster were built alike and
    have the same layers in the same order.
    """
    booster_layers, teacher_layers = list(leaf_layers(booster)), list(leaf_layers(teacher))
    if by_name:
        trained = {_position(layer): layer for layer in teacher_layers}
        teacher_layers = [trained.get(_position(layer)) for layer in booster_layers]
    counterparts = {
        id(booster_layer): teacher_layer
        for booster_layer, teacher_layer in zip(booster_layers, teacher_layers, strict=True)
    }
    for layer in common_layers(light, booster):
        layer.set_weights(counterparts[id(layer)].get_weights())


def _position(layer):
    """A layer's position in the booster. Layouts differ in which layers they name "shared"."""
    return re.sub("^(shared|booster)_", "", layer.name)
