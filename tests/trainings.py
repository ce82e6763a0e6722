"""Trains a model under any strategy, and compares the results."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from rocket_tf import RocketModel


def trained(strategy, pair, data, batch_size, epochs=3, gradient_block=True, make_hints=None):
    """The history, evaluation, predictions and weights of a short training."""
    keras.utils.set_random_seed(3)
    x, y = data
    weights = np.linspace(0.5, 2.0, len(x))
    dataset = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(batch_size)
    with strategy.scope() if strategy else contextlib.nullcontext():
        hints = {"hint_weight": 0.3} if make_hints is None else {"hint": make_hints()}
        rocket = RocketModel(*pair(), **hints, gradient_block=gradient_block)
        rocket.compile(
            optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            run_eagerly=strategy is None,  # gives the same results, faster for a few steps
        )
    history = rocket.fit(dataset, validation_data=dataset, epochs=epochs, verbose=0).history
    logs = rocket.evaluate(dataset, return_dict=True, verbose=0)
    return history, logs, rocket.predict(x, batch_size=batch_size, verbose=0), rocket.get_weights()


def assert_trained_alike(one, two, x, y):
    """Trains two models from the first one's weights; results must agree up to float32's rounding.

    Args:
        one: compiled model.
        two: another model with the same layers, such as one on two replicas.
        x: 7 examples; in batches of 4, the last batch is smaller and splits unevenly.
        y: their labels.
    """
    two.set_weights(one.get_weights())
    histories = [
        model.fit(x, y, batch_size=4, shuffle=False, epochs=2, verbose=0).history
        for model in (one, two)
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5)
    for mine, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
