"""Resolves and checks the label losses that `compile` is given."""

import functools
import inspect

import keras

from rocket_tf.core.heads import spread
from rocket_tf.core.keras_internals import function_losses

# Keras's losses on probabilities that have no from_logits.
_PROBABILITY_LOSSES = (
    "kl_divergence",
    "dice",
    "tversky",
    "categorical_generalized_cross_entropy",
)
# Keras's losses for labels, not for another net's logits, besides those with from_logits.
_LOSSES_OF_LABELS = ("hinge", "squared_hinge", "categorical_hinge", "ctc", "circle")


def given_by_head(loss, heads):
    """The losses that `compile` was given, by head.

    Args:
        loss: one for all heads; a dict, as `spread` takes it; or, as in Keras, a list with one loss
            or with one for each output, in the alphabetical order of the outputs' names.
        heads: dict from names to `Head`s.

    Raises:
        ValueError: if a dict has keys other than nets and outputs, or a list has the wrong length.

    Example:
        >>> from rocket_tf.core.heads import heads_of
        >>> given_by_head(["mse"], heads_of({"light": 0, "booster": 0}))
        {'light': 'mse', 'booster': 'mse'}
        >>> given_by_head(["mse", "mae"], heads_of({"light": {"like": 0, "click": 0}}))
        {'light_like': 'mae', 'light_click': 'mse'}
    """
    if isinstance(loss, list | tuple):
        outputs = list(dict.fromkeys(head.output for head in heads.values()))
        if len(loss) != len(outputs):
            raise ValueError(
                f"A list of losses has one for each output of a net, here {len(outputs)}. "
                f"Received: loss={loss}; pass a dict by net, 'light' and 'booster', or by output"
            )
        loss = loss[0] if len(loss) == 1 else dict(zip(sorted(outputs), loss, strict=True))
    return spread("loss", loss, heads)


def label_losses_by_head(loss, heads):
    """The label losses of heads, from what `compile` was given.

    Args:
        loss: as `RocketModel.compile` takes it.
        heads: dict from names to `Head`s.

    Returns:
        Dict from heads' names to `keras.losses.Loss`; heads without a label loss are left out.

    Raises:
        ValueError: if there is none, if one expects probabilities or rates or does not average over
            the batch, or if a dict or list is wrong (see `given_by_head`).

    Example:
        >>> import keras
        >>> from rocket_tf.core.heads import heads_of
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> list(label_losses_by_head({"light": loss}, heads_of({"light": 0, "booster": 0})))
        ['light']
    """
    losses = {
        head: resolve_label_loss(head, head_loss)
        for head, head_loss in given_by_head(loss, heads).items()
        if head_loss is not None
    }
    if not losses:
        raise ValueError(
            "compile() needs a loss on the labels, such as "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True). "
            f"Received: loss={loss}"
        )
    return losses


def label_weights_by_head(loss_weights, losses, heads):
    """The weights of label losses.

    Args:
        loss_weights: as `RocketModel.compile` takes them.
        losses: as `label_losses_by_head` gives them.
        heads: dict from names to `Head`s.

    Returns:
        Dict from the keys of `losses` to floats; the default is 1.

    Raises:
        ValueError: if they are not a dict, have keys other than nets and outputs, or are for a head
            without a label loss.

    Example:
        >>> from rocket_tf.core.heads import heads_of
        >>> heads = heads_of({"light": 0, "booster": 0})
        >>> label_weights_by_head({"booster": 0.5}, {"light": "mse", "booster": "mse"}, heads)
        {'light': 1.0, 'booster': 0.5}
    """
    if loss_weights is not None and not isinstance(loss_weights, dict):
        raise ValueError(f"loss_weights must be a dict. Received: loss_weights={loss_weights}")
    weights = spread("loss_weights", loss_weights or {}, heads)
    idle = [head for head in weights if weights[head] and head not in losses]
    if idle:
        raise ValueError(
            f"loss_weights must be for heads with a loss. Received: loss_weights={loss_weights} "
            f"and no loss of {idle}; leave them out"
        )
    return {head: 1.0 if weights[head] is None else float(weights[head]) for head in losses}


def resolve_label_loss(net, loss):
    """A Keras loss on logits that averages over the batch, from what `compile` was given.

    Args:
        net: the head, for messages.
        loss: name, function, other callable, or `keras.losses.Loss`. As in Keras, anything else
            than a `Loss` becomes one, which gives labels the rank of the outputs.

    Raises:
        ValueError: if the loss expects probabilities or rates, or does not average over the batch.

    Example:
        >>> resolve_label_loss("light", "mse").name
        'mean_squared_error'
        >>> resolve_label_loss("light", "sparse_categorical_crossentropy")
        Traceback (most recent call last):
        ValueError: The nets give logits, ...
    """
    by_labels = isinstance(loss, str) and loss.lower() in ("ce", "crossentropy")
    resolved = keras.losses.get("categorical_crossentropy" if by_labels else loss)
    expected = expected_of_nets(resolved)
    if expected == "rates":
        raise ValueError(
            f"The nets give logits, numbers of any sign, but loss={loss!r} of {net} expects rates, "
            "which are positive; pass a function of the rates' logarithms, such as "
            "lambda y, log_rate: keras.ops.exp(log_rate) - y * log_rate"
        )
    if expected == "probabilities":
        raise ValueError(
            f"The nets give logits, but loss={loss!r} of {net} expects probabilities; pass a loss "
            "on logits, such as keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
        )
    if not isinstance(resolved, keras.losses.Loss):
        name = getattr(resolved, "__name__", type(resolved).__name__)
        return function_losses()(resolved, name=name)
    check_reduction(f"The label loss of {net}", resolved)
    return resolved


