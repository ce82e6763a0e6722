"""Which losses reach which parts under every setting, against finite differences in float64."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import Hint, RocketModel, gradient_flow
from tests.nets import CLASSES, CROSS_ENTROPY, FEATURES, SHARED, examples, linear_pair
from tests.reference import cross_entropy, euclidean, finite_differences, logits_mse

LABEL_WEIGHTS = {"light": 0.7, "booster": 1.3}
TEACHER = np.random.default_rng(5).normal(size=(FEATURES, CLASSES))
HINTS = {
    "logits": Hint("logits_mse", 0.3, name="logits_hint"),
    "layers": Hint("euclidean", 0.6, layers={"light_only": "booster_only"}, name="layers_hint"),
    "teacher": Hint("logits_mse", 0.2, follows="teacher", name="teacher_hint"),
}
# Each net has a copy of the shared matrix, which separates the gradients through the two nets.
BY_LIGHT, BY_BOOSTER = "shared, by way of light", "shared, by way of booster"
OF_LIGHT, OF_BOOSTER = {BY_LIGHT, "light_only"}, {BY_BOOSTER, "booster_only"}


def separate_pair():
    """Like `linear_pair`, but without shared layers."""
    nets = []
    for role in ("light", "booster"):
        inputs = keras.Input((FEATURES,), name="features")
        low = layers.Dense(SHARED, use_bias=False, name=f"{role}_low")(inputs)
        logits = layers.Dense(CLASSES, use_bias=False, name=f"{role}_only")(low)
        nets.append(keras.Model(inputs, logits, name=role))
    return nets


def teacher():
    inputs = keras.Input((FEATURES,), name="features")
    net = keras.Model(inputs, layers.Dense(CLASSES, use_bias=False, name="taught")(inputs))
    net.set_weights([TEACHER])
    return net


def rocket_with(hints, share, learning_rate=1.0, nets=None, eagerly=True, **arguments):
    """A compiled rocket; with learning rate 1, a step subtracts the gradient."""
    rocket = RocketModel(
        *(nets or (linear_pair() if share else separate_pair())),
        hint=[HINTS[hint] for hint in hints],
        teacher=teacher() if "teacher" in hints else None,
        **arguments,
    )
    rocket.compile(
        keras.optimizers.SGD(learning_rate),
        CROSS_ENTROPY,
        loss_weights=LABEL_WEIGHTS,
        run_eagerly=eagerly,
        jit_compile=False,
    )
    return rocket


def kernels(rocket):
    return {
        layer.name: layer.kernel.numpy().astype(np.float64)
        for layer in (*rocket.light.layers, *rocket.booster.layers)
        if layer.name.endswith(("shared", "_low", "_only"))
    }


def by_path(matrices):
    """The matrices by name; the low one has an entry for each net that uses it."""
    return {
        BY_LIGHT: matrices.get("shared", matrices.get("light_low")),
        BY_BOOSTER: matrices.get("shared", matrices.get("booster_low")),
        "light_only": matrices["light_only"],
        "booster_only": matrices["booster_only"],
    }


def weighted_terms(weights, x, y, hints):
    x = x.astype(np.float64)
    light = x @ weights[BY_LIGHT] @ weights["light_only"]
    booster = x @ weights[BY_BOOSTER] @ weights["booster_only"]
    values = {
        "light_loss": 0.7 * cross_entropy(y, light),
        "booster_loss": 1.3 * cross_entropy(y, booster),
        "logits_hint": 0.3 * logits_mse(booster, light),
        "layers_hint": 0.6 * euclidean(booster, light),
        "teacher_hint": 0.2 * logits_mse(x @ TEACHER, light),
    }
    given = {"light_loss", "booster_loss", *(f"{hint}_hint" for hint in hints)}
    return {name: value.mean() for name, value in values.items() if name in given}


def reached(term, share, gradient_block=True, shared_layers_learn_from="both"):
    """The matrices that a term trains, as in the README's table."""
    if term == "booster_loss":
        return OF_BOOSTER
    follows_booster = term in ("logits_hint", "layers_hint")
    moved = OF_LIGHT | (OF_BOOSTER if follows_booster and not gradient_block else set())
    if share and shared_layers_learn_from == "booster":
        moved = moved - {BY_LIGHT, BY_BOOSTER}
    return moved


