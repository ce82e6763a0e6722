"""Hints: terms that pull the light net towards the booster or a teacher, or the booster to it."""

import math
import numbers
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import keras
from keras.optimizers.schedules import LearningRateSchedule

from rocket_tf.core import class_hint_losses, hint_losses
from rocket_tf.core.batch import takes
from rocket_tf.core.hint_checks import NET, compares
from rocket_tf.core.label_losses import check_reduction, takes_labels

HINT_LOSSES = {
    "logits_mse": hint_losses.LogitsMSE,
    "softmax_mse": hint_losses.SoftmaxMSE,
    "kd": hint_losses.KnowledgeDistillation,
    "dkd": class_hint_losses.DecoupledKnowledgeDistillation,
    "dist": class_hint_losses.CorrelationDistance,
    "sigmoid_mse": hint_losses.SigmoidMSE,
    "sigmoid_kd": hint_losses.SigmoidKnowledgeDistillation,
    "cosine": hint_losses.CosineDistance,
    "euclidean": hint_losses.EuclideanDistance,
    "attention": hint_losses.AttentionMSE,
}
HintLoss: TypeAlias = (
    Literal[
        "logits_mse",
        "softmax_mse",
        "kd",
        "dkd",
        "dist",
        "sigmoid_mse",
        "sigmoid_kd",
        "cosine",
        "euclidean",
        "attention",
    ]
    | keras.losses.Loss
)
Weight: TypeAlias = float | LearningRateSchedule
FilePath: TypeAlias = str | os.PathLike[str]
AnyHint: TypeAlias = "HintLoss | Hint | Sequence[Hint] | None"
_WITH_TEMPERATURE = ("kd", "sigmoid_kd", "dkd", "dist")
_DEFAULT_WEIGHT = 0.03
_DEFAULT_NAMES = {
    "booster": "hint_loss",
    "teacher": "teacher_loss",
    "light": "booster_hint_loss",
}