def expected_of_nets(loss):
    """What a loss expects from a net, if not logits or numbers of any sign.

    Args:
        loss: function or `keras.losses.Loss`. A class with its own `call` expects logits unless it
            is configured with `from_logits=False`.

    Returns:
        "probabilities", "rates" or `None`.

    Example:
        >>> expected_of_nets(keras.losses.KLDivergence()), expected_of_nets(keras.losses.poisson)
        ('probabilities', 'rates')
    """
    function, name = _function_and_name(loss)
    if name == "poisson":
        return "rates"
    from_logits = _from_logits(loss, function)
    return "probabilities" if name in _PROBABILITY_LOSSES or from_logits is False else None


def takes_labels(loss):
    """Whether a loss compares a net with labels or probabilities, and not with logits.

    Example:
        >>> takes_labels(keras.losses.BinaryCrossentropy(from_logits=True))
        True
        >>> takes_labels(keras.losses.Huber())
        False
    """
    function, name = _function_and_name(loss)
    has_from_logits = function is not None and _from_logits(loss, function) is not None
    return has_from_logits or name in (*_LOSSES_OF_LABELS, *_PROBABILITY_LOSSES, "poisson")


def _function_and_name(loss):
    """The function that a loss consists of, or `None`, and its name."""
    function = loss
    if isinstance(loss, keras.losses.Loss):
        # The loss's own function, unless a subclass calls something else.
        is_function = type(loss).call is function_losses().call
        function = loss.fn if is_function else None
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    return function, getattr(inner, "__name__", "")


def _from_logits(loss, function):
    """A loss's `from_logits`, or `None` if it has none."""
    if isinstance(loss, keras.losses.Loss):
        is_keras_own = function is not None or not hasattr(loss, "fn")
        configured = loss.get_config() if is_keras_own else {}
        if "from_logits" in configured:
            return bool(configured["from_logits"])
    try:
        parameters = inspect.signature(function).parameters if function is not None else {}
    except ValueError:  # for functions written in C
        return None
    return bool(parameters["from_logits"].default) if "from_logits" in parameters else None


def is_multi_label(logits, loss):
    """Whether a head is multi-label: each of several logits is a separate yes or no.

    Args:
        logits: a head's symbolic output.
        loss: its label loss, as `resolve_label_loss` gives it, or `None`.

    Example:
        >>> import keras
        >>> loss = keras.losses.BinaryCrossentropy(from_logits=True)
        >>> is_multi_label(keras.Input((5,)), loss), is_multi_label(keras.Input((1,)), loss)
        (True, False)
    """
    binary = keras.losses.BinaryCrossentropy | keras.losses.BinaryFocalCrossentropy
    return logits.shape[-1] != 1 and isinstance(loss, binary)


def is_binary(loss):
    """Whether a label loss treats each logit as a separate yes or no.

    Example:
        >>> import keras
        >>> is_binary(keras.losses.BinaryCrossentropy(from_logits=True)), is_binary(None)
        (True, False)
    """
    return _function_and_name(loss)[1] in ("binary_crossentropy", "binary_focal_crossentropy")


def is_of_one_class(loss):
    """Whether the labels of a label loss have one class each, as a number or one-hot.

    Example:
        >>> import keras
        >>> is_of_one_class(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        True
        >>> is_of_one_class(keras.losses.SparseCategoricalCrossentropy(ignore_class=0))
        False
    """
    names = (
        "sparse_categorical_crossentropy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
    )
    is_named = _function_and_name(loss)[1] in names
    says_so = getattr(loss, "labels_are_of_one_class", is_named)
    return says_so and getattr(loss, "ignore_class", None) is None


def check_reduction(what, loss):
    """Checks that a loss averages over the batch, as all terms of an objective do.

    Raises:
        ValueError: if it sums, does not reduce, or divides by the sum of sample weights.

    Example:
        >>> import keras
        >>> check_reduction("A hint's loss", keras.losses.MeanSquaredError(reduction="sum"))
        Traceback (most recent call last):
        ValueError: A hint's loss must average over the batch. ...
    """
    if loss.reduction not in ("sum_over_batch_size", "mean"):
        raise ValueError(
            f"{what} must average over the batch. Received: {loss.name} with "
            f"reduction={loss.reduction!r}; pass reduction='sum_over_batch_size'"
        )
