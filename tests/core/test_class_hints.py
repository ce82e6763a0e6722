"""Standardized KD, decoupled KD and DIST against float64 NumPy; labels, weights, masks, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import rocket_tf
from rocket_tf import Hint, RocketModel
from rocket_tf.core.class_hint_losses import CorrelationDistance, DecoupledKnowledgeDistillation
from rocket_tf.core.heads import heads_of
from rocket_tf.core.hint_losses import KnowledgeDistillation
from rocket_tf.core.objective import Objective
from tests.nets import CROSS_ENTROPY, examples, linear_pair
from tests.reference import differences_of_sum, dist, dkd, softmax, standardized_kd

RANDOM = np.random.default_rng(0)
LIGHT, BOOSTER = RANDOM.normal(0, 2, (2, 5, 4))  # logits of 5 examples in 4 classes
LABELS = np.array([0, 3, 1, 1, 2])
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0])
ONE_HOT = keras.losses.CategoricalCrossentropy(from_logits=True)
CASES = {
    "kd": (lambda: Hint("kd", standardize=True), standardized_kd),
    "kd at 3": (
        lambda: Hint("kd", standardize=True, temperature=3.0),
        lambda z, own: standardized_kd(z, own, 3.0),
    ),
    "dkd": (lambda: Hint("dkd"), lambda z, own: dkd(z, own, LABELS)),
    "dkd at 1.5": (
        lambda: Hint(DecoupledKnowledgeDistillation(1.5, alpha=0.5, beta=3.0)),
        lambda z, own: dkd(z, own, LABELS, 1.5, 0.5, 3.0),
    ),
    "dist": (lambda: Hint("dist"), dist),
    "dist at 2": (
        lambda: Hint(CorrelationDistance(2.0, beta=0.5, gamma=3.0)),
        lambda z, own: dist(z, own, None, 2.0, 0.5, 3.0),
    ),
}


@pytest.fixture(autouse=True)
def float64():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def term(hint, followed=BOOSTER, light=LIGHT, y=LABELS, sample_weight=None, loss=CROSS_ENTROPY):
    """A hint's value and its gradients at both nets' logits, without a gradient block."""
    logits = {"light": tf.constant(light), "booster": tf.constant(followed)}
    objective = Objective(heads_of(logits), {"light": loss}, hints=[hint], gradient_block=False)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        _, value = objective.terms(tf.constant(y), logits, sample_weight)[hint.name]
    gradients = tape.gradient(value, logits)
    return value.numpy(), gradients["booster"].numpy(), gradients["light"].numpy()


@pytest.mark.parametrize("make, expected", CASES.values(), ids=CASES)
def test_values_and_gradients_equal_numpy(make, expected):
    value, to_booster, to_light = term(make())
    np.testing.assert_allclose(value, expected(BOOSTER, LIGHT).mean(), rtol=1e-12)
    tolerance = {"rtol": 1e-6, "atol": 1e-8}
    by_light = differences_of_sum(lambda moved: expected(BOOSTER, moved) / 5, LIGHT)
    np.testing.assert_allclose(to_light, by_light, **tolerance)
    by_booster = differences_of_sum(lambda moved: expected(moved, LIGHT) / 5, BOOSTER)
    np.testing.assert_allclose(to_booster, by_booster, **tolerance)


class TestWeightsAndMasks:
    def test_sample_weights(self):
        for name, (make, expected) in CASES.items():
            if not name.startswith("dist"):
                value, _, _ = term(make(), sample_weight=WEIGHTS)
                right = (WEIGHTS * expected(BOOSTER, LIGHT)).mean()
                np.testing.assert_allclose(value, right, rtol=1e-12)

    def test_correlations_over_the_batch_are_weighted(self):
        def weighted(light):
            return WEIGHTS * dist(BOOSTER, light, WEIGHTS) / 5

        value, _, to_light = term(Hint("dist"), sample_weight=WEIGHTS)
        np.testing.assert_allclose(value, weighted(LIGHT).sum(), rtol=1e-12)
        by_light = differences_of_sum(weighted, LIGHT)
        np.testing.assert_allclose(to_light, by_light, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(to_light[2], 0)  # its weight is 0

    @pytest.mark.parametrize("name", ["dkd", "dist"])
    def test_masked_positions_are_left_out(self, name):
        """The hint of three padded sequences equals the hint of their seven valid steps."""
        light, booster = np.random.default_rng(1).normal(0, 2, (2, 3, 4, 5))
        labels = np.random.default_rng(2).integers(0, 5, (3, 4))
        valid = np.arange(4) < np.array([[2], [4], [1]])
        logits = {"light": tf.constant(light), "booster": tf.constant(booster)}
        logits["light"]._keras_mask = tf.constant(valid)
        objective = Objective(heads_of(logits), {"light": CROSS_ENTROPY}, hints=[Hint(name)])
        _, value = objective.terms(tf.constant(labels), logits)["hint_loss"]
        rows = booster[valid], light[valid]
        expected = dkd(*rows, labels[valid]) if name == "dkd" else dist(*rows)
        np.testing.assert_allclose(value, expected.mean(), rtol=1e-12)


class TestStandardized:
    def test_scale_and_offset_of_either_net_make_no_difference(self):
        moved = term(Hint("kd", standardize=True), 7 * BOOSTER - 3, 0.1 * LIGHT + 5)[0]
        np.testing.assert_allclose(moved, standardized_kd(BOOSTER, LIGHT).mean(), rtol=1e-12)

    def test_equal_logits_are_uniform_without_a_gradient(self):
        light = LIGHT.copy()
        light[1] = 3.0
        value, to_booster, to_light = term(Hint("kd", standardize=True), light=light)
        others = [0, 2, 3, 4]
        rest = standardized_kd(BOOSTER[others], LIGHT[others]).sum()
        np.testing.assert_allclose(value, (rest + 4 * np.log(4)) / 5, rtol=1e-12)
        np.testing.assert_array_equal(to_light[1], 0)
        assert np.isfinite(to_booster).all() and np.abs(to_light[0]).max() > 1e-3

    def test_the_papers_temperatures(self):
        assert (Hint("kd", standardize=True).temperature, Hint("kd").temperature) == (2.0, 4.0)
        assert (Hint("dkd").temperature, Hint("dist").temperature) == (4.0, 1.0)

    def test_belongs_to_kd(self):
        for loss in ("sigmoid_kd", "dist", "logits_mse", KnowledgeDistillation()):
            with pytest.raises(ValueError, match="standardize belongs to"):
                Hint(loss, standardize=True)


class TestLabels:
    @pytest.mark.parametrize(
        "y, loss",
        [
            (LABELS[:, None], CROSS_ENTROPY),
            (LABELS.astype("float32"), CROSS_ENTROPY),
            (np.eye(4)[LABELS], ONE_HOT),
            (np.eye(4, dtype=int)[LABELS], ONE_HOT),
        ],
        ids=["a column", "floats", "one-hot", "one-hot of whole numbers"],
    )
    def test_classes_in_any_form(self, y, loss):
        np.testing.assert_allclose(
            term(Hint("dkd"), y=y, loss=loss)[0], dkd(BOOSTER, LIGHT, LABELS).mean(), rtol=1e-12
        )

    @pytest.mark.parametrize("first", [[0.5, 0.5, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    def test_mixed_labels_fail(self, first):
        y = np.eye(4)[LABELS]
        y[0] = first
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels of one class each"):
            term(Hint("dkd"), y=y, loss=ONE_HOT)

    def test_under_xla_mixed_labels_give_nan_and_a_zero_gradient(self):
        y = np.eye(4)[LABELS]
        y[0] = 0.25
        loss = DecoupledKnowledgeDistillation(dtype="float64")

        @tf.function(jit_compile=True)
        def values_and_gradient(light):
            with tf.GradientTape() as tape:
                tape.watch(light)
                values = loss.call(tf.constant(BOOSTER), light, labels=tf.constant(y))
            return values, tape.gradient(values, light)

        values, gradient = values_and_gradient(tf.constant(LIGHT))
        assert np.isnan(values[0])
        np.testing.assert_array_equal(gradient[0], 0)
        right = dkd(BOOSTER[1:], LIGHT[1:], LABELS[1:])
        np.testing.assert_allclose(values[1:], right, rtol=1e-12)

    def test_confident_nets_have_finite_values_and_gradients(self):
        """The logits are so large that float32 softmaxes are exactly 0 and 1."""
        keras.config.set_floatx("float32")
        light, booster = 300 * LIGHT, 300 * BOOSTER
        loss = DecoupledKnowledgeDistillation()
        logits = tf.constant(light, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            values = loss.call(tf.constant(booster, tf.float32), logits, labels=LABELS)
        assert np.isfinite(tape.gradient(values, logits)).all()
        np.testing.assert_allclose(values, dkd(booster, light, LABELS), rtol=1e-5, atol=1e-6)

    def test_each_output_has_its_own(self):
        inputs = keras.Input((5,))
        nets = [
            keras.Model(
                inputs,
                {name: layers.Dense(n)(inputs) for name, n in (("a", 3), ("b", 4))},
                name=net,
            )
            for net in ("light", "booster")
        ]
        rocket = RocketModel(*nets, hint="dkd")
        rocket.compile("sgd", CROSS_ENTROPY)
        x, y = examples(6)
        y = {"a": y, "b": 3 - y}
        logits, _ = rocket.forward(x, training=False)
        _, value = rocket.objective_terms(x, y, logits)["hint_loss"]
        expected = sum(
            dkd(np.float64(logits[f"booster_{name}"]), np.float64(logits[f"light_{name}"]), y[name])
            for name in y
        )
        np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)

    def test_a_custom_loss_can_read_them(self):
        class OfTheClass(keras.losses.Loss):
            def call(self, y_true, y_pred, labels):
                return keras.ops.take_along_axis(y_pred - y_true, labels[:, None], -1)[:, 0]

        expected = (LIGHT - BOOSTER)[np.arange(5), LABELS].mean()
        objective = Objective(
            heads_of({"light": 0, "booster": 0}),
            {"light": CROSS_ENTROPY},
            hints=[Hint(OfTheClass(dtype="float64"))],
        )
        logits = {"light": tf.constant(LIGHT), "booster": tf.constant(BOOSTER)}
        _, value = objective.terms(tf.constant(LABELS), logits)["hint_loss"]
        np.testing.assert_allclose(value, expected, rtol=1e-12)


class TestDist:
    def test_constant_logits_have_a_correlation_of_0(self):
        light = LIGHT.copy()
        light[2] = 1.0  # one example has equal logits
        value, _, to_light = term(Hint("dist"), light=light)
        q, p = softmax(BOOSTER), softmax(light)
        of_examples = [np.corrcoef(q[i], p[i])[0, 1] if i != 2 else 0.0 for i in range(5)]
        of_classes = [np.corrcoef(q[:, i], p[:, i])[0, 1] for i in range(4)]
        expected = 2 - np.mean(of_examples) - np.mean(of_classes)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        assert np.isfinite(to_light).all()
        alone, *gradients = term(Hint("dist"), BOOSTER[:1], LIGHT[:1], LABELS[:1])
        np.testing.assert_allclose(alone, 2 - np.corrcoef(q[0], p[0])[0, 1], rtol=1e-12)
        assert np.isfinite(gradients).all()

    def test_small_variances_do_not_cancel_in_float32(self):
        keras.config.set_floatx("float32")
        light, booster = (1e-3 * each.astype(np.float32) for each in (LIGHT, BOOSTER))
        value = CorrelationDistance()(booster, light)
        expected = dist(booster.astype(float), light.astype(float)).mean()
        np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_a_saved_rocket_has_its_hints(tmp_path):
    keras.config.set_floatx("float32")
    hints = [
        Hint("kd", 0.1, standardize=True, temperature=3.0, name="standardized"),
        Hint(DecoupledKnowledgeDistillation(2.0, alpha=0.5, beta=2.0), 0.2, name="decoupled"),
        Hint(CorrelationDistance(1.5, beta=2.0, gamma=0.5), 0.3, name="correlated"),
        Hint("kd", 0.4, follows="light"),
    ]
    rocket = RocketModel(*linear_pair(), hint=hints)
    rocket.compile("sgd", CROSS_ENTROPY)
    rocket.hints[1].temperature = 5.0
    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    assert [hint.get_config() for hint in loaded.hints] == [hint.get_config() for hint in hints]
    x, y = examples(7)
    logits = rocket(x)
    mine, theirs = (
        {name: float(v) for name, (_, v) in each.objective_terms(x, y, logits).items()}
        for each in (rocket, loaded)
    )
    assert mine == theirs and list(mine)[-1] == "booster_hint_loss"
    assert loaded.hints[1].temperature == 5.0


class TestRefusals:
    @pytest.mark.parametrize("classes", [1, 2])
    @pytest.mark.parametrize(
        "arguments", [("kd", {"standardize": True}), ("dkd", {}), ("dist", {})], ids=lambda a: a[0]
    )
    def test_fewer_than_three_classes(self, arguments, classes):
        name, rest = arguments
        with pytest.raises(ValueError, match=f"'{name}'.* needs 3 classes or more"):
            RocketModel(*linear_pair(classes), hint=Hint(name, **rest))

    @pytest.mark.parametrize("hint", [Hint("kd", standardize=True), Hint("dkd"), Hint("dist")])
    @pytest.mark.parametrize("loss", ["BinaryCrossentropy", "BinaryFocalCrossentropy"])
    def test_multi_label_outputs(self, hint, loss):
        rocket = RocketModel(*linear_pair(), hint=hint)
        with pytest.raises(ValueError, match="each logit is a separate yes or no"):
            rocket.compile("sgd", getattr(keras.losses, loss)(from_logits=True))

    @pytest.mark.parametrize(
        "loss",
        [
            "mse",
            lambda y, logits: keras.ops.mean(logits, -1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2),
            {"light": CROSS_ENTROPY, "booster": "mse"},
        ],
        ids=["mse", "own", "ignore_class", "booster"],
    )
    def test_labels_without_classes(self, loss):
        rocket = RocketModel(*linear_pair(), hint="dkd")
        with pytest.raises(ValueError, match="'dkd' reads the class of each label"):
            rocket.compile("sgd", loss)
        RocketModel(*linear_pair(), hint="dist").compile("sgd", loss)

    def test_hidden_layers(self):
        with pytest.raises(ValueError, match="'dkd' compares logits by the labels'"):
            Hint("dkd", layers={"low": "high"})
        pairs = {"light_only": "booster_only"}
        with pytest.raises(ValueError, match="the booster's layer 'booster_only' of shape"):
            RocketModel(*linear_pair(2), hint=Hint("dist", layers=pairs))
        RocketModel(*linear_pair(3), hint=Hint("dist", layers=pairs))

    @pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", None])
    def test_parameters(self, value):
        for loss, name in (
            (DecoupledKnowledgeDistillation, "alpha"),
            (DecoupledKnowledgeDistillation, "beta"),
            (CorrelationDistance, "beta"),
            (CorrelationDistance, "gamma"),
        ):
            with pytest.raises(ValueError, match=f"{name} must be a finite number"):
                loss(**{name: value})
        with pytest.raises(ValueError, match="temperature must be above 0"):
            Hint("dist").temperature = value


def test_gradient_flow_reads_labels():
    keras.config.set_floatx("float32")
    rocket = RocketModel(*linear_pair(), hint="dkd")
    rocket.compile("sgd", CROSS_ENTROPY)
    flow = rocket_tf.gradient_flow(rocket, *examples(8))["hint_loss"]
    assert flow["booster only"] == 0 < min(flow["light only"], flow["shared"])