@keras.saving.register_keras_serializable(package="rocket_tf")
class Hint:
    """One hint term of the objective: weight · loss(followed values, the follower's values).

    The light net follows the booster or a teacher. With `follows="light"`, the booster follows the
    light net, and the light net's values pass through `tf.stop_gradient`. Together with a hint in
    the usual direction, that is mutual learning (Zhang et al., "Deep Mutual Learning", CVPR 2018).

    `weight` and `temperature` may be set at any time, also by a callback; the next step uses them.
    A number as weight costs nothing. After a schedule or a temperature is set, the step is traced
    again. Everything else is fixed.

    Args:
        loss: one of `HINT_LOSSES` by name, or a `keras.losses.Loss` that is called with the
            followed values and the follower's and averages over the batch. On logits:
            `"logits_mse"`, `"softmax_mse"`, `"kd"`, for three classes or more `"dkd"` (decoupled
            KD, which reads the labels) and `"dist"` (correlations), and for multi-label outputs
            `"sigmoid_mse"` and `"sigmoid_kd"`; between layers: `"cosine"`, `"euclidean"`,
            `"logits_mse"` (squared distance), `"attention"`. Keras's losses for labels,
            probabilities or rates, such as `KLDivergence`, are for layers that give those.
        weight: factor of the term, a finite number of at least 0; label losses have weight 1. The
            paper uses 0.03 for `"logits_mse"` on CIFAR-10. It may also be a
            `keras.optimizers.schedules.LearningRateSchedule` over the optimizer's steps.
        follows: `"booster"`, the net that trains beside the light net; `"teacher"`, a trained net
            that does not change; or `"light"`: then the booster follows the light net.
        name: name of the term in the logs, unique among a model's hints. `None`: `"hint_loss"` if
            the light net follows the booster, `"teacher_loss"` if it follows the teacher,
            `"booster_hint_loss"` if the booster follows the light net.
        temperature: T of `loss="kd"`, `"sigmoid_kd"`, `"dkd"` and `"dist"`. The default is the
            papers': 4, for `"dist"` 1, and with `standardize` 2.
        layers: dict from names of the follower's layers to names of layers of the net that it
            follows. The term is the sum of the loss over these pairs of outputs. `None`: the
            logits; for nets with several outputs, the sum over them.
        projection: whether the follower's layer goes through a trained linear map to the width
            (last axis) of the other layer, so that widths may differ (Romero et al., "FitNets",
            2015). The map belongs to the hint, not to the net.
        standardize: with `loss="kd"`, whether each example's logits, in both nets, are scaled to
            mean 0 and standard deviation 1 over three or more classes.

    Raises:
        ValueError: if an argument is not as above, or `weight` or `temperature` is set to an
            invalid value.
        AttributeError: if another attribute is set.

    Example:
        >>> hint = Hint("kd", weight=0.9, follows="teacher", temperature=4.0)
        >>> hint.name, hint.temperature
        ('teacher_loss', 4.0)
        >>> hint.weight = 0.5
        >>> between_layers = Hint("attention", 500.0, layers={"light_group": "booster_group"})
    """

    def __init__(
        self,
        loss: HintLoss = "logits_mse",
        weight: Weight = 0.03,
        follows: Literal["booster", "teacher", "light"] = "booster",
        name: str | None = None,
        temperature: float | None = None,
        layers: Mapping[str, str] | None = None,
        projection: bool = False,
        standardize: bool = False,
    ) -> None:
        weight = _checked_weight(weight)
        if follows not in _DEFAULT_NAMES:
            raise ValueError(
                'A hint follows "booster" or "teacher", or the booster follows "light". Received: '
                f"follows={follows!r}"
            )
        follower = "booster" if follows == "light" else "light"
        if layers is not None and not _maps_names(layers):
            raise ValueError(
                f"A hint's layers are a dict from names of {NET[follower]}'s layers to names of "
                f"{NET[follows]}'s. Received: layers={layers!r}"
            )
        self.loss = _resolve(loss, temperature, standardize)
        if layers is not None and takes(self.loss, "labels"):
            raise ValueError(
                f"loss={self.loss.name!r} compares logits by the labels' classes. Received: "
                f"layers={layers}; leave them out"
            )
        if compares(self.loss) == "maps" and layers is None:
            raise ValueError(
                'loss="attention" reads hidden layers. Received: layers=None; name pairs of them, '
                "as in Hint('attention', layers={'light_layer': 'booster_layer'})"
            )
        if layers is None and takes_labels(self.loss):
            raise ValueError(
                "A hint on logits compares the logits of two nets, numbers of any sign. Received: "
                f"{self.loss.name!r}, which compares with labels, probabilities or rates; pass "
                "'kd', cross-entropy of the softmaxes, or 'sigmoid_kd' for multi-label outputs"
            )
        if projection and (layers is None or compares(self.loss) == "maps"):
            raise ValueError(
                "A projection is for hidden layers that are compared in their width. Received: "
                f"projection={projection} with loss={self.loss.name!r} and layers={layers}; leave "
                "it out"
            )
        self._objectives: weakref.WeakSet[Any] = weakref.WeakSet()
        self.weight = weight
        self.follows = follows
        self.follower = follower
        self.name = name or _DEFAULT_NAMES[follows]
        self.layers = None if layers is None else dict(layers)
        self.projection = bool(projection)

    def __setattr__(self, name, value):
        if name == "weight":
            value = _checked_weight(value)
        elif name in vars(self):
            raise AttributeError(
                f"A hint's {name} is fixed once it is made. Received: {name}={value!r}; make "
                "another Hint, and a RocketModel of the same nets with it"
            )
        super().__setattr__(name, value)
        if name == "weight":
            for objective in self._objectives:
                objective.follow_weight(self)

    @property
    def temperature(self) -> float | None:
        """T, or `None` for a loss without one."""
        return getattr(self.loss, "temperature", None)

    @temperature.setter
    def temperature(self, value: float) -> None:
        if self.temperature is None:
            raise ValueError(
                f"temperature belongs to loss={_quoted(_WITH_TEMPERATURE)}. Received: "
                f"temperature={value!r} of a hint with loss={self.loss.name!r}"
            )
        self.loss.temperature = value

    def weigh_in(self, objective):
        """Makes an objective follow later changes of the weight; the objective calls this."""
        self._objectives.add(objective)
        objective.follow_weight(self)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_objectives"}

    def __setstate__(self, state):  # of a copy, which belongs to no objective
        vars(self).update(state, _objectives=weakref.WeakSet())

    def get_config(self) -> dict[str, Any]:
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weight": keras.saving.serialize_keras_object(self.weight),
            "follows": self.follows,
            "name": self.name,
            "layers": self.layers,
            "projection": self.projection,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Hint":
        resolved = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("loss", "weight")
        }
        return cls(**{**config, **resolved})


def _checked_weight(weight):
    """A hint's weight, a float or a schedule."""
    if isinstance(weight, LearningRateSchedule):
        return weight
    if not isinstance(weight, numbers.Real) or not (weight >= 0 and math.isfinite(weight)):
        raise ValueError(
            "A hint's weight must be a finite number, at least 0, or a LearningRateSchedule. "
            f"Received: weight={weight!r}; to change it in training, set hint.weight to another "
            "number, as in a callback"
        )
    return float(weight)


def _maps_names(layers):
    return (
        isinstance(layers, dict)
        and bool(layers)
        and all(isinstance(name, str) for name in (*layers, *layers.values()))
    )


def _quoted(names):
    """Names in quotes, as in '"kd" and "dist"'."""
    *first, last = (f'"{name}"' for name in names)
    return f"{', '.join(first)} and {last}"


