"""What a batch holds for the nets and for each term of the objective: inputs, labels, weights.

One rule aligns weights and masks with the values of all losses: label losses, hints on logits and
hints between layers. A loss gives values of shape (batch, ...), one for each example, position or
pixel.

- Weights and masks are aligned with values axis by axis from the first, the axis of examples. The
  sizes are equal, or one is 1.
- If they have fewer axes, all positions of an example have the same weight. (Keras aligns the last
  axes instead: weights (batch,) and values (batch, time) would be aligned by time step.)
- If they have more axes, or a hidden layer has other positions, an example has the mean of its
  weights over valid positions, and it is valid if any of its positions is. The weights of a label
  loss must fit, because they belong to labels.
- A term is the sum of weight times value over valid values, divided by their number, on all
  replicas together.
"""

import inspect

import keras
import tensorflow as tf
from keras import ops

from rocket_tf.core.distributed_model import sum_over_replicas
from rocket_tf.core.keras_internals import MASK

_NETS = {"light", "booster"}
# Keras's losses that average elements over the last axis. With labels (batch, time) and logits
# (batch, time, 1), they average over time, before weights or masks of steps can be applied.
_MEANS_OF_ELEMENTS = {
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "hinge",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "squared_hinge",
}


def inputs_of(model, x):
    """The inputs in a dict that a model takes; there may be others, for instance for metrics.

    Args:
        model: functional `keras.Model`.
        x: the inputs of a batch.

    Raises:
        ValueError: if one is missing.

    Example:
        >>> import keras
        >>> price = keras.Input((1,), name="price")
        >>> model = keras.Model({"price": price}, keras.layers.Dense(1)(price))
        >>> inputs_of(model, {"price": [[1.0]], "user": [[3]]})
        {'price': [[1.0]]}
    """
    if not isinstance(x, dict):
        return x
    names = keras.tree.map_structure(lambda tensor: tensor.name, model.input)
    if isinstance(names, dict):
        names = {name: name for name in names}
    missing = [name for name in keras.tree.flatten(names) if name not in x]
    if missing:
        raise ValueError(
            f"The nets take inputs {keras.tree.flatten(names)}, but {missing} are missing. "
            f"Received: {list(x)}"
        )
    return keras.tree.map_structure(lambda name: x[name], names)


def label_of(output, y):
    """The labels of one output, from those of a batch: one tensor, or a dict by output.

    Args:
        output: the output's name; `None` if it is the only one.
        y: the labels.

    Raises:
        ValueError: if there are none.

    Example:
        >>> label_of("click", {"click": 1, "like": 0})
        1
    """
    if output is None:
        return y
    if not isinstance(y, dict) or output not in y:
        raise ValueError(
            "Labels of nets with several outputs are a dict by output. Received: "
            f"{f'a dict of {list(y)}' if isinstance(y, dict) else type(y).__name__}; "
            f"{output!r} is missing"
        )
    return y[output]


def weights_of(sample_weight, net, output, outputs):
    """The weights of one term, which may belong to several outputs.

    Args:
        sample_weight: one tensor for all; a dict by output, which Keras makes of one array if
            labels are a dict; a dict by net, of tensors or dicts by output; or `None`.
        net: "light" or "booster"; for a hint, the net that follows.
        output: name of the output; `None` for the only one, and for a hidden layer.
        outputs: names of all outputs, `[None]` for the only one.

    Returns:
        Tuple of tensors; the term has the mean of these as weights. They are the output's own, or
        those of all outputs if it has none. Empty: no weights.

    Raises:
        ValueError: if a dict has other keys.

    Example:
        >>> by_output = {"click": 1.0, "like": 3.0}
        >>> weights_of(by_output, "light", "click", ["click", "like"])
        (1.0,)
        >>> weights_of(by_output, "light", None, ["click", "like"])
        (1.0, 3.0)
        >>> weights_of({"light": 2.0}, "booster", None, [None])
        ()
    """
    if sample_weight is None:
        return ()
    if not isinstance(sample_weight, dict):
        return (sample_weight,)
    if set(sample_weight) <= _NETS:
        return weights_of(sample_weight.get(net), net, output, outputs)
    weighted = [name for name in outputs if name in sample_weight]
    if not weighted or set(sample_weight) & _NETS:
        raise ValueError(
            "sample_weight, as a dict, has the keys 'light' and 'booster'"
            f"{'' if outputs == [None] else f', or those of the outputs {outputs}'}. Received: a "
            f"dict of {list(sample_weight)}"
        )
    if output in weighted:
        return () if sample_weight[output] is None else (sample_weight[output],)
    return tuple(1.0 if sample_weight[name] is None else sample_weight[name] for name in weighted)


