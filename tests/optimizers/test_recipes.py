"""The optimizers and schedules that a configuration can name, against hand-computed values."""

import keras
import numpy as np
import pytest

from rocket_tf import config as options
from rocket_tf.errors import ConfigError
from rocket_tf.optimizers import SGDWithL2, SparseAdam, SplitOptimizer, WarmUp
from rocket_tf.runs.building import make_optimizer, make_schedule
from tests.small_runs import small_config

CLICKS = {"dataset": "simulated_clicks", "weight_decay": 0.0}


def config_with(**changes):
    """A configuration of 10 epochs; the schedules below have 200 steps, 20 in each epoch."""
    return small_config(epochs=10, learning_rate=0.5, **changes)


class TestSchedules:
    def test_cosine(self):
        schedule = make_schedule(config_with(learning_rate_schedule="cosine"), 200)
        for step in (0, 50, 100, 199):
            expected = 0.25 * (1 + np.cos(np.pi * step / 200))
            assert float(schedule(step)) == pytest.approx(expected, abs=1e-6)

    def test_constant(self):
        config = config_with(learning_rate_schedule="constant", learning_rate_drops=(0.3, 0.6))
        schedule = make_schedule(config, 200)
        assert [float(schedule(step)) for step in (0, 60, 199)] == [0.5] * 3

    @pytest.mark.parametrize("name", ["cosine", "constant", "drops"])
    def test_warm_up_is_a_factor(self, name):
        changes = {"learning_rate_schedule": name, "learning_rate_drops": (0.3,)}
        plain = make_schedule(config_with(**changes), 200)
        warm = make_schedule(config_with(warmup_epochs=1.5, **changes), 200)  # 30 steps
        for step, factor in ((0, 1 / 30), (14, 0.5), (29, 1), (30, 1), (61, 1)):
            assert float(warm(step)) == pytest.approx(factor * float(plain(step)), rel=1e-6)

    def test_a_schedule_survives_serialization(self):
        schedule = WarmUp(keras.optimizers.schedules.ExponentialDecay(0.5, 7, 0.9), 3)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
        assert [float(again(step)) for step in range(9)] == [float(schedule(s)) for s in range(9)]


class TestOptimizers:
    def test_nesterov(self):
        optimizer = make_optimizer(config_with(optimizer="sgd_nesterov"), 200)
        assert isinstance(optimizer, SGDWithL2)
        assert (optimizer.nesterov, optimizer.momentum, optimizer.l2) == (True, 0.9, 5e-4)

    @pytest.mark.parametrize(
        "name, its_class", [("adamw", keras.optimizers.AdamW), ("sparse_adamw", SparseAdam)]
    )
    def test_decoupled_decay_does_not_touch_biases_and_normalizations(self, name, its_class):
        config = config_with(optimizer=name, weight_decay=0.2)
        config.update(learning_rate_schedule="constant", learning_rate=0.1)
        optimizer = make_optimizer(config, 200)
        assert isinstance(optimizer, its_class)
        names = ("kernel", "bias", "gamma", "beta", "embeddings", "beta_kernel")
        variables = [keras.Variable([2.0], name=each) for each in names]
        # Without a gradient, only the decay remains.
        optimizer.apply([keras.ops.zeros(1) for _ in names], variables)
        moved = {v.name: float(v.numpy()[0]) for v in variables if v.numpy()[0] != 2.0}
        assert moved == pytest.approx(
            dict.fromkeys(("kernel", "embeddings", "beta_kernel"), 2 * (1 - 0.02))
        )

    @pytest.mark.parametrize("name", ["sgd", "adam", "sparse_adam"])
    def test_clipping(self, name):
        decay = 5e-4 if name == "sgd" else 0.0
        config = config_with(optimizer=name, weight_decay=decay, gradient_clip_norm=1.5)
        assert make_optimizer(config, 200).global_clipnorm == 1.5
        config["gradient_clip_norm"] = 0.0
        assert make_optimizer(config, 200).global_clipnorm is None

    def test_clipping_of_tables_and_the_rest_together(self):
        config = config_with(
            optimizer="sparse_adam", table_learning_rate=0.1, gradient_clip_norm=1.5, **CLICKS
        )
        optimizer = make_optimizer(config, 200)
        assert isinstance(optimizer, SplitOptimizer) and optimizer.global_clipnorm == 1.5
        assert optimizer.tables.global_clipnorm is optimizer.rest.global_clipnorm is None

    def test_averages(self):
        optimizer = make_optimizer(config_with(average_momentum=0.75), 200)
        assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.75)
        assert not make_optimizer(config_with(), 200).use_ema


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"warmup_epochs": 4.0, "epochs": 3}, "warmup_epochs: got 4.0, expected at most epochs, 3"),
        ({"patience": 2}, "patience: got 2 with validation_examples=0"),
        ({"optimizer": "adam"}, "weight_decay: got 0.0005 with optimizer=adam, expected 0"),
        (
            {"class_weights": (1.0,), "balance_classes": True},
            "balance_classes: got True with class_weights",
        ),
        ({"class_weights": (1.0, 2.0)}, "class_weights: got 2 numbers, expected 10, one for each"),
        ({"class_weights": (1.0, -2.0)}, "class_weights: .*expected a number above 0 for each"),
        ({"mixup": 0.2, "balance_classes": True}, "mixup: got 0.2 with balance_classes"),
        ({"cutmix": 0.2, "class_weights": (1.0,) * 10}, "cutmix: got 0.2 with class_weights"),
        (
            {"average_momentum": 0.9, "optimizer": "sparse_adam", "dataset": "simulated_clicks"},
            "average_momentum: got 0.9 with optimizer=sparse_adam.*take one of adam, adamw",
        ),
        (
            {
                "average_momentum": 0.9,
                "optimizer": "adam",
                "table_learning_rate": 0.1,
                "dataset": "simulated_clicks",
            },
            "table_learning_rate: got 0.1 with average_momentum=0.9",
        ),
        ({"label_smoothing": 1.0}, "label_smoothing: got 1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    config = {**options.default(), "dataset": "digits", "batch_size": 32, **changes}
    if changes.get("dataset") == "simulated_clicks":
        config["weight_decay"] = 0.0
    with pytest.raises(ConfigError, match=f"config.{message}"):
        options.check(config)
