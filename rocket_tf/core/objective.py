"""What a RocketModel is given, checked and resolved: hints, label losses, metrics."""

import inspect

import keras

from rocket_tf.core import graph
from rocket_tf.core.heads import heads_of
from rocket_tf.core.hints import HINT_LOSSES, AttentionMSE, Hint, check_reduction

_DEFAULT_HINT_WEIGHT = 0.03
_ACCURACY_NAMES = ("accuracy", "acc")
# Keras's losses on probabilities that have no from_logits.
_PROBABILITY_LOSSES = (
    "kl_divergence",
    "poisson",
    "dice",
    "tversky",
    "categorical_generalized_cross_entropy",
)


def resolve_hints(hint, weight, temperature):
    """A list of `Hint`s, from the arguments of `RocketModel`.

    Args:
        hint: a hint loss or its name, a `Hint`, a list of `Hint`s, or `None`.
        weight: weight of a hint loss, or `None`.
        temperature: temperature of `hint="kd"`, or `None`.

    Raises:
        ValueError: if they do not go together.
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
        weight = _DEFAULT_HINT_WEIGHT if weight is None else weight
        hints = [Hint(hint, weight, temperature=temperature)]
    for each in hints:
        if not isinstance(each, Hint):
            raise ValueError(f"A list of hints holds Hint objects. Received: {each!r}")
    return hints


def check_hints(hints, light, booster, teacher):
    """Checks that each hint has a name of its own and somebody to follow.

    Raises:
        ValueError: if one has not, or if the teacher does not fit the other nets.
    """
    names = [hint.name for hint in hints]
    heads = heads_of({"light": light.output, "booster": light.output})
    taken = {"loss", *(f"{head}_loss" for head in heads)}
    if len(set(names)) < len(names) or taken & set(names):
        raise ValueError(
            f"Hints must have different names, none of {sorted(taken)}: they are the names in the "
            f"logs. Received: {names}; name them, as in Hint(..., name='low_hint_loss')"
        )
    followed = {hint.follows for hint in hints}
    for role, net in (("booster", booster), ("teacher", teacher)):
        if role in followed and net is None:
            raise ValueError(
                f"A hint follows the {role}, and there is none. Received: {role}=None; pass one, "
                "or hint=None"
            )
    if teacher is None:
        return
    if "teacher" not in followed:
        raise ValueError("A teacher was given and no hint follows it; pass Hint(follows='teacher')")
    graph.check_net("teacher", teacher)
    graph.check_pair(light, teacher, "teacher")
    for role, net in (("light", light), ("booster", booster)):
        if net is not None and graph.common_layers(net, teacher):
            raise ValueError(
                f"teacher and {role} share layers, and a teacher is frozen. Received common "
                f"layers: {[layer.name for layer in graph.common_layers(net, teacher)]}; give the "
                "teacher layers of its own (keras.models.clone_model, then set_weights)"
            )


def check_routing(shared_layers_learn_from, booster):
    """Checks from whom shared layers are to learn.

    Raises:
        ValueError: if it is nobody.
    """
    if shared_layers_learn_from not in ("both", "booster"):
        raise ValueError(
            'shared_layers_learn_from is "both" or "booster". Received: '
            f"shared_layers_learn_from={shared_layers_learn_from!r}"
        )
    if shared_layers_learn_from == "booster" and booster is None:
        raise ValueError(
            "Shared layers cannot learn from a booster that there is not. Received: "
            "shared_layers_learn_from='booster', booster=None; pass a booster, or 'both'"
        )


def hidden_layers(hints):
    """The layers that hints read: a dict from "light", "booster" and "teacher" to their names."""
    read = {"light": [], "booster": [], "teacher": []}
    for hint in hints:
        for mine, theirs in (hint.layers or {}).items():
            read["light"].append(mine)
            read[hint.follows].append(theirs)
    return read


def check_hidden(hints, outputs):
    """Checks that the layers that hints pair can be compared.

    Args:
        hints: list of `Hint`s.
        outputs: dict from "light", "booster" and "teacher" to dicts from layers' names to outputs.

    Raises:
        ValueError: if two layers' shapes do not fit the loss between them.
    """
    for hint in hints:
        for mine, theirs in (hint.layers or {}).items():
            shapes = outputs["light"][mine].shape, outputs[hint.follows][theirs].shape
            compared = shapes
            if isinstance(hint.loss, AttentionMSE) or hint.projection:
                # Maps are over positions, channels are averaged away; projections change them.
                compared = [shape[:-1] for shape in shapes]
            least = 3 if isinstance(hint.loss, AttentionMSE) else 2
            own_loss = not isinstance(hint.loss, tuple(HINT_LOSSES.values()))
            if (not _may_be_equal(*compared) and not own_loss) or min(map(len, shapes)) < least:
                raise ValueError(
                    f"{hint.loss.name} cannot compare the light net's layer {mine!r} with the "
                    f"{hint.follows}'s {theirs!r}: shapes {shapes[0]} and {shapes[1]}; pair layers "
                    "of one shape (for attention, of one height and width), or of other widths "
                    "with Hint(..., projection=True)"
                )


def make_projections(hints, outputs):
    """The linear maps of hints with projections.

    Args:
        hints: list of `Hint`s.
        outputs: dict from "light", "booster" and "teacher" to dicts from layers' names to outputs.

    Returns:
        Dict from (hint's name, the light net's layer) to a built `keras.layers.Dense`.

    Raises:
        ValueError: if the width of a layer is not known.
    """
    projections = {}
    for hint in hints:
        for mine, theirs in (hint.layers or {}).items() if hint.projection else ():
            shapes = outputs["light"][mine].shape, outputs[hint.follows][theirs].shape
            if None in (shapes[0][-1], shapes[1][-1]):
                raise ValueError(
                    f"A projection is between layers of known widths. Received: shapes {shapes[0]} "
                    f"({mine!r}) and {shapes[1]} ({theirs!r})"
                )
            projection = keras.layers.Dense(
                shapes[1][-1],
                use_bias=False,
                dtype=keras.config.floatx(),  # as hints are, under every dtype policy
                name=f"{hint.name}_{mine}_projection",
            )
            projection.build(shapes[0])
            projections[hint.name, mine] = projection
    return projections


def _may_be_equal(first, second):
    """Whether two shapes are equal as far as their sizes are known."""
    return len(first) == len(second) and all(
        None in (mine, theirs) or mine == theirs for mine, theirs in zip(first, second, strict=True)
    )


class _FunctionLoss(keras.losses.Loss):
    """A loss function as a loss that averages over the batch."""

    def __init__(self, function):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self._function = function

    def call(self, y_true, y_pred):
        return self._function(y_true, y_pred)


def resolve_label_loss(net, loss):
    """A Keras loss on logits that averages over the batch, from what `compile` was given.

    Args:
        net: the head, for messages.
        loss: name, function or `keras.losses.Loss`.

    Raises:
        ValueError: if the loss expects probabilities, or does not average over the batch.
    """
    resolved = keras.losses.get(loss)
    function = getattr(resolved, "fn", resolved)
    mend = (
        "pass a loss on logits, such as "
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
    )
    parameters = inspect.signature(function).parameters if callable(function) else {}
    configured = resolved.get_config() if isinstance(resolved, keras.losses.Loss) else {}
    from_logits = configured.get(
        "from_logits", parameters["from_logits"].default if "from_logits" in parameters else True
    )
    if not from_logits or getattr(function, "__name__", "") in _PROBABILITY_LOSSES:
        raise ValueError(
            f"The nets give logits, and loss={loss!r} of {net} expects probabilities; {mend}"
        )
    if not isinstance(resolved, keras.losses.Loss):
        return _FunctionLoss(resolved)
    check_reduction(f"The label loss of {net}", resolved)
    return resolved


def is_multi_label(logits, loss):
    """Whether each of several logits is a yes or no of its own, as its label loss tells.

    Args:
        logits: a head's symbolic output.
        loss: its label loss, as `resolve_label_loss` gives it, or `None`.
    """
    binary = keras.losses.BinaryCrossentropy | keras.losses.BinaryFocalCrossentropy
    return logits.shape[-1] != 1 and isinstance(loss, binary)


def resolve_metric(logits, loss, metric, copy):
    """A metric of one head's own.

    Args:
        logits: the head's symbolic output.
        loss: its label loss, or `None`.
        metric: name, function or `keras.metrics.Metric`.
        copy: whether the metric was given for several heads, so that each needs one of its own.

    Raises:
        ValueError: if a copy is needed, and the metric's class does not say how it is configured.
    """
    if isinstance(metric, str):
        is_binary = logits.shape[-1] == 1 or is_multi_label(logits, loss)
        if metric in _ACCURACY_NAMES and is_binary:
            return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        return metric
    if not isinstance(metric, keras.metrics.Metric) or not copy:
        return metric
    classes = type(metric).__mro__
    has_arguments, has_config = (
        next(index for index, cls in enumerate(classes) if method in vars(cls))
        for method in ("__init__", "get_config")
    )
    arguments = set(inspect.signature(type(metric)).parameters) - {"name", "dtype", "kwargs"}
    if has_arguments < has_config and arguments:
        raise ValueError(
            f"Each net needs a {type(metric).__name__} of its own, and its class has no get_config "
            f"with its arguments {sorted(arguments)} to make another by. Add one, or pass a metric "
            "for each net, as in metrics={'light': [...], 'booster': [...]}"
        )
    return type(metric).from_config(metric.get_config())
