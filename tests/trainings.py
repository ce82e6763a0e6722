"""A training on any strategy, and what comes of it."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from rocket_tf import RocketModel


def trained(strategy, pair, data, batch_size, epochs=3, gradient_block=True):
    """History, evaluation, predictions and weights after some training."""
    keras.utils.set_random_seed(3)
    x, y = data
    weights = np.linspace(0.5, 2.0, len(x))
    dataset = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(batch_size)
    with strategy.scope() if strategy else contextlib.nullcontext():
        rocket = RocketModel(*pair(), hint_weight=0.3, gradient_block=gradient_block)
        rocket.compile(
            optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    history = rocket.fit(dataset, validation_data=dataset, epochs=epochs, verbose=0).history
    logs = rocket.evaluate(dataset, return_dict=True, verbose=0)
    return history, logs, rocket.predict(x, batch_size=batch_size, verbose=0), rocket.get_weights()