def takes(loss, argument):
    """Whether a loss's `call` takes an argument after the two values that it compares.

    Example:
        >>> import keras
        >>> takes(keras.losses.MeanSquaredError(), "labels")
        False
    """
    return argument in list(inspect.signature(loss.call).parameters)[2:]


def mean_of(loss, target, prediction, weights=(), mask=None, labels=None, labels_of=None):
    """The mean of a loss over this replica's examples.

    Args:
        loss: `keras.losses.Loss`. If its `call` takes `mask`, it gets that of the positions, shape
            (batch, ...), if there is one. If it takes `labels`, it gets those given; if it takes
            `weights`, it gets those of positions, (batch, ...), with 0 at masked positions.
        target: the first argument of the loss: labels, or the followed values.
        prediction: the second argument, shape (batch, ..., width); its mask counts.
        weights: as `weights_of` gives them.
        mask: another mask, such as the target's, or `None`.
        labels: for a hint that takes them.
        labels_of: for messages, the name of the net's output if it is a label loss, else `None`.

    Returns:
        Scalar of Keras's floatx. The mean over replicas, weighted by their examples, is that of all
        examples.

    Raises:
        ValueError: if weights of a label loss do not fit its values, or belong to other examples.

    Example:
        >>> import keras, numpy as np
        >>> values = np.array([[1.0, 2.0], [3.0, 5.0]])[..., None]  # of two examples at two steps
        >>> loss = keras.losses.MeanAbsoluteError()
        >>> float(mean_of(loss, np.zeros((2, 2, 1)), values, [np.array([1.0, 0.0])]))
        0.75
    """
    floatx = keras.config.floatx()
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        return ops.cast(_call_loss(loss, target, prediction, weights), floatx)
    positions = prediction.shape[:-1]
    masks = [each for each in (mask, getattr(prediction, MASK, None)) if each is not None]
    target, prediction = (
        keras.tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype=loss.dtype), each)
        for each in (target, prediction)
    )
    if labels_of is not None and (weights or masks) and _lack_last_axis(target, prediction, loss):
        target = target[..., tf.newaxis]
    arguments = {}
    if masks and takes(loss, "mask"):
        arguments["mask"] = _all_valid(masks, positions)
    if labels_of is None and takes(loss, "labels"):
        arguments["labels"] = labels
    if labels_of is None and takes(loss, "weights"):
        arguments["weights"] = _weights_of_positions(prediction, weights, masks)
    values = loss.call(target, prediction, **arguments)
    if getattr(values, MASK, None) is not None:  # such as of labels that the loss ignores
        masks.append(getattr(values, MASK))
    values = ops.convert_to_tensor(values, dtype=loss.dtype)
    weight = _fitting_weight(weights, values, labels_of, masks, positions)
    if masks:
        # Valid values get larger weights, so that the mean over all values is theirs.
        valid = _all_valid(masks, values.shape)
        counts = tf.stack([tf.size(valid), tf.reduce_sum(tf.cast(valid, tf.int32))])
        total, count = tf.unstack(sum_over_replicas(tf.cast(counts, values.dtype)))
        factor = tf.where(valid, tf.math.divide_no_nan(total, count), 0)
        weight = factor if weight is None else weight * factor
    if weight is not None:
        values = values * weight
    number = tf.cast(tf.size(values), values.dtype)
    return ops.cast(tf.math.divide_no_nan(tf.reduce_sum(values), number), floatx)