def gradients_of_terms(matrices, x, y, hints, share, **routing):
    """The gradient of each term at each layer's matrix."""
    weights = by_path(matrices)
    layer_of = {BY_LIGHT: "shared", BY_BOOSTER: "shared"}
    if not share:
        layer_of = {BY_LIGHT: "light_low", BY_BOOSTER: "booster_low"}
    moves = {}
    for term in weighted_terms(weights, x, y, hints):
        computed = finite_differences(
            lambda moved, term=term: weighted_terms(moved, x, y, hints)[term], weights
        )
        moves[term] = {name: np.zeros_like(matrix) for name, matrix in matrices.items()}
        for path in reached(term, share, **routing):
            moves[term][layer_of.get(path, path)] += computed[path]
    return moves


def step_of(rocket, *data, **arguments):
    before = kernels(rocket)
    rocket.train_on_batch(*data, **arguments)
    return {name: before[name] - after for name, after in kernels(rocket).items()}


def assert_equal(computed, expected, rtol=1e-3, atol=3e-6):
    assert set(computed) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(computed[name], value, rtol=rtol, atol=atol, err_msg=name)


def total(moves):
    return {name: sum(by_term[name] for by_term in moves.values()) for name in moves["light_loss"]}


@pytest.mark.parametrize("share", [True, False], ids=["shared", "separate"])
@pytest.mark.parametrize("learn_from", ["both", "booster"])
@pytest.mark.parametrize("gradient_block", [True, False], ids=["block", "no block"])
@pytest.mark.parametrize(
    "hints",
    [("logits",), ("layers",), ("teacher",), ("logits", "layers", "teacher"), ()],
    ids=lambda hints: " and ".join(hints) or "no hint",
)
class TestMatrix:
    def test_a_step_and_the_gradient_flow_equal_finite_differences(
        self, hints, gradient_block, learn_from, share
    ):
        routing = {"gradient_block": gradient_block, "shared_layers_learn_from": learn_from}
        rocket = rocket_with(hints, share, **routing)
        x, y = examples(6)
        moves = gradients_of_terms(kernels(rocket), x, y, hints, share, **routing)

        flow = gradient_flow(rocket, x, y)
        assert set(flow) == set(moves)
        in_part = {
            "shared": ["shared"] if share else [],
            "light only": ["light_only"] if share else ["light_low", "light_only"],
            "booster only": ["booster_only"] if share else ["booster_low", "booster_only"],
        }
        for (term, by_layer), (part, names) in itertools.product(moves.items(), in_part.items()):
            if not names:
                assert flow[term][part] is None
                continue
            norm = np.linalg.norm(np.concatenate([by_layer[name].ravel() for name in names]))
            assert flow[term][part] == pytest.approx(norm, rel=1e-3, abs=1e-6), (term, part)
            assert (flow[term][part] == 0) == (norm == 0), (term, part)

        assert_equal(step_of(rocket, x, y), total(moves))