def _resolve(loss, temperature, standardize):
    if standardize and loss != "kd":
        raise ValueError(
            'standardize belongs to loss="kd": it brings softmaxes over classes to one scale, and '
            f"other hints have their own scale, or none. Received: loss={loss!r}, "
            f"standardize={standardize}; leave it out, or pass KnowledgeDistillation(standardize="
            "True) as loss"
        )
    if temperature is not None and loss not in _WITH_TEMPERATURE:
        raise ValueError(
            f"temperature belongs to loss={_quoted(_WITH_TEMPERATURE)}; a loss of your own holds "
            f"its own. Received: loss={loss!r}, temperature={temperature}"
        )
    if isinstance(loss, str):
        if loss not in HINT_LOSSES:
            raise ValueError(
                f"A hint's loss is one of {sorted(HINT_LOSSES)} or a keras.losses.Loss. "
                f"Received: loss={loss!r}"
            )
        arguments = {} if temperature is None else {"temperature": temperature}
        if standardize:
            arguments["standardize"] = True
        return HINT_LOSSES[loss](**arguments)
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(
            f"A hint's loss is one of {sorted(HINT_LOSSES)} or a keras.losses.Loss. "
            f"Received: loss={loss!r} of type {type(loss).__name__}"
        )
    check_reduction("A hint's loss", loss)
    return loss


def resolve_hints(hint, weight, temperature):
    """A list of `Hint`s, from the arguments of `RocketModel`.

    Args:
        hint: a hint loss or its name, a `Hint`, a list of `Hint`s, or `None`.
        weight: weight of a hint loss, or `None`.
        temperature: temperature of `hint="kd"`, or `None`.

    Raises:
        ValueError: if the arguments contradict each other.

    Example:
        >>> [hint] = resolve_hints("logits_mse", weight=0.1, temperature=None)
        >>> hint.name, hint.weight
        ('hint_loss', 0.1)
    """
    if hint is None:
        hint = []
    if isinstance(hint, Hint | list | tuple):
        if weight is not None or temperature is not None:
            raise ValueError(
                "hint_weight and temperature belong to a hint given by its loss; a Hint has its "
                f"own. Received: hint={hint}, hint_weight={weight}, temperature={temperature}"
            )
        hints = [hint] if isinstance(hint, Hint) else list(hint)
    else:
        weight = _DEFAULT_WEIGHT if weight is None else weight
        hints = [Hint(hint, weight, temperature=temperature)]
    for item in hints:
        if not isinstance(item, Hint):
            raise ValueError(f"A list of hints holds Hint objects. Received: {item!r}")
    return hints


def hidden_layers(hints):
    """The layers that hints read: a dict from "light", "booster" and "teacher" to their names.

    Example:
        >>> hidden_layers([Hint("cosine", layers={"low": "high"})])
        {'light': ['low'], 'booster': ['high'], 'teacher': []}
    """
    layers = {"light": [], "booster": [], "teacher": []}
    for hint in hints:
        for follower_layer, followed_layer in (hint.layers or {}).items():
            layers[hint.follower].append(follower_layer)
            layers[hint.follows].append(followed_layer)
    return layers


def make_projections(hints, outputs):
    """The linear maps of hints with projections.

    Args:
        hints: list of `Hint`s.
        outputs: dict from "light", "booster" and "teacher" to dicts from layers' names to outputs.

    Returns:
        Dict from (hint's name, the follower's layer) to a built `keras.layers.Dense`.

    Raises:
        ValueError: if the width of a layer is not known.

    Example:
        >>> import keras
        >>> outputs = {"light": {"low": keras.Input((4,))}, "booster": {"high": keras.Input((8,))}}
        >>> hint = Hint("cosine", layers={"low": "high"}, projection=True)
        >>> make_projections([hint], outputs)["hint_loss", "low"].units
        8
    """
    projections = {}
    for hint in hints:
        for follower_layer, followed_layer in (
            (hint.layers or {}).items() if hint.projection else ()
        ):
            shapes = (
                outputs[hint.follower][follower_layer].shape,
                outputs[hint.follows][followed_layer].shape,
            )
            if None in (shapes[0][-1], shapes[1][-1]):
                raise ValueError(
                    f"A projection is between layers of known widths. Received: shapes {shapes[0]} "
                    f"({follower_layer!r}) and {shapes[1]} ({followed_layer!r})"
                )
            projection = keras.layers.Dense(
                shapes[1][-1],
                use_bias=False,
                dtype=keras.config.floatx(),  # like hints, under every dtype policy
                name=f"{hint.name}_{follower_layer}_projection",
            )
            projection.build(shapes[0])
            projections[hint.name, follower_layer] = projection
    return projections
