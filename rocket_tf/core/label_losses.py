"""Label losses, as `compile` is given them, resolved and checked."""

import inspect

import keras

from rocket_tf.core.heads import spread

# Keras's losses on probabilities that have no from_logits.
_PROBABILITY_LOSSES = (
    "kl_divergence",
    "poisson",
    "dice",
    "tversky",
    "categorical_generalized_cross_entropy",
)


class _FunctionLoss(keras.losses.Loss):
    """A loss function as a loss that averages over the batch."""

    def __init__(self, function):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self._function = function

    def call(self, y_true, y_pred):
        return self._function(y_true, y_pred)


def label_losses_by_head(loss, heads):
    """The label losses of heads, from what `compile` was given.

    Args:
        loss: as `RocketModel.compile` takes it.
        heads: dict from names to `Head`s.

    Returns:
        Dict from heads' names to `keras.losses.Loss`; heads without a label loss are left out.

    Raises:
        ValueError: if there is none, if one expects probabilities or does not average over the
            batch, or if a dict has other keys than nets and outputs.

    Example:
        >>> import keras
        >>> from rocket_tf.core.heads import heads_of
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> list(label_losses_by_head({"light": loss}, heads_of({"light": 0, "booster": 0})))
        ['light']
    """
    losses = {
        head: resolve_label_loss(head, head_loss)
        for head, head_loss in spread("loss", loss, heads).items()
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
        Dict from the keys of `losses` to floats, 1 where none is given.

    Raises:
        ValueError: if they are no dict, have other keys than nets and outputs, or weigh a head
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
            f"loss_weights must be of heads with a loss. Received: loss_weights={loss_weights} "
            f"and no loss of {idle}; leave them out"
        )
    return {head: 1.0 if weights[head] is None else float(weights[head]) for head in losses}


def resolve_label_loss(net, loss):
    """A Keras loss on logits that averages over the batch, from what `compile` was given.

    Args:
        net: the head, for messages.
        loss: name, function or `keras.losses.Loss`.

    Raises:
        ValueError: if the loss expects probabilities, or does not average over the batch.

    Example:
        >>> resolve_label_loss("light", "mse").name
        'mean_squared_error'
        >>> resolve_label_loss("light", "sparse_categorical_crossentropy")
        Traceback (most recent call last):
        ValueError: The nets give logits, ...
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
    """Whether each of several logits is a yes or no of its own, as its label loss says.

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