@pytest.mark.parametrize("learn_from", ["both", "booster"])
class TestHowItRuns:
    HINTS = ("logits", "layers", "teacher")

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_graphs(self, learn_from, jit_compile):
        routing = {"gradient_block": False, "shared_layers_learn_from": learn_from}
        rocket = rocket_with(self.HINTS, True, eagerly=False, **routing)
        rocket.jit_compile = jit_compile
        x, y = examples(6)
        moves = gradients_of_terms(kernels(rocket), x, y, self.HINTS, True, **routing)
        assert_equal(step_of(rocket, x, y), total(moves))

    def test_sample_weights_apply_to_the_gradients(self, learn_from):
        x, y = examples(3)
        routing = {"shared_layers_learn_from": learn_from}
        rocket = rocket_with(self.HINTS, True, **routing)
        moves = [
            gradients_of_terms(
                kernels(rocket), x[i : i + 1], y[i : i + 1], self.HINTS, True, **routing
            )
            for i in range(3)
        ]
        weight = np.array([0.0, 2.0, 0.5])
        expected = {
            name: sum(w * total(each)[name] for w, each in zip(weight, moves, strict=True)) / 3
            for name in kernels(rocket)
        }
        assert_equal(step_of(rocket, x, y, sample_weight=weight), expected)

    def test_two_replicas_take_the_step_of_one_device(self, learn_from, two_replicas):
        """With 7 examples in batches of 4, the last batch is smaller and splits unevenly."""
        routing = {"gradient_block": False, "shared_layers_learn_from": learn_from}

        def build():
            return rocket_with(
                self.HINTS, True, 0.1, nets=regularized_pair(), eagerly=False, **routing
            )

        one = build()
        with two_replicas.scope():
            two = build()
        two.set_weights(one.get_weights())
        before = kernels(one)
        histories = [
            model.fit(*examples(7), batch_size=4, shuffle=False, verbose=0).history
            for model in (one, two)
        ]
        for name, values in histories[0].items():
            np.testing.assert_allclose(histories[1][name], values, rtol=1e-5)
        assert_equal(kernels(two), kernels(one), rtol=1e-5, atol=1e-6)
        for name, matrix in kernels(one).items():
            assert np.abs(matrix - before[name]).max() > 1e-3

    @pytest.mark.parametrize("gradient_block", [True, False])
    def test_loss_scaling_in_float16(self, learn_from, gradient_block):
        keras.config.set_dtype_policy("mixed_float16")
        routing = {"gradient_block": gradient_block, "shared_layers_learn_from": learn_from}
        rocket = rocket_with(self.HINTS, True, eagerly=False, **routing)
        assert isinstance(rocket.optimizer, keras.optimizers.LossScaleOptimizer)
        rocket.optimizer.initial_scale = 2.0**8
        x, y = examples(7)
        moves = gradients_of_terms(kernels(rocket), x, y, self.HINTS, True, **routing)
        assert_equal(step_of(rocket, x, y), total(moves), rtol=0.02, atol=0.02)

    def test_an_overflow_skips_the_step(self, learn_from):
        keras.config.set_dtype_policy("mixed_float16")
        rocket = rocket_with(("logits",), True, shared_layers_learn_from=learn_from)
        x, y = examples(7)
        x[0, 0] = np.inf
        assert all((move == 0).all() for move in step_of(rocket, x, y).values())

    def test_gradients_can_be_clipped_and_decayed(self, learn_from):
        """Clipping uses the norm of the routed gradient over all variables."""
        routing = {"shared_layers_learn_from": learn_from}
        rocket = rocket_with(("logits",), True, **routing)
        rocket.compile(
            keras.optimizers.SGD(1.0, global_clipnorm=0.01),
            CROSS_ENTROPY,
            loss_weights=LABEL_WEIGHTS,
            run_eagerly=True,
        )
        x, y = examples(6)
        expected = total(gradients_of_terms(kernels(rocket), x, y, ("logits",), True, **routing))
        norm = np.linalg.norm(np.concatenate([gradient.ravel() for gradient in expected.values()]))
        expected = {name: gradient * 0.01 / norm for name, gradient in expected.items()}
        assert_equal(step_of(rocket, x, y), expected)


FACTORS = {"shared": 0.1, "light_only": 0.2, "booster_only": 0.4}


def regularized_pair():
    """Like `linear_pair`, with a penalty on each matrix."""
    inputs = keras.Input((FEATURES,), name="features")

    def dense(units, name):
        penalty = keras.regularizers.L2(FACTORS[name])
        return layers.Dense(units, use_bias=False, kernel_regularizer=penalty, name=name)

    low = dense(SHARED, "shared")(inputs)
    return [
        keras.Model(inputs, dense(CLASSES, f"{role}_only")(low), name=role)
        for role in ("light", "booster")
    ]


