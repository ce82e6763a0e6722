"""Mixed precision: logits and losses are float32, and float16 trains with loss scaling."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import Hint, RocketModel, train
from rocket_tf.core.distributed_model import LossScaling
from rocket_tf.core.hints import HINT_LOSSES
from rocket_tf.errors import NonFiniteLossError
from rocket_tf.optimizers.sgd import SGDWithL2
from rocket_tf.runs.building import build_model, build_nets
from rocket_tf.runs.callbacks import StopOnNonFiniteLoss
from rocket_tf.runs.finished import keras_settings
from tests.convolutional_pairs import LAYERS, images, pair
from tests.nets import CROSS_ENTROPY, examples, linear_pair, weights_of
from tests.reference import (
    attention,
    cosine,
    dist,
    dkd,
    euclidean,
    kd,
    logits_mse,
    sigmoid_kd,
    sigmoid_mse,
    softmax_mse,
)
from tests.small_runs import (
    card_of,
    few_digits,
    interrupted_after_epoch,
    metrics,
    newest_checkpoint,
    quick_runs,
    small_config,
    state,
)

POLICIES = ["mixed_bfloat16", "mixed_float16"]
ON_LOGITS = {
    "logits_mse": logits_mse,
    "softmax_mse": softmax_mse,
    "kd": kd,
    "dkd": lambda followed, light: dkd(followed, light, [2, 0]),
    "dist": dist,
    "sigmoid_mse": sigmoid_mse,
    "sigmoid_kd": sigmoid_kd,
    "cosine": cosine,
    "euclidean": euclidean,
}
SCALE = 2.0**15  # Keras's initial scale

# Large: squared differences exceed float16's 65504. Close: both dtypes round the differences.
LOGITS = {
    "large": ([[300.0, -299.5, 12.25], [-250.0, 3.5, 260.0]], [[-310.0, 298.0, 7.0], [1.5, 0, 2]]),
    "close": ([[1000.1, 1000.3, 999.9], [0.1, 0.2, 0.3]], [[1000.2, 1000.0, 1000.1], [0.3, 0, 0]]),
}


def cross_entropy(labels, logits):
    """The cross-entropy in float64 NumPy, finite even where a softmax underflows to 0."""
    logits = logits.astype(np.float64)
    above = logits - logits.max(-1, keepdims=True)
    logarithms = above - np.log(np.exp(above).sum(-1, keepdims=True))
    return -logarithms[np.arange(len(labels)), labels]


@pytest.mark.parametrize("policy", POLICIES)
class TestFloat32:
    def test_logits_of_the_nets_of_a_configuration(self, policy):
        config = small_config(precision=policy)
        with keras_settings(config):
            nets = build_nets(config, card_of(config))
        pixels = np.zeros((2, 8, 8, 1), np.uint8)
        for net in nets:
            assert net(pixels).dtype == tf.float32
            hidden = net.layers[-2].output
            assert hidden.dtype == policy.removeprefix("mixed_")

    @pytest.mark.parametrize("case", LOGITS)
    @pytest.mark.parametrize("name", HINT_LOSSES)
    def test_hints_and_label_losses_equal_numpy(self, policy, name, case):
        keras.config.set_dtype_policy(policy)
        booster, light = (np.array(logits, np.float32) for logits in LOGITS[case])
        labels = np.array([2, 0])
        logits = {"light": tf.constant(light), "booster": tf.constant(booster)}
        hidden = None
        if name == "attention":
            rocket = RocketModel(*pair(), hint=Hint(name, layers=LAYERS))
            mine, theirs = (
                np.random.default_rng(seed).normal(0, 300, (2, 4, 4, channels)).astype(np.float16)
                for seed, channels in enumerate((2, 5))
            )
            hidden = {
                "light": {"light_high": tf.constant(mine)},
                "booster": {"booster_high": tf.constant(theirs)},
            }
            expected = (attention(mine.astype(float)) - attention(theirs.astype(float))) ** 2
        else:
            rocket = RocketModel(*linear_pair(), hint=name)
            expected = ON_LOGITS[name](booster.astype(float), light.astype(float))
        rocket.compile("sgd", CROSS_ENTROPY)
        terms = rocket.objective_terms(None, labels, logits, hidden=hidden)
        expected = {
            "hint_loss": expected.mean(),
            "light_loss": cross_entropy(labels, light).mean(),
            "booster_loss": cross_entropy(labels, booster).mean(),
        }
        for term, (_, value) in terms.items():
            assert value.dtype == tf.float32
            # A divergence sums differences of logarithms, here multiplied by T² · beta = 128.
            atol = 1e-5 if (name, term) == ("dkd", "hint_loss") else 2e-7
            np.testing.assert_allclose(value, expected[term], rtol=1e-6, atol=atol)

    def test_hidden_layers_are_compared_in_float32(self, policy):
        """The nets' activations are in half precision; their squares exceed float16's range."""
        keras.config.set_dtype_policy(policy)
        hint = Hint("attention", layers=LAYERS)
        rocket = RocketModel(*pair(), hint=hint)
        rocket.compile("sgd", CROSS_ENTROPY)
        x, y = images(4)
        logits, hidden = rocket.forward(1000 * x, training=False)
        mine, theirs = hidden["light"]["light_high"], hidden["booster"]["booster_high"]
        assert mine.dtype == theirs.dtype == policy.removeprefix("mixed_")
        mine, theirs = (tf.cast(outputs, tf.float64).numpy() for outputs in (mine, theirs))
        assert (mine**2).max() > 65504
        _, value = rocket.objective_terms(x, y, logits, hidden=hidden)["hint_loss"]
        assert value.dtype == tf.float32
        expected = np.mean((attention(mine) - attention(theirs)) ** 2)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def scaled(weight, optimizer=None, **arguments):
    """A rocket of linear nets with weighted label losses, compiled under the current policy."""
    rocket = RocketModel(*linear_pair(), hint=None)
    rocket.compile(
        optimizer or keras.optimizers.SGD(1.0),
        CROSS_ENTROPY,
        loss_weights={"light": weight, "booster": weight},
        **arguments,
    )
    return rocket


def step_of(rocket, x, y):
    """What a step subtracts from each matrix, and the step's logs."""
    before = weights_of(rocket)
    logs = rocket.train_on_batch(x, y, return_dict=True)
    return {name: before[name] - after for name, after in weights_of(rocket).items()}, logs


