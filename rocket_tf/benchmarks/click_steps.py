"""Training steps of click nets: the paper's towers over two tables of 16 columns."""

import keras
import tensorflow as tf
from keras import layers

from rocket_tf.benchmarks.settings import CLICK_TOWERS, HISTORY, TABLE_WIDTH, random_clicks
from rocket_tf.core.rocket_model import RocketModel
from rocket_tf.networks import Embedding, FusedBatchNormalization
from rocket_tf.optimizers import SparseAdam


def training_step(settings, share=1.0, history=False, sparse=True):
    """A training step of the rocket, as in `fit`.

    Args:
        settings: a `Settings`.
        share: rows of each table, as a fraction of `settings.table_rows`.
        history: whether the mean of 20 more rows of the second table is an input, too.
        sparse: whether to use this package's layers and optimizer instead of Keras's `Embedding`,
            `BatchNormalization` and `Adam`.

    Returns:
        Function without arguments that takes one step and waits for its loss.
    """
    rows = settings.rows_of(share)
    model = RocketModel(*_pair(sparse, rows, history))
    optimizer = SparseAdam(1e-3) if sparse else keras.optimizers.Adam(1e-3)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = tf.data.Dataset.from_tensor_slices(random_clicks(settings, rows, history)).repeat()
    model.fit(data, steps_per_epoch=1, shuffle=False, verbose=0)  # builds the train function
    iterator = iter(data)
    return lambda: float(model.train_function(iterator)["loss"])


def _pair(sparse, rows, history):
    embedding = Embedding if sparse else layers.Embedding
    normalization = FusedBatchNormalization if sparse else layers.BatchNormalization
    ids = keras.Input((2 + HISTORY * history,), dtype="int64", name="ids")
    tables = [embedding(rows, TABLE_WIDTH, name=name) for name in ("user", "item")]
    vectors = [table(ids[:, column]) for column, table in enumerate(tables)]
    if history:
        vectors.append(keras.ops.mean(tables[1](ids[:, 2:]), axis=1))
    low = layers.Concatenate(name="low")(vectors)
    return [_tower(ids, low, net, widths, normalization) for net, widths in CLICK_TOWERS.items()]


def _tower(ids, low, net, widths, normalization):
    x = low
    for width in widths:
        x = layers.Dense(width)(x)
        if net == "booster":
            x = normalization()(x)
        x = layers.ReLU()(x)
    return keras.Model(ids, layers.Dense(2, name=f"{net}_logits")(x), name=net)