@pytest.mark.parametrize("learn_from", ["both", "booster"])
@pytest.mark.parametrize("hints", [("logits",), ("layers",), ("teacher",), ()])
def test_regularizers_count_once_in_the_loss_and_in_the_step(hints, learn_from):
    routing = {"shared_layers_learn_from": learn_from}
    rocket = rocket_with(hints, True, nets=regularized_pair(), **routing)
    x, y = examples(6)
    before = kernels(rocket)
    moves = total(gradients_of_terms(before, x, y, hints, True, **routing))
    expected = {name: move + 2 * FACTORS[name] * before[name] for name, move in moves.items()}
    terms = weighted_terms(by_path(before), x, y, hints)
    penalty = sum(FACTORS[name] * np.sum(matrix**2) for name, matrix in before.items())

    evaluated = rocket.evaluate(x, y, return_dict=True, verbose=0)
    np.testing.assert_allclose(evaluated["loss"], sum(terms.values()) + penalty, rtol=1e-5)
    computed = step_of(rocket, x, y)
    logs = rocket.get_metrics_result()
    np.testing.assert_allclose(logs["loss"], evaluated["loss"], rtol=1e-5)
    assert_equal(computed, expected)


@pytest.mark.parametrize("learn_from", ["both", "booster"])
def test_penalties_on_activations_count_once(learn_from):
    inputs = keras.Input((FEATURES,), name="features")
    low = layers.Dense(SHARED, activity_regularizer=keras.regularizers.L2(0.5), name="shared")(
        inputs
    )
    nets = [
        keras.Model(inputs, layers.Dense(CLASSES, use_bias=False, name=f"{role}_only")(low))
        for role in ("light", "booster")
    ]
    rocket = rocket_with((), True, nets=nets, shared_layers_learn_from=learn_from)
    x, y = examples(6)
    shared = rocket.get_layer("shared")
    shared(x)
    (penalty,) = shared.losses  # 0.5 Σ activations², which Keras divides by the batch since 3.13
    terms = weighted_terms(by_path(kernels(rocket)), x, y, ())
    logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
    expected = sum(terms.values()) + float(penalty)
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


class TestEmbeddings:
    """Embeddings have sparse gradients, and those of several terms are added."""

    def rocket(self, **arguments):
        ids = keras.Input((3,), dtype="int32", name="ids")
        low = layers.Flatten()(
            layers.Embedding(5, 2, embeddings_regularizer="l2", name="shared")(ids)
        )
        own = layers.Flatten()(
            layers.Embedding(5, 2, embeddings_regularizer="l2", name="booster_own")(ids)
        )
        light = keras.Model(ids, layers.Dense(CLASSES, name="light_only")(low))
        booster = layers.Dense(CLASSES, name="booster_only")(layers.Concatenate()([low, own]))
        return RocketModel(light, keras.Model(ids, booster), **arguments)

    @pytest.mark.parametrize("gradient_block", [True, False])
    @pytest.mark.parametrize("eagerly", [True, False])
    def test_the_hints_gradient_is_added_to_that_of_the_booster_loss(self, gradient_block, eagerly):
        """Only the step of the shared table depends on the losses that it learns from."""
        ids, y = np.arange(12).reshape(4, 3) % 4, np.array([0, 1, 2, 0])
        steps = []
        for learn_from in ("both", "booster"):
            keras.utils.set_random_seed(0)
            rocket = self.rocket(gradient_block=gradient_block, shared_layers_learn_from=learn_from)
            rocket.compile("sgd", CROSS_ENTROPY, run_eagerly=eagerly)
            before = {
                layer.name: layer.get_weights()[0] for layer in rocket.layers if layer.weights
            }
            rocket.train_on_batch(ids, y)
            steps.append(
                {name: rocket.get_layer(name).get_weights()[0] - b for name, b in before.items()}
            )
        both, booster = steps
        for name in ("booster_own", "light_only", "booster_only"):
            np.testing.assert_allclose(booster[name], both[name], rtol=1e-4, atol=1e-8)
        assert np.abs(booster["shared"] - both["shared"]).max() > 1e-5
        assert np.abs(booster["shared"]).max() > 1e-5


