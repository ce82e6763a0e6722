"""The program of each worker process in test_multi_worker: it trains and writes the results.

python -m tests.distribution.multi_worker_job <file to write>
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

from rocket_tf import RocketModel
from rocket_tf.core.distributed_model import DistributedModel
from rocket_tf.distribution.strategy import make_strategy
from rocket_tf.networks import Embedding
from rocket_tf.optimizers import SparseAdam
from tests.nets import examples, linear_pair
from tests.trainings import trained

# Examples and batch size: odd batches, a smaller last batch, an empty worker in the last batch.
SIZES = {"odd": (34, 17), "uneven": (29, 8), "empty": (17, 8)}


def fitted_to_arrays(strategy):
    """The losses and weights after `fit` on arrays, which Keras shuffles."""
    keras.utils.set_random_seed(5)
    with strategy.scope():
        rocket = RocketModel(*linear_pair())
        rocket.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = rocket.fit(*examples(20), 8, 2, verbose=0).history
    return history["loss"], rocket.get_weights()


def fitted_on_tables(strategy):
    """The losses, weights and moments after sparse updates of a table that both nets read.

    Ids repeat within a batch, on one worker and across both; one worker's last batch is empty; and
    the global norm is clipped.
    """
    random = np.random.default_rng(2)
    ids, y = random.integers(0, 7, (21, 3)), random.integers(0, 3, 21)
    keras.utils.set_random_seed(5)
    with strategy.scope():
        inputs = keras.Input((3,), dtype="int64")
        low = keras.layers.Flatten()(Embedding(9, 2, name="table")(inputs))
        nets = [
            keras.Model(inputs, keras.layers.Dense(3, name=f"{role}_logits")(low), name=role)
            for role in ("light", "booster")
        ]
        rocket = RocketModel(*nets, hint_weight=0.3)
        optimizer = SparseAdam(0.1, global_clipnorm=0.5)
        rocket.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = tf.data.Dataset.from_tensor_slices((ids, y)).batch(10)
    history = rocket.fit(data, epochs=3, verbose=0).history
    state = [variable.numpy() for variable in optimizer.variables[2:]]  # without the step
    return history["loss"], rocket.get_weights(), state


def flat(results):
    return np.concatenate([np.ravel(part) for part in keras.tree.flatten(results)])


def results(strategy):
    """The arrays, by name, in which both workers and a single process must agree."""
    computed = {
        name: flat(trained(strategy, linear_pair, examples(count), batch_size, epochs=2))
        for name, (count, batch_size) in SIZES.items()
    }
    computed["tables"] = flat(fitted_on_tables(strategy))
    return computed | {"arrays": flat(fitted_to_arrays(strategy))}


def error_of(strategy, without):
    """The error of `fit` if Keras's own method replaces one remedy, or an empty text."""
    kept = {without: getattr(keras.Model, without)}
    with strategy.scope():
        light, _ = linear_pair()
        model = type("Model", (DistributedModel,), kept)(light.input, light.output)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = examples(16)
    try:
        model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main():
    strategy = make_strategy()
    with strategy.scope():
        unseeded = RocketModel(*linear_pair())
        unseeded.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    try:
        unseeded.fit(*examples(8), verbose=0)
    except ValueError as error:
        refused = str(error)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    computed = results(strategy)
    np.savez(
        sys.argv[1],
        refused=refused,
        without_build=error_of(strategy, "_maybe_symbolic_build"),
        without_vectors=error_of(strategy, "_make_function"),
        **computed,
    )


if __name__ == "__main__":
    main()
