"""Light nets that branch off inside a booster; nets from keras.applications and KerasCV."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import RocketModel, export_light, gradient_flow, ownership
from rocket_tf.networks import backbone_pair, branch
from tests.nets import CROSS_ENTROPY, FEATURES, examples

CLASSES = 3
SHAPE = (32, 32, 3)


def dense_net():
    inputs = keras.Input((FEATURES,), name="features")
    low = layers.Dense(4, "relu", name="low")(inputs)
    high = layers.Dense(6, "relu", name="high")(low)
    return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(high), name="booster")


class TestBranch:
    def test_the_light_net_is_the_booster_up_to_a_layer_plus_a_head(self):
        booster = dense_net()
        light = branch(booster, "low")
        assert light.name == "light" and light.input is booster.input
        assert [layer.name for layer in light.layers] == ["features", "low", "light_logits"]
        x, _ = examples(5)
        low = np.maximum(x @ booster.get_layer("low").kernel.numpy(), 0)
        np.testing.assert_allclose(
            light(x), low @ light.get_layer("light_logits").kernel.numpy(), rtol=1e-4, atol=1e-6
        )
        owned = ownership(RocketModel(light, booster))
        assert owned.layers == {
            "shared": ["low"],
            "light only": ["light_logits"],
            "booster only": ["high", "logits"],
        }

    @pytest.mark.parametrize(
        "shape, features",
        [((6, 2), 2), ((4, 4, 2), 2), ((2, 4, 4, 2), 2)],
        ids=["sequences", "images", "volumes"],
    )
    def test_positions_are_averaged(self, shape, features):
        inputs = keras.Input(shape)
        active = layers.Activation("relu", name="active")(inputs)
        logits = layers.Dense(CLASSES)(layers.Flatten()(active))
        light = branch(keras.Model(inputs, logits), "active", name="small")
        x = np.random.default_rng(0).normal(size=(3, *shape))
        pooled = np.maximum(x, 0).reshape(3, -1, features).mean(1)
        kernel = light.get_layer("small_logits").kernel.numpy()
        np.testing.assert_allclose(light(x), pooled @ kernel, rtol=1e-4, atol=1e-6)

    def test_a_custom_head(self):
        booster = dense_net()
        layer = layers.Dense(CLASSES, name="own_head")
        assert branch(booster, "low", layer).get_layer("own_head") is layer

        def head(features):
            hidden = layers.Dense(2, name="own_hidden")(features)
            return layers.Dense(CLASSES, name="own_logits")(hidden)

        light = branch(booster, "high", head, name="slim")
        assert light.name == "slim"
        assert light.get_layer("own_hidden").input.shape == (None, 6)

    def test_a_head_with_several_outputs(self):
        inputs = keras.Input((FEATURES,))
        low = layers.Dense(4, name="low")(inputs)

        def outputs(role):
            return lambda features: {
                "topic": layers.Dense(3, name=f"{role}_topic")(features),
                "bought": layers.Dense(1, name=f"{role}_bought")(features),
            }

        booster = keras.Model(inputs, outputs("booster")(low))
        light = branch(booster, "low", outputs("light"))
        assert set(RocketModel(light, booster).heads) == {
            f"{role}_{output}" for role in ("light", "booster") for output in ("topic", "bought")
        }
        with pytest.raises(ValueError, match=r"from a booster with one output.*'topic'.*pass head"):
            branch(booster, "low")

    def test_logits_are_float32_under_every_policy(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        light = branch(dense_net(), "low")
        assert light.output.dtype == "float32"
        assert light.get_layer("low").output.dtype == "bfloat16"

    def test_a_sequential_booster(self):
        booster = keras.Sequential(
            [keras.Input((FEATURES,)), layers.Dense(4, name="low"), layers.Dense(CLASSES)]
        )
        light = branch(booster, "low")
        assert ownership(RocketModel(light, booster)).layers["shared"] == ["low"]

    def test_layers_that_other_models_also_call(self):
        low = layers.Dense(4, name="low")
        low(keras.Input((FEATURES,), name="elsewhere"))
        inputs = keras.Input((FEATURES,), name="features")
        booster = keras.Model(inputs, layers.Dense(CLASSES)(low(inputs)))
        light = branch(booster, "low")
        RocketModel(light, booster)  # this calls them again
        assert branch(booster, "low", name="second").input is booster.input

    def test_batch_normalization_below_is_shared(self):
        inputs = keras.Input((FEATURES,))
        low = layers.BatchNormalization(name="norm")(layers.Dense(4, name="low")(inputs))
        booster = keras.Model(inputs, layers.Dense(CLASSES)(low))
        assert branch(booster, "norm").get_layer("norm") is booster.get_layer("norm")

    def test_it_trains_and_is_saved(self, tmp_path):
        booster = dense_net()
        rocket = RocketModel(branch(booster, "low"), booster, hint_weight=0.1)
        rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, jit_compile=False)
        x, y = examples(16)
        losses = rocket.fit(x, y, epochs=6, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        assert gradient_flow(rocket, x, y)["hint_loss"]["booster only"] == 0
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), rocket.predict(x, verbose=0))


class TestErrors:
    def test_unknown_layers(self):
        with pytest.raises(
            ValueError, match=r"no layer 'lo'.*Nearest by name: \['low'.*lists them"
        ):
            branch(dense_net(), "lo")

    def test_layers_inside_a_nested_net(self):
        inputs = keras.Input((FEATURES,))
        booster = keras.Model(inputs, layers.Dense(CLASSES)(branch(dense_net(), "low")(inputs)))
        with pytest.raises(ValueError, match="no layer 'low' to branch off at"):
            branch(booster, "low")

    def test_layers_that_are_called_twice_or_have_two_outputs(self):
        inputs = keras.Input((FEATURES, 1))
        twice = layers.Dense(1, name="twice")
        _, state = layers.GRU(3, return_state=True, name="two")(twice(twice(inputs)))
        booster = keras.Model(inputs, layers.Dense(CLASSES)(state))
        for layer in ("twice", "two"):
            with pytest.raises(
                ValueError, match=f"one output, called once. Received: layer='{layer}'"
            ):
                branch(booster, layer)

    def test_heads_with_other_logits(self):
        with pytest.raises(
            ValueError, match=r"logits have shape \(None, 5\), expected the booster's \(None, 3\)"
        ):
            branch(dense_net(), "low", layers.Dense(5))
        inputs = keras.Input((7, FEATURES))  # the booster keeps positions; branch() averages them
        low = layers.Dense(4, name="low")(inputs)
        with pytest.raises(ValueError, match=r"\(None, 3\), expected the booster's \(None, 7, 3\)"):
            branch(keras.Model(inputs, layers.Dense(CLASSES)(low)), "low")

    def test_ranks_that_are_not_averaged(self):
        inputs = keras.Input((1, 2, 1, 2, 1))
        low = layers.Activation("relu", name="low")(inputs)
        booster = keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(low)))
        with pytest.raises(ValueError, match=r"output of rank 2 to 5.*\(None, 1, 2, 1, 2, 1\)"):
            branch(booster, "low")

    def test_models_that_are_not_functional(self):
        class Subclassed(keras.Model):
            pass

        for booster in (Subclassed(), layers.Dense(3), keras.Sequential([layers.Dense(3)])):
            with pytest.raises(ValueError, match=r"booster must be a functional keras\.Model"):
                branch(booster, "low")

    def test_a_booster_that_ends_in_probabilities(self):
        inputs = keras.Input((FEATURES,))
        low = layers.Dense(4, name="low")(inputs)
        booster = keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(low))
        with pytest.raises(ValueError, match="booster must end in logits"):
            RocketModel(branch(booster, "low"), booster)


def images(count=4):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, *SHAPE)).astype(np.float32), np.arange(count) % CLASSES


def application(name, **arguments):
    return getattr(keras.applications, name)(
        weights=None, input_shape=SHAPE, classes=CLASSES, classifier_activation=None, **arguments
    )


def keras_cv_net(role):
    keras_cv = pytest.importorskip("keras_cv")
    backbone = keras_cv.models.ResNetV2Backbone(
        stackwise_filters=[4, 8],
        stackwise_blocks=[2, 2],
        stackwise_strides=[1, 2],
        include_rescaling=True,
        input_shape=SHAPE,
    )
    inputs = keras.Input(SHAPE, name="images")
    pooled = layers.GlobalAveragePooling2D(name=f"{role}_pool")(backbone(inputs))
    return keras.Model(inputs, layers.Dense(CLASSES, name=f"{role}_logits")(pooled), name=role)


def branched(name, layer):
    booster = application(name)
    return branch(booster, layer), booster


PAIRS = {
    "within MobileNetV3Small": lambda: branched("MobileNetV3Small", "expanded_conv_2_add"),
    "MobileNet in MobileNetV2": lambda: (
        application("MobileNet", alpha=0.25),
        application("MobileNetV2", alpha=0.35),
    ),
    "KerasCV's in MobileNet": lambda: (
        keras_cv_net("light"),
        application("MobileNet", alpha=0.25),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_backbones_are_trained_saved_loaded_and_exported(pair, tmp_path):
    light, booster = PAIRS[pair]()
    rocket = RocketModel(light, booster)
    # Tracing a graph of so many layers would take longer than an eager step.
    rocket.compile(
        keras.optimizers.SGD(1e-3), CROSS_ENTROPY, metrics=["accuracy"], run_eagerly=True
    )
    x, y = images()
    shared = ownership(rocket).layers["shared"]
    assert bool(shared) == pair.startswith("within")
    before = [variable.numpy() for variable in rocket.trainable_variables]
    logs = rocket.train_on_batch(x, y, return_dict=True)
    assert {"light_loss", "booster_loss", "hint_loss"} < set(logs)
    assert all(np.isfinite(value) for value in logs.values())
    moved = [
        (variable.numpy() != old).any()
        for variable, old in zip(rocket.trainable_variables, before, strict=True)
    ]
    assert np.mean(moved) > 0.9

    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    predicted = rocket.predict(x, verbose=0)
    assert predicted.shape == (4, CLASSES)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), predicted, rtol=1e-5, atol=1e-6)
    assert ownership(loaded) == ownership(rocket)

    version = export_light(rocket, tmp_path / "serving")
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    [(name, specification)] = serve.structured_input_signature[1].items()
    logits = serve(**{name: tf.cast(x, specification.dtype)})["logits"]  # x has whole-number pixels
    np.testing.assert_allclose(logits, predicted, rtol=1e-4, atol=1e-5)


def test_two_nets_of_one_family_whose_layers_have_the_same_names():
    light, booster = application("MobileNet", alpha=0.25), application("MobileNet", alpha=0.5)
    rocket = RocketModel(light, booster)
    owned = ownership(rocket)
    assert owned.layers["light only"] == owned.layers["booster only"]
    assert owned.parameters["light only"] < owned.parameters["booster only"]
    x, _ = images()
    logits = rocket(x)
    for role, net in (("light", light), ("booster", booster)):
        np.testing.assert_array_equal(logits[role], net(x))


def test_branching_off_inside_efficient_net():
    light, booster = branched("EfficientNetB0", "block2b_add")
    owned = ownership(RocketModel(light, booster))
    assert "block2b_dwconv" in owned.layers["shared"]
    assert owned.layers["light only"] == ["light_logits"]
    assert owned.multiply_adds["light"] < 0.5 * owned.multiply_adds["booster"]


def batch_normalizations(net):
    found = []
    for layer in net.layers:
        if isinstance(layer, keras.Model):
            found += batch_normalizations(layer)
        elif isinstance(layer, layers.BatchNormalization):
            found.append(layer)
    return found


@pytest.mark.slow
def test_moving_statistics_of_random_backbones_adapt_within_tens_of_steps():
    """With Keras's momentum of 0.999 or 0.99 they would hardly change in a short training."""
    own = keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3))
    assert {layer.momentum for layer in batch_normalizations(own)} == {0.999}
    pytest.importorskip("keras_cv")
    for net in backbone_pair("MobileNetV3Small", "keras_cv/ResNet18V2", 3, (32, 32, 3)):
        found = batch_normalizations(net)
        assert len(found) > 15 and {layer.momentum for layer in found} == {0.9}
        again = type(found[0]).from_config(found[0].get_config())
        assert again.momentum == 0.9
