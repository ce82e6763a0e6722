"""Where the objective's gradients go inside a model, and where its nets are active."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.core import graph
from rocket_tf.core.hint_losses import attention_map
from rocket_tf.core.objective import SHARED, parts

if TYPE_CHECKING:
    from rocket_tf.core.rocket_model import RocketModel


def gradient_flow(
    model: "RocketModel", x: Any, y: Any, sample_weight: Any = None
) -> dict[str, dict[str, float | None]]:
    """How strongly each term of the objective pulls at each part of a model, for one batch.

    Args:
        model: compiled `RocketModel`. It runs as in training, but its variables do not change.
        x: inputs, one batch.
        y: labels.
        sample_weight: weights of the examples, or a dict of them by output, or `None`.

    Returns:
        Dict from the terms' names in the logs (`light_loss`, `booster_loss`, `hint_loss`, ...) to
        dicts from the parts ("shared", "light only", "booster only") to floats: the Euclidean norm
        of the gradient of weight · term with respect to all of the part's parameters. It is exactly
        0 if no gradient arrives, and `None` for parts without parameters.

    Raises:
        ValueError: if the model is not a compiled `RocketModel`.

    Example:
        >>> import keras, numpy as np, rocket_tf
        >>> inputs = keras.Input((5,))
        >>> low = keras.layers.Dense(4, activation="relu", name="low")(inputs)
        >>> light = keras.Model(inputs, keras.layers.Dense(3)(low), name="light")
        >>> high = keras.layers.Dense(8, activation="relu", name="high")(low)
        >>> booster = keras.Model(inputs, keras.layers.Dense(3)(high), name="booster")
        >>> rocket = rocket_tf.RocketModel(light, booster, hint="logits_mse")
        >>> rocket.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> flow = rocket_tf.gradient_flow(rocket, np.ones((8, 5), np.float32), np.zeros(8, int))
        >>> flow["hint_loss"]["booster only"]  # the gradient is blocked
        0.0
    """
    if not hasattr(model, "objective_terms") or not model.compiled:
        raise ValueError(
            "gradient_flow needs a RocketModel whose losses are set by compile(). "
            f"Received: model={model!r}"
        )
    by_part = {
        part: [variable.value for variable in variables]
        for part, variables in parts(
            model.light, model.booster, lambda net: net.trainable_variables
        ).items()
    }
    state = [(variable, variable.numpy()) for variable in model.non_trainable_variables]
    x, y, sample_weight = (
        keras.tree.map_structure(_as_tensor, value) for value in (x, y, sample_weight)
    )
    try:
        with tf.GradientTape(persistent=True) as tape:
            logits, hidden = model.forward(x, training=True)
            terms = {
                name: weight * value
                for name, (weight, value) in model.objective_terms(
                    x, y, logits, sample_weight, hidden
                ).items()
            }
        return {
            name: {
                part: 0.0
                if variables and part == SHARED and model.objective.part_of(name) == "light"
                else _norm(tape, term, variables)
                for part, variables in by_part.items()
            }
            for name, term in terms.items()
        }
    finally:
        for variable, value in state:
            variable.assign(value)


def attention_maps(net: keras.Model, images: Any, layers: Sequence[str]) -> list[np.ndarray]:
    """Maps of where layers of a net are active (the paper's Figure 5).

    Args:
        net: functional `keras.Model`.
        images: one batch of its inputs.
        layers: names of layers whose outputs are (batch, height, width, channels).

    Returns:
        List of float32 arrays (batch, height, width), one for each layer: the mean of squares over
        channels, scaled to Euclidean length 1 for each image.

    Raises:
        ValueError: if the net has no such layer.

    Example:
        >>> import numpy as np, rocket_tf
        >>> light, _ = rocket_tf.networks.wide_resnet_pair(light_depth=10, booster_depth=16)
        >>> images = np.zeros((1, 32, 32, 3), np.float32)
        >>> layers = rocket_tf.networks.group_outputs(light)
        >>> [each.shape for each in rocket_tf.attention_maps(light, images, layers)]
        [(1, 32, 32), (1, 16, 16), (1, 8, 8)]
    """
    _, hidden = graph.reader(net.name, net, layers)(images, training=False)
    maps = []
    for layer in layers:
        activations = tf.cast(hidden[layer], tf.float32)
        maps.append(np.reshape(attention_map(activations), activations.shape[:-1]))
    return maps


def _norm(tape, term, variables):
    if not variables:
        return None
    gradients = [
        tf.cast(tf.convert_to_tensor(gradient), tf.float64)
        for gradient in tape.gradient(term, variables)
        if gradient is not None
    ]
    return float(tf.linalg.global_norm(gradients)) if gradients else 0.0


def _as_tensor(value):
    """Converts an input as `fit` does; optional inputs may be `None`, others sparse or ragged."""
    is_one = value is None or isinstance(value, tf.SparseTensor | tf.RaggedTensor)
    return value if is_one else tf.convert_to_tensor(value)