class TestParts:
    ALONE = {"light": 1.0, "booster": 0.0}

    @pytest.mark.parametrize("name", ["booster", "light", "booster_hint", "shared"])
    def test_a_hint_belongs_to_the_light_net_whatever_its_name(self, name):
        rocket = RocketModel(
            *linear_pair(), hint=Hint(name=name), shared_layers_learn_from="booster"
        )
        rocket.compile(keras.optimizers.SGD(1.0), CROSS_ENTROPY, loss_weights=self.ALONE)
        assert (step_of(rocket, *examples(6))["shared"] == 0).all()
        assert gradient_flow(rocket, *examples(6))[name]["shared"] == 0

    def test_the_boosters_losses_of_several_outputs_train_shared_layers(self):
        features = keras.Input((FEATURES,), name="features")
        low = layers.Dense(SHARED, name="shared")(features)

        def net(role):
            outputs = {
                name: layers.Dense(units, name=f"{role}_{name}")(low)
                for name, units in (("topic", 3), ("bought", 1))
            }
            return keras.Model(features, outputs, name=role)

        rocket = RocketModel(net("light"), net("booster"), shared_layers_learn_from="booster")
        x, y = examples(6)
        labels = {"topic": y, "bought": (y[:, None] > 1).astype(float)}
        loss = {"topic": CROSS_ENTROPY, "bought": keras.losses.BinaryCrossentropy(from_logits=True)}
        rocket.compile(keras.optimizers.SGD(0.0), loss)
        flow = gradient_flow(rocket, x, labels)
        for term, by_part in flow.items():
            assert (by_part["shared"] > 0) == term.startswith("booster_"), term

    def test_frozen_shared_layers_do_not_change(self):
        for learn_from in ("both", "booster"):
            rocket = RocketModel(*linear_pair(), shared_layers_learn_from=learn_from)
            rocket.get_layer("shared").trainable = False
            rocket.compile(keras.optimizers.SGD(1.0), CROSS_ENTROPY)
            moves = step_of(rocket, *examples(6))
            assert (moves["shared"] == 0).all()
            assert (moves["light_only"] != 0).any() and (moves["booster_only"] != 0).any()
            assert gradient_flow(rocket, *examples(6))["booster_loss"]["shared"] is None

    def test_the_booster_trains_as_if_it_were_alone(self):
        """This is the purpose of EasyRec's routing: the light net cannot disturb the booster."""
        data = examples(24)
        weights = []
        for loss_weights in ({"light": 1.0}, {"light": 0.0}):
            keras.utils.set_random_seed(0)
            rocket = RocketModel(
                *linear_pair(),
                hint_weight=loss_weights["light"],
                shared_layers_learn_from="booster",
            )
            rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, loss_weights=loss_weights)
            rocket.fit(*data, batch_size=8, epochs=2, shuffle=False, verbose=0)
            weights.append(kernels(rocket))
        for name in ("shared", "booster_only"):
            np.testing.assert_allclose(weights[0][name], weights[1][name], rtol=1e-6, atol=1e-7)
        assert np.abs(weights[0]["light_only"] - weights[1]["light_only"]).max() > 1e-2


class TestSettings:
    def test_saved_and_loaded(self, tmp_path):
        rocket = rocket_with(("logits",), True, 0.1, shared_layers_learn_from="booster")
        x, y = examples(6)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.shared_layers_learn_from == "booster"
        for model in (rocket, loaded):
            model.train_on_batch(x, y)
        assert_equal(kernels(loaded), kernels(rocket), rtol=1e-6, atol=1e-7)

    def test_a_saved_model_that_predates_the_setting(self):
        config = RocketModel(*linear_pair()).get_config()
        assert config.pop("shared_layers_learn_from") == "both"
        assert RocketModel.from_config(config).shared_layers_learn_from == "both"

    def test_an_unknown_choice(self):
        with pytest.raises(ValueError, match=r'"both" or "booster".*\'light\''):
            RocketModel(*linear_pair(), shared_layers_learn_from="light")

    def test_a_missing_booster(self):
        with pytest.raises(ValueError, match="cannot learn from a missing booster"):
            RocketModel(linear_pair()[0], hint=None, shared_layers_learn_from="booster")