class TestLossScaling:
    @pytest.fixture(autouse=True)
    def float16(self, same_start):
        keras.config.set_dtype_policy("mixed_float16")

    @pytest.mark.parametrize("method", ["rocket", "light"])
    def test_a_configured_model_scales_losses_only_in_float16(self, method):
        for precision in ("float32", *POLICIES):
            config = small_config(precision=precision, method=method)
            with keras_settings(config):
                optimizer = build_model(config, card_of(config)).optimizer
            if precision == "mixed_float16":
                assert isinstance(optimizer, LossScaling)
                optimizer = optimizer.inner_optimizer
            assert isinstance(optimizer, SGDWithL2)

    def test_gradients_too_small_for_float16_still_arrive(self):
        x, y = examples(7)
        weight, rate = 1e-8, 1e8
        scales = scaled(weight, keras.optimizers.SGD(rate))
        scales_not = scaled(weight, keras.optimizers.SGD(rate), auto_scale_loss=False)
        keras.config.set_dtype_policy("float32")
        exact = scaled(weight, keras.optimizers.SGD(rate))
        for rocket in (scales, scales_not):
            rocket.set_weights(exact.get_weights())
        expected, _ = step_of(exact, x, y)
        arrived, _ = step_of(scales, x, y)
        lost, _ = step_of(scales_not, x, y)
        for name, step in expected.items():
            assert np.abs(step).max() > 0.01
            np.testing.assert_allclose(arrived[name], step, rtol=0.01, atol=0.005)
            np.testing.assert_array_equal(lost[name], 0)

    def test_a_step_that_overflows_is_skipped_and_halves_the_scale(self):
        x, y = examples(7)
        rocket = scaled(10.0, keras.optimizers.SGD(1e-3))
        optimizer = rocket.optimizer
        steps, scales, losses = [], [], []
        for _ in range(5):
            step, logs = step_of(rocket, x, y)
            steps.append(np.abs(step["light_only"]).max())
            scales.append(float(optimizer.dynamic_scale))
            losses.append(logs["loss"])
        skipped = np.count_nonzero(np.array(steps) == 0)
        assert 1 <= skipped < 5 and all(steps[skipped:])
        halved = [SCALE / 2 ** min(number + 1, skipped) for number in range(5)]
        assert scales == halved
        assert int(optimizer.step_counter) == int(optimizer.inner_optimizer.iterations)
        assert int(optimizer.iterations) == 5 - skipped
        assert np.isfinite(losses).all()

    def test_a_skipped_step_does_not_stop_a_run(self):
        x, y = examples(8)
        rocket = scaled(10.0, keras.optimizers.SGD(1e-3))
        before = weights_of(rocket)
        history = rocket.fit(
            x, y, batch_size=2, epochs=2, callbacks=[StopOnNonFiniteLoss()], verbose=0
        ).history
        assert float(rocket.optimizer.dynamic_scale) < SCALE
        assert 0 < int(rocket.optimizer.iterations) < 8
        assert np.isfinite(history["loss"]).all()
        for name, after in weights_of(rocket).items():
            assert np.abs(after - before[name]).max() > 0

    def test_a_loss_that_overflows_stops_a_run(self):
        x, y = examples(8)
        with pytest.raises(NonFiniteLossError, match="step 1: "):
            scaled(1.0).fit(1e6 * x, y, callbacks=[StopOnNonFiniteLoss()], verbose=0)

    def test_logs_are_not_scaled(self):
        rocket = RocketModel(*linear_pair(), hint_weight=0.3)
        rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
        x, y = examples(7)
        light, booster = (rocket(x)[net].numpy().astype(np.float64) for net in ("light", "booster"))
        expected = {
            "light_loss": cross_entropy(y, light).mean(),
            "booster_loss": cross_entropy(y, booster).mean(),
            "hint_loss": logits_mse(booster, light).mean(),
        }
        expected["loss"] = sum(expected.values()) - 0.7 * expected["hint_loss"]
        logs = rocket.train_on_batch(x, y, return_dict=True)
        assert set(logs) == set(expected)
        for name, value in expected.items():
            # The compiled step may round float16 activations differently.
            np.testing.assert_allclose(logs[name], value, rtol=2e-3)

    @pytest.mark.parametrize("overflowing", [0, pytest.param(1, marks=pytest.mark.slow)])
    def test_an_overflow_on_one_replica_skips_the_step_of_all(self, two_replicas, overflowing):
        x, y = examples(8)
        with two_replicas.scope():
            rocket = scaled(1.0, SGDWithL2(1e-3))
        sample_weight = np.ones(8, np.float32)
        arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
        sample_weight[4 * overflowing : 4 * overflowing + 4] = 100.0
        before = rocket.get_weights()
        rocket.fit(x, y, sample_weight=sample_weight, **arguments)
        for old, new in zip(before, rocket.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        scales = two_replicas.experimental_local_results(rocket.optimizer.dynamic_scale.value)
        assert [float(scale) for scale in scales] == [SCALE / 2] * 2
        rocket.fit(x, y, **arguments)
        for old, new in zip(before, rocket.get_weights(), strict=True):
            assert np.isfinite(new).all() and np.abs(old - new).max() > 0


class TestL2:
    def test_equals_steps_by_hand_and_skips_what_overflows(self):
        variable = keras.Variable([2.0, -1.0])
        optimizer = LossScaling(SGDWithL2(0.1, momentum=0.9, l2=0.01))
        weight, velocity, gradient = np.array([2.0, -1.0]), np.zeros(2), np.array([0.5, 0.25])
        for step in range(5):
            scale = float(optimizer.dynamic_scale) if step else SCALE
            overflows = step in (1, 3)
            given = np.array([np.inf, 0.0]) if overflows else scale * gradient
            optimizer.apply([tf.constant(given, tf.float32)], [variable])
            if not overflows:
                velocity = 0.9 * velocity - 0.1 * (gradient + 0.01 * weight)
                weight = weight + velocity
            np.testing.assert_allclose(variable, weight, rtol=1e-6)
        assert float(optimizer.dynamic_scale) == SCALE / 4

    def test_of_a_rocket_is_not_scaled(self):
        """With label losses of weight 0, a step contains only the L2 term."""
        keras.config.set_dtype_policy("mixed_float16")
        rocket = scaled(0.0, SGDWithL2(0.1, momentum=0.9, l2=0.01))
        before = weights_of(rocket)
        step, _ = step_of(rocket, *examples(6))
        for name, taken in step.items():
            np.testing.assert_allclose(taken, 0.1 * 0.01 * before[name], rtol=1e-3, atol=1e-7)


def test_loss_scaling_is_saved_and_loaded():
    optimizer = LossScaling(SGDWithL2(0.3, l2=0.25), initial_scale=8.0)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(copy, LossScaling)
    assert (copy.initial_scale, copy.inner_optimizer.l2) == (8.0, 0.25)


@pytest.mark.slow
def test_a_run_continues_after_overflows_and_resumes_with_its_scale(tmp_path, monkeypatch):
    """An epoch has three steps; the first steps overflow, and the counter runs on across epochs."""
    monkeypatch.setattr(
        keras.optimizers.LossScaleOptimizer.__init__, "__defaults__", (2.0**20, 3, None)
    )
    config = small_config(
        epochs=2, booster_depth=10, precision="mixed_float16", evaluate_every_epochs=2
    )
    with quick_runs(), few_digits():
        train.train_and_evaluate(config, tmp_path / "whole", verbose=False)
        with interrupted_after_epoch(2):
            train.train_and_evaluate(config, tmp_path / "resumed", verbose=False)
        after_one = scaling_of(tmp_path / "resumed", config)
        train.train_and_evaluate(config, tmp_path / "resumed", verbose=False)
    assert state(tmp_path / "resumed") == state(tmp_path / "whole")
    assert metrics(tmp_path / "resumed") == metrics(tmp_path / "whole")
    after_two = scaling_of(tmp_path / "resumed", config)
    # Scale and counter have changed since the start, and both epochs took steps.
    assert after_one["loss_scale_optimizer/dynamic_scale"] < 2.0**20
    assert after_one["loss_scale_optimizer/step_counter"] > 0
    taken = [scaling["sgd_with_l2/iteration"] for scaling in (after_one, after_two)]
    assert 0 < taken[0] < 3 and taken[0] < taken[1] < 6


def scaling_of(workdir, config):
    """The scalar variables of the optimizer in a run's newest checkpoint, by name."""
    with keras_settings(config):
        model = build_model(config, card_of(config))
    model.optimizer.build(model.trainable_variables)
    reader = tf.train.load_checkpoint(str(newest_checkpoint(workdir / "checkpoints")))
    return {
        variable.path: float(reader.get_tensor(f"optimizer/{index}/.ATTRIBUTES/VARIABLE_VALUE"))
        for index, variable in enumerate(model.optimizer.variables)
        if variable.shape == ()
    }
