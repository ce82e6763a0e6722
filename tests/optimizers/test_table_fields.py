"""The fields that give embedding tables their own optimizer."""

import keras
import pytest

from rocket_tf.config import bundled
from rocket_tf.networks import Feature, click_pair
from rocket_tf.optimizers import SparseAdagrad, SparseAdam, SplitOptimizer
from rocket_tf.runs.building import make_optimizer


def optimizer_of(**changes):
    config = bundled.load("clicks")
    config.update(changes)
    return make_optimizer(config, 300)


def test_clicks_update_the_rows_of_a_batch():
    assert isinstance(optimizer_of(), SparseAdam)
    light, _ = click_pair([Feature("item", "category", buckets=9)])
    embeddings = [each for each in light.layers if isinstance(each, keras.layers.Embedding)]
    assert [type(each).__module__ for each in embeddings] == ["rocket_tf.networks.embedding"]


@pytest.mark.parametrize(
    "changes, table_class, table_rate",
    [
        ({"table_optimizer": "sparse_adagrad"}, SparseAdagrad, 1e-3),
        ({"table_learning_rate": 0.05}, SparseAdam, 0.05),
        (
            {"table_optimizer": "sparse_adagrad", "table_learning_rate": 0.05},
            SparseAdagrad,
            0.05,
        ),
    ],
)
def test_tables_can_have_their_own_optimizer(changes, table_class, table_rate):
    optimizer = optimizer_of(**changes)
    assert isinstance(optimizer, SplitOptimizer)
    assert type(optimizer.tables) is table_class and type(optimizer.rest) is SparseAdam
    assert float(optimizer.tables.learning_rate) == pytest.approx(table_rate)
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)


def test_the_learning_rate_of_tables_drops_at_the_same_steps():
    optimizer = optimizer_of(table_learning_rate=0.05)
    for part, rate in ((optimizer.tables, 0.05), (optimizer.rest, 1e-3)):
        part.iterations.assign(200)  # two thirds of 300 steps
        assert float(part.learning_rate) == pytest.approx(0.2 * rate)
