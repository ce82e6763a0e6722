"""The objective without a Keras model: terms and gradients of tensors against float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import Hint
from rocket_tf.core.heads import heads_of
from rocket_tf.core.objective import Objective
from tests.reference import kd, logits_mse, softmax

random = np.random.default_rng(0)
LABELS = np.array([0, 2, 1, 2])
LIGHT, BOOSTER, TEACHER = random.normal(size=(3, 4, 3))
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0])
HEADS = heads_of({"light": LIGHT, "booster": BOOSTER})


@pytest.fixture(autouse=True)
def float64():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def objective(hints=None, measured=None, heads=HEADS, **arguments):
    """A float64 objective: a cross-entropy of each head, or of each in `measured`, and hints."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    hints = [Hint("logits_mse", 0.3)] if hints is None else hints
    return Objective(heads, dict.fromkeys(measured or heads, loss), hints=hints, **arguments)


def tensors(**arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def cross_entropy(logits):
    return -np.log(softmax(logits)[np.arange(len(LABELS)), LABELS])


def values_of(terms):
    return {name: (float(weight), float(value)) for name, (weight, value) in terms.items()}


def assert_terms(terms, expected):
    values = values_of(terms)
    assert list(values) == list(expected)
    for name, pair in expected.items():
        np.testing.assert_allclose(values[name], pair, rtol=1e-13, err_msg=name)


class TestTerms:
    def test_label_losses_and_a_hint_equal_numpy(self):
        made = objective(label_weights={"light": 1.0, "booster": 0.25})
        assert made.names == ["light_loss", "booster_loss", "hint_loss"]
        assert_terms(
            made.terms(LABELS, tensors(light=LIGHT, booster=BOOSTER)),
            {
                "light_loss": (1.0, np.mean(cross_entropy(LIGHT))),
                "booster_loss": (0.25, np.mean(cross_entropy(BOOSTER))),
                "hint_loss": (0.3, np.mean(logits_mse(BOOSTER, LIGHT))),
            },
        )

    def test_sample_weights_apply_to_all_of_them(self):
        assert_terms(
            objective().terms(LABELS, tensors(light=LIGHT, booster=BOOSTER), WEIGHTS),
            {
                "light_loss": (1.0, np.mean(WEIGHTS * cross_entropy(LIGHT))),
                "booster_loss": (1.0, np.mean(WEIGHTS * cross_entropy(BOOSTER))),
                "hint_loss": (0.3, np.mean(WEIGHTS * logits_mse(BOOSTER, LIGHT))),
            },
        )

    def test_a_teacher_is_followed_by_its_logits(self):
        heads = heads_of({"light": LIGHT})
        hints = [Hint("kd", 0.9, follows="teacher")]
        assert_terms(
            objective(hints, heads=heads).terms(LABELS, tensors(light=LIGHT, teacher=TEACHER)),
            {
                "light_loss": (1.0, np.mean(cross_entropy(LIGHT))),
                "teacher_loss": (0.9, np.mean(kd(TEACHER, LIGHT))),
            },
        )

    def test_hidden_layers_go_through_their_projection(self):
        matrix, mine, theirs = (random.normal(size=s) for s in ((2, 5), (4, 2), (4, 5)))
        hint = Hint("logits_mse", 0.5, layers={"low": "high"}, projection=True)
        made = objective([hint], projections={("hint_loss", "low"): lambda x: x @ matrix})
        hidden = {"light": tensors(low=mine), "booster": tensors(high=theirs)}
        logits = tensors(light=LIGHT, booster=BOOSTER)
        weight, value = made.terms(LABELS, logits, WEIGHTS, hidden)["hint_loss"]
        assert weight == 0.5
        np.testing.assert_allclose(
            value, np.mean(WEIGHTS * logits_mse(theirs, mine @ matrix)), rtol=1e-13
        )

    def test_each_output_has_its_own_labels_and_weights(self):
        both = {"click": LIGHT, "like": TEACHER}
        heads = heads_of({"light": both, "booster": both})
        arrays = LIGHT, TEACHER, BOOSTER, BOOSTER**2
        logits = tensors(**dict(zip(heads, arrays, strict=True)))
        y = {"click": LABELS, "like": LABELS[::-1].copy()}
        weights = {"click": WEIGHTS, "like": np.ones(4)}
        terms = values_of(objective(heads=heads).terms(y, logits, weights))
        assert list(terms) == [*(f"{head}_loss" for head in heads), "hint_loss"]
        np.testing.assert_allclose(
            terms["light_click_loss"][1], np.mean(WEIGHTS * cross_entropy(LIGHT)), rtol=1e-13
        )
        expected = np.mean(WEIGHTS * logits_mse(BOOSTER, LIGHT))
        expected += np.mean(logits_mse(BOOSTER**2, TEACHER))
        np.testing.assert_allclose(terms["hint_loss"][1], expected, rtol=1e-13)

    def test_a_schedule_gives_the_weight_of_a_step(self):
        schedule = keras.optimizers.schedules.PolynomialDecay(0.8, 4, 0.0)
        made = objective([Hint("logits_mse", schedule)])
        logits = tensors(light=LIGHT, booster=BOOSTER)
        weights = [float(made.terms(LABELS, logits, step=s)["hint_loss"][0]) for s in (0, 1, 4)]
        np.testing.assert_allclose(weights, [0.8, 0.6, 0.0], atol=1e-7)

    def test_labels_that_are_missing_are_named(self):
        heads = heads_of({"light": {"click": LIGHT}})
        with pytest.raises(ValueError, match="'click' is missing"):
            objective((), heads=heads).terms({}, {"light_click": LIGHT})

    def test_a_head_without_a_label_loss_has_no_term(self):
        made = objective((), measured=["booster"])
        assert list(made.terms(LABELS, tensors(light=LIGHT, booster=BOOSTER))) == ["booster_loss"]


class TestLosses:
    TERMS = {"light_loss": (1.0, 2.0), "booster_loss": (0.5, 3.0), "hint_loss": (0.1, 4.0)}
    TERMS = {name: (weight, tf.constant(value)) for name, (weight, value) in TERMS.items()}

    def test_there_is_one_part_if_all_terms_train_all_variables(self):
        made = objective()
        assert not made.has_parts
        losses = made.losses(self.TERMS)
        assert list(losses) == ["both"]
        np.testing.assert_allclose(losses["both"], 2.0 + 1.5 + 0.4, rtol=1e-6)

    def test_hints_belong_to_the_light_nets_part(self):
        made = objective(shared_layers_learn_from="booster")
        assert made.has_parts
        assert [made.part_of(name) for name in made.names] == ["light", "booster", "light"]
        losses = made.losses(self.TERMS)
        assert list(losses) == ["light", "booster"]
        np.testing.assert_allclose(losses["light"], 2.4, rtol=1e-6)
        np.testing.assert_allclose(losses["booster"], 1.5, rtol=1e-6)


X = random.normal(size=(4, 5))
MATRICES = {
    "shared": random.normal(size=(5, 2)),
    "light": random.normal(size=(2, 3)),
    "booster": random.normal(size=(2, 3)),
}


def gradients_of(made, extra=False):
    """The objective's gradients at the matrices, with logits x S L and x S B."""
    variables = {name: tf.Variable(matrix) for name, matrix in MATRICES.items()}
    with tf.GradientTape(persistent=made.has_parts) as tape:
        low = X @ variables["shared"]
        logits = {net: low @ variables[net] for net in ("light", "booster")}
        losses = made.losses(made.terms(LABELS, logits))
        if extra:
            losses["regularization"] = tf.reduce_sum(variables["shared"])
    gradients = made.gradients(tape, losses, list(variables.values()), [variables["shared"]])
    return dict(zip(variables, gradients, strict=True))


def expected_gradients(blocked, routed, weight=0.3):
    """Gradients of softmax cross-entropies and ‖l − z‖², computed by hand."""
    low = X @ MATRICES["shared"]
    light, booster = low @ MATRICES["light"], low @ MATRICES["booster"]
    one_hot = np.eye(3)[LABELS]
    hint = weight * 2 * (light - booster) / 4
    to_light = (softmax(light) - one_hot) / 4 + hint
    to_booster = (softmax(booster) - one_hot) / 4
    if not blocked:
        to_booster = to_booster - hint
    by_light = X.T @ to_light @ MATRICES["light"].T
    by_booster = X.T @ to_booster @ MATRICES["booster"].T
    if routed and not blocked:  # through both nets, the hint is part of the light net's losses
        by_booster += X.T @ hint @ MATRICES["booster"].T
    return {
        "shared": by_booster if routed else by_light + by_booster,
        "light": low.T @ to_light,
        "booster": low.T @ to_booster,
    }


class TestGradients:
    @pytest.mark.parametrize("routed", [False, True])
    @pytest.mark.parametrize("blocked", [False, True])
    def test_they_equal_gradients_by_hand(self, blocked, routed):
        learn_from = "booster" if routed else "both"
        made = objective(gradient_block=blocked, shared_layers_learn_from=learn_from)
        expected = expected_gradients(blocked, routed)
        for name, gradient in gradients_of(made).items():
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-12, err_msg=name)

    @pytest.mark.parametrize("learn_from", ["both", "booster"])
    def test_other_losses_train_all_variables(self, learn_from):
        made = objective(shared_layers_learn_from=learn_from)
        without, with_it = gradients_of(made), gradients_of(made, extra=True)
        np.testing.assert_allclose(with_it["shared"], without["shared"] + 1, rtol=1e-12)
        np.testing.assert_array_equal(with_it["light"], without["light"])

    def test_a_teacher_gets_none_even_without_a_gradient_block(self):
        heads = heads_of({"light": LIGHT})
        made = objective([Hint(follows="teacher")], heads=heads, gradient_block=False)
        teacher = tf.Variable(TEACHER)
        with tf.GradientTape() as tape:
            losses = made.losses(made.terms(LABELS, {"light": LIGHT, "teacher": teacher * 1.0}))
        assert made.gradients(tape, losses, [teacher]) == [None]

    def test_a_variable_that_nothing_reaches_has_none(self):
        made = objective(shared_layers_learn_from="booster")
        idle = tf.Variable(1.0)
        light = tf.Variable(LIGHT)
        with tf.GradientTape(persistent=True) as tape:
            losses = made.losses(made.terms(LABELS, {"light": light * 1.0, "booster": BOOSTER}))
        moved, none = made.gradients(tape, losses, [light, idle])
        assert none is None
        assert np.abs(moved).min() > 0
