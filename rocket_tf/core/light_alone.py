"""Data without the inputs that only the booster reads: only the light net is evaluated on it.

The examples in this module are of a rocket whose booster alone reads how long an item was in view:

    >>> import keras, numpy as np, rocket_tf
    >>> price, dwell = keras.Input((1,), name="price"), keras.Input((1,), name="dwell")
    >>> light = keras.Model({"price": price}, keras.layers.Dense(1)(price), name="light")
    >>> both = keras.layers.Concatenate()([price, dwell])
    >>> inputs = {"price": price, "dwell": dwell}
    >>> booster = keras.Model(inputs, keras.layers.Dense(1)(both), name="booster")
    >>> rocket = rocket_tf.RocketModel(light, booster)
"""

import keras
import tensorflow as tf

from rocket_tf.core.batch import inputs_of
from rocket_tf.core.distributed_model import call_on_replica
from rocket_tf.core.heads import by_output
from rocket_tf.core.inputs import keys_of, order_of


def lacks_booster_only(rocket, x):
    """Whether data has none of the inputs that only the booster reads.

    Args:
        rocket: a `RocketModel`; in the examples, the one in the module's docstring.
        x: the inputs of a batch: a dict by name, or in the structure of the rocket's inputs, or in
            that of the light net's.

    Raises:
        ValueError: if a dict has some of them.

    Example:
        >>> rocket.booster_only_inputs, lacks_booster_only(rocket, {"price": [[1.0]]})
        (('dwell',), True)
    """
    names = rocket.booster_only_inputs
    if not names:
        return False
    if not isinstance(x, dict):
        return len(keras.tree.flatten(x)) == len(rocket.light.inputs)
    missing = [name for name in names if name not in x]
    if missing and len(missing) < len(names):
        raise ValueError(
            f"Data must have all inputs that only the booster reads, {list(names)}, or none of "
            "them; without them, only the light net is evaluated. Received: "
            f"{list(x)}; {missing} are missing"
        )
    return bool(missing)


def inputs_of_net(net, rocket, x):
    """The inputs of a batch for a net that may take fewer than the rocket.

    Args:
        net: the light net, or one with the same inputs.
        rocket: as for `lacks_booster_only`.
        x: as for `lacks_booster_only`.

    Returns:
        The net's inputs in its structure, or in the rocket's if it takes as many.

    Raises:
        ValueError: if one is missing.

    Example:
        >>> inputs_of_net(light, rocket, {"price": 1, "dwell": 2})
        {'price': 1}
    """
    if not rocket.booster_only_inputs:
        return inputs_of(rocket, x)
    flat = keras.tree.flatten(x)
    if isinstance(x, dict) or len(flat) == len(net.inputs):
        return inputs_of(net, x)
    chosen = [flat[position] for position in order_of(net.input, rocket.input)]
    return keras.tree.pack_sequence_as(net.input, chosen)


def test_light(rocket, x, y, sample_weight):
    """One step of an evaluation of the light net alone: its label losses, and its metrics.

    Args:
        rocket: as for `lacks_booster_only`.
        x: as for `lacks_booster_only`.
        y: labels, as for `RocketModel.compute_loss`.
        sample_weight: as for `RocketModel.compute_loss`.

    Returns:
        The logs as a dict.

    Example:
        >>> rocket.compile("sgd", "mse")
        >>> one = np.ones((2, 1), "float32")
        >>> list(test_light(rocket, {"price": one}, one, None))
        ['loss', 'light_loss']
    """
    outputs = call_on_replica(rocket.read_light, inputs_of_net(rocket.light, rocket, x), False)
    outputs = by_output(outputs)
    logits = {name: outputs[h.output] for name, h in rocket.heads.items() if h.net == "light"}
    terms = rocket.objective.label_terms(y, logits, sample_weight)
    rocket.record(terms, rocket.light, logits)
    rocket.head_metrics.ranking.update(x, y, logits, sample_weight)
    logits = _with_stand_ins(rocket, logits)
    return of_light(rocket, rocket.compute_metrics(x, y, logits, sample_weight))


def of_light(rocket, logs):
    """The logs of an evaluation of the light net alone.

    Args:
        rocket: as for `lacks_booster_only`.
        logs: a dict, which may have those of the booster and of hints, too.

    Example:
        >>> of_light(rocket, {"light_loss": 1, "booster_loss": 2, "hint_loss": 3})
        {'light_loss': 1}
    """
    hint_names = {hint.name for hint in rocket.hints}
    return {
        name: value
        for name, value in logs.items()
        if name not in hint_names and not name.startswith("booster_")
    }


def completed(rocket, data_batch):
    """A batch for Keras to build from, with zeros for the inputs that only the booster reads.

    Args:
        rocket: as for `lacks_booster_only`.
        data_batch: `(x, y)` or `(x, y, sample_weight)`.

    Example:
        >>> x, y = completed(rocket, ({"price": np.ones((2, 1))}, np.ones((2, 1))))
        >>> sorted(x), x["dwell"].shape
        (['dwell', 'price'], TensorShape([2, 1]))
    """
    x, *others = data_batch
    if not lacks_booster_only(rocket, x):
        return data_batch
    light_inputs = inputs_of_net(rocket.light, rocket, x)
    inputs = dict(zip(keys_of(rocket.light.input), keras.tree.flatten(light_inputs), strict=True))
    for name, tensor in zip(keys_of(rocket.input), rocket.inputs, strict=True):
        if name in rocket.booster_only_inputs:
            inputs[name] = tf.zeros((tf.shape(others[0])[0], *tensor.shape[1:]), tensor.dtype)
    return (inputs, *others)


def _with_stand_ins(rocket, logits):
    """Logits by heads' names, with the light net's for the booster's heads.

    Keras's metrics need logits of all heads. Those of the booster are not logged.
    """
    logits_by_output = {rocket.heads[name].output: tensor for name, tensor in logits.items()}
    return {name: logits_by_output[head.output] for name, head in rocket.heads.items()}
