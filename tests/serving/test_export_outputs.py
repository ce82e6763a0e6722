"""Exports with several outputs, of multi-label nets, and for many candidates of one user."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import RocketModel, export_light
from rocket_tf.serving import checks

BINARY = keras.losses.BinaryCrossentropy(from_logits=True)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def two_tasks(role):
    features = keras.Input((4,), name="features")
    hidden = layers.Dense(5, "relu", name=f"{role}_hidden")(features)
    outputs = {
        "bought": layers.Dense(1, name=f"{role}_bought")(hidden),
        "topic": layers.Dense(3, name=f"{role}_topic")(hidden),
    }
    return keras.Model(features, outputs, name=role)


def labels_pair(labels):
    features = keras.Input((4,), name="features")
    return tuple(
        keras.Model(features, layers.Dense(labels, name=f"{role}_logits")(features), name=role)
        for role in ("light", "booster")
    )


def user_and_item():
    user = keras.Input((), dtype="string", name="user")
    item = keras.Input((2,), name="item_features")
    hashed = layers.Hashing(7)(user)
    together = layers.Concatenate()([layers.Embedding(7, 3)(hashed), item])
    return keras.Model(
        {"user": user, "item_features": item}, layers.Dense(2)(together), name="light"
    )


def served(version):
    return tf.saved_model.load(str(version)).signatures


class TestSeveralOutputs:
    @pytest.fixture
    def rocket(self):
        rocket = RocketModel(two_tasks("light"), two_tasks("booster"))
        rocket.compile("sgd", {"bought": BINARY, "topic": CROSS_ENTROPY})
        return rocket

    def test_each_output_has_its_own_answers(self, rocket, tmp_path):
        version = export_light(rocket, tmp_path)
        x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
        answers = served(version)["serving_default"](features=tf.constant(x))
        expected = rocket.light(x)
        assert set(answers) == {
            f"{output}_{what}"
            for output in ("bought", "topic")
            for what in ("logits", "probabilities", "classes")
        }
        for output, logits in expected.items():
            np.testing.assert_allclose(answers[f"{output}_logits"], logits, rtol=1e-5, atol=1e-6)
        sigmoid = 1 / (1 + np.exp(-expected["bought"].numpy().astype(np.float64)))
        np.testing.assert_allclose(answers["bought_probabilities"], sigmoid, rtol=1e-5)
        np.testing.assert_array_equal(answers["topic_classes"], expected["topic"].numpy().argmax(1))

    def test_passes_the_checks_and_can_be_optimized(self, rocket, tmp_path):
        version = export_light(rocket, tmp_path, optimize=True)
        results = dict(checks.prove(version))
        assert "1, 3, 8" in " ".join(results.values()) or len(results) == 9

    def test_has_no_class_names(self, rocket, tmp_path):
        with pytest.raises(ValueError, match=r"class_names are for nets with one output.*topic"):
            export_light(rocket, tmp_path, class_names=["a", "b", "c"])
        assert not list(tmp_path.iterdir())


class TestMultiLabel:
    def answers(self, model, folder, **arguments):
        x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
        version = export_light(model, folder, **arguments)
        logits = getattr(model, "light", model)(x).numpy()
        return logits, served(version)["serving_default"](features=tf.constant(x))

    def test_as_the_label_loss_says(self, tmp_path):
        rocket = RocketModel(*labels_pair(3))
        rocket.compile("sgd", BINARY)
        logits, answers = self.answers(rocket, tmp_path, class_names=["cat", "dog", "cow"])
        np.testing.assert_allclose(answers["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-5)
        np.testing.assert_array_equal(answers["classes"], logits > 0)
        assert "class_names" not in answers
        assert (tmp_path / "1" / "assets" / "labels.txt").read_text() == "cat\ndog\ncow\n"

    def test_as_the_argument_says(self, tmp_path):
        light, _ = labels_pair(3)
        logits, answers = self.answers(light, tmp_path / "one", multi_label=True)
        np.testing.assert_array_equal(answers["classes"], logits > 0)
        logits, answers = self.answers(light, tmp_path / "other")
        np.testing.assert_array_equal(answers["classes"], logits.argmax(1))

    def test_a_single_logit_is_not_multi_label(self, tmp_path):
        rocket = RocketModel(*labels_pair(1))
        rocket.compile("sgd", BINARY)
        logits, answers = self.answers(rocket, tmp_path, class_names=["no", "yes"])
        np.testing.assert_array_equal(answers["classes"], logits[:, 0] > 0)
        assert "class_names" in answers


class TestCandidates:
    def test_the_users_inputs_are_given_once(self, tmp_path):
        net = user_and_item()
        version = export_light(net, tmp_path, user_inputs=["user"])
        items = np.random.default_rng(2).normal(size=(9, 2)).astype(np.float32)
        once = served(version)["serve_candidates"](
            user=tf.constant(["anna"]), item_features=tf.constant(items)
        )
        each = net({"user": tf.constant(["anna"] * 9), "item_features": tf.constant(items)})
        np.testing.assert_allclose(once["logits"], each, rtol=1e-5, atol=1e-6)
        assert "serving_default" in served(version)

    def test_without_them_there_is_no_such_signature(self, tmp_path):
        assert "serve_candidates" not in served(export_light(user_and_item(), tmp_path))

    @pytest.mark.parametrize("inputs", [["buyer"], ["user", "item_features"]])
    def test_mistakes(self, inputs, tmp_path):
        with pytest.raises(ValueError, match=r"user_inputs must be some of the net's inputs"):
            export_light(user_and_item(), tmp_path, user_inputs=inputs)
        assert not list(tmp_path.iterdir())


def test_inputs_without_names_get_the_same_names_in_every_process(tmp_path):
    nets = []
    for _ in range(2):  # Keras numbers the second net's inputs differently
        inputs = keras.Input((3,)), keras.Input((2,))
        nets.append(keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(inputs))))
    for index, net in enumerate(nets):
        signatures = served(export_light(net, tmp_path / str(index)))
        specification = signatures["serving_default"].structured_input_signature[1]
        assert set(specification) == {"inputs_0", "inputs_1"}
    image = keras.Input((4,))
    one = keras.Model(image, layers.Dense(2)(image))
    signatures = served(export_light(one, tmp_path / "one"))
    assert list(signatures["serving_default"].structured_input_signature[1]) == ["inputs"]