def for_metrics(heads, measured, y, logits, sample_weight):
    """Labels and weights by head, for the metrics of Keras.

    Args:
        heads: dict from names to `Head`s.
        measured: names of the heads that have metrics. Keras needs labels for the others, too, so
            they get their logits.
        y: labels, one tensor or a dict by output.
        logits: dict from heads' names to logits.
        sample_weight: as `weights_of` takes them.

    Returns:
        `(labels, weights)`, dicts by the heads' names; `weights` may be `None`.

    Example:
        >>> from rocket_tf.core.heads import heads_of
        >>> for_metrics(heads_of({"light": 0, "booster": 0}), {"light"}, 1, {"booster": 0.5}, None)
        ({'light': 1, 'booster': 0.5}, None)
    """
    labels = {
        name: label_of(head.output, y) if name in measured else logits[name]
        for name, head in heads.items()
    }
    if sample_weight is None:
        return labels, None
    return labels, {
        name: metric_weight(head, heads, logits[name], sample_weight)
        for name, head in heads.items()
    }


def metric_weight(head, heads, logits, sample_weight):
    """One head's weights for metrics: of its examples, or of all positions if it has positions.

    Example:
        >>> import numpy as np
        >>> from rocket_tf.core.heads import heads_of
        >>> heads = heads_of({"light": 0})
        >>> logits = np.zeros((2, 3, 5), "float32")  # of two examples at three steps
        >>> metric_weight(heads["light"], heads, logits, np.array([1.0, 2.0])).numpy()
        array([[1., 1., 1.],
               [2., 2., 2.]], dtype=float32)
    """
    outputs = list(dict.fromkeys(each.output for each in heads.values()))
    weights = weights_of(sample_weight, head.net, head.output, outputs)
    if not weights or (len(weights) == 1 and len(logits.shape) == 2):
        return next(iter(weights), None)
    values = tf.zeros(tf.shape(logits)[:-1], keras.config.floatx())
    values = tf.ensure_shape(values, logits.shape[:-1])
    return values + _fitting_weight(weights, values)


def weights_of_classes(class_weight, y, logits, sample_weight=None):
    """Weights of positions by the classes of their labels.

    Args:
        class_weight: pairs of a class and its weight; other classes have weight 1. Empty: none.
        y: labels for each position: classes, shape (batch, ...) or (batch, ..., 1), or one-hot.
        logits: dict from "light" to the logits, shape (batch, ..., classes).
        sample_weight: weights if there are none of classes; Keras takes one of the two.

    Returns:
        Tensor of Keras's floatx, shape (batch, ...); `sample_weight` if there is no class weight.

    Raises:
        ValueError: if there are weights of both kinds.

    Example:
        >>> import numpy as np
        >>> y, logits = np.array([[0, 1, 1]]), {"light": np.zeros((1, 3, 2))}
        >>> weights_of_classes([(1, 5.0)], y, logits).numpy()
        array([[1., 5., 5.]], dtype=float32)
    """
    if not class_weight:
        return sample_weight
    if sample_weight is not None:
        raise ValueError(
            "As in Keras, class_weight and sample_weight cannot be given at the same time. Weigh "
            "the classes in sample_weight, which may have the labels' shape"
        )
    y = tf.convert_to_tensor(y)
    if len(y.shape) == len(logits["light"].shape):
        y = y[..., 0] if y.shape[-1] == 1 else tf.argmax(y, -1)
    classes = tf.cast(tf.round(tf.cast(y, tf.float64)), tf.int64)
    weights = tf.ones_like(classes, keras.config.floatx())
    for number, weight in class_weight:
        weights = tf.where(classes == number, tf.cast(weight, weights.dtype), weights)
    return weights


def _lack_last_axis(labels, logits, loss):
    """Whether labels lack the axis of single logits, for a loss that can take it."""
    return (
        getattr(getattr(loss, "fn", None), "__name__", "") in _MEANS_OF_ELEMENTS
        and len(logits.shape) == len(labels.shape) + 1 > 2
        and logits.shape[-1] == 1
    )


def _call_loss(loss, target, prediction, weights):
    """The value of a loss that applies weights itself, in its own `__call__`."""
    weight = sum(weights) / len(weights) if weights else None
    # Keras's losses give 1 / replicas of the mean, which is right only for even batches.
    count = tf.distribute.get_strategy().num_replicas_in_sync
    return loss(target, prediction, weight) * count


def _fitting_weight(weights, values, labels_of=None, masks=(), positions=()):
    """The mean of weights, in a shape that fits the values, or `None`."""
    fitted = []
    for weight in weights:
        weight = ops.convert_to_tensor(weight, dtype=values.dtype)
        _check_fit(weight.shape, values.shape, labels_of)
        shared = _shared_axes(weight.shape, values.shape)
        if masks and shared < len(weight.shape):
            weight = _mean_of_valid(weight, masks, positions, shared)
        fitted.append(_in_axes_of(values.shape, weight, tf.reduce_mean))
    return sum(fitted) / len(fitted) if len(fitted) > 1 else next(iter(fitted), None)


def _weights_of_positions(prediction, weights, masks):
    """The weight of each position of a prediction, 0 at masked positions."""
    ones = tf.ones_like(prediction[..., 0])
    weight = _fitting_weight(weights, ones, None, masks, ones.shape)
    weight = ones if weight is None else ones * weight
    return weight * tf.cast(_all_valid(masks, ones.shape), ones.dtype) if masks else weight


def _check_fit(shape, values, labels_of):
    shared = _shared_axes(shape, values)
    wrong_examples = shared == 0 and len(shape) and len(values)
    too_many = (
        labels_of is not None and len(values) and any(n not in (1, None) for n in shape[shared:])
    )
    if wrong_examples or too_many:
        what = "a hint" if labels_of is None else f"the label loss of {labels_of}"
        raise ValueError(
            f"sample_weight must have the axes of its values, from the first (the batch) on; it "
            f"may have fewer. Received: sample_weight of shape {tuple(shape)} for "
            f"{what} with values of shape {tuple(values)}"
        )


def _mean_of_valid(weight, masks, positions, axes):
    """The mean of weights over valid positions, for each place in the first axes."""
    weight = _in_axes_of(positions, weight, tf.reduce_mean)
    valid = tf.cast(_all_valid(masks, positions), weight.dtype) * tf.ones_like(weight)
    reduced_axes = list(range(axes, len(positions)))
    return tf.math.divide_no_nan(
        tf.reduce_sum(weight * valid, reduced_axes), tf.reduce_sum(valid, reduced_axes)
    )


def _all_valid(masks, shape):
    """Where all masks are true, in axes that fit a shape."""
    fitted = [_in_axes_of(shape, tf.cast(mask, tf.bool), tf.reduce_any) for mask in masks]
    valid = fitted[0]
    for other in fitted[1:]:
        valid &= other
    return valid


def _in_axes_of(shape, tensor, reduce):
    """A tensor with the axes that it shares with a shape, then axes of size 1 up to the rank."""
    shared = _shared_axes(tensor.shape, shape)
    if len(tensor.shape) > shared:
        tensor = reduce(tensor, list(range(shared, len(tensor.shape))))
    return tensor[(..., *[tf.newaxis] * (len(shape) - shared))] if shared < len(shape) else tensor


def _shared_axes(first, second):
    """How many axes, from the first on, have sizes that fit."""
    shared = 0
    for size, other in zip(first, second, strict=False):
        if size not in (1, None, other) and other is not None:
            break
        shared += 1
    return shared
