"""Losses, metrics and logs of nets with several outputs, multi-label outputs or one logit."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import ExactAUC, GroupAUC, Hint, RocketModel, gradient_flow
from rocket_tf.core.heads import Head, by_output, flat, heads_of, spread
from tests.nets import CLASSES, CROSS_ENTROPY, FEATURES, examples, linear_pair, weights_of
from tests.reference import (
    cross_entropy,
    kd,
    logits_mse,
    sigmoid,
    sigmoid_kd,
    sigmoid_mse,
    softmax_mse,
)

BINARY = keras.losses.BinaryCrossentropy(from_logits=True)
LOSS = {"topic": CROSS_ENTROPY, "bought": BINARY}
HEADS = ["light_topic", "light_bought", "booster_topic", "booster_bought"]


def net(role, features, topic=3):
    """Two outputs, which are not in alphabetical order."""
    outputs = {
        "topic": layers.Dense(topic, name=f"{role}_topic_logits")(features),
        "bought": layers.Dense(1, name=f"{role}_bought_logits")(features),
    }
    return outputs


def two_task_pair(share=True, topic=3):
    inputs = keras.Input((FEATURES,), name="features")
    low = layers.Dense(4, name="shared")(inputs) if share else inputs
    return [keras.Model(inputs, net(role, low, topic), name=role) for role in ("light", "booster")]


def labelled(count, seed=0):
    x, topics = examples(count, seed=seed)
    bought = np.random.default_rng(seed + 1).integers(0, 2, (count, 1))
    return x, {"topic": topics, "bought": bought}


def binary_cross_entropy(labels, logits):
    """The loss of each example: the mean over its logits, as in Keras."""
    p = sigmoid(logits.astype(np.float64))
    return -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p), axis=-1)


def logits_of(rocket, x):
    return {name: logits.numpy().astype(np.float64) for name, logits in rocket(x).items()}


def terms_of(rocket, x, y, weight=1.0):
    logits = logits_of(rocket, x)
    label_losses = {"topic": cross_entropy, "bought": binary_cross_entropy}
    terms = {
        f"{role}_{output}_loss": label_losses[output](y[output], logits[f"{role}_{output}"])
        for role in ("light", "booster")
        for output in y
    }
    terms["hint_loss"] = sum(
        logits_mse(logits[f"booster_{output}"], logits[f"light_{output}"]) for output in y
    )
    return {name: np.mean(weight * values) for name, values in terms.items()}


def compiled(rocket=None, learning_rate=0.0, loss=LOSS, eagerly=True, **arguments):
    """A compiled rocket; by default it runs eagerly, which is faster for a few steps."""
    rocket = rocket or RocketModel(*two_task_pair(), hint_weight=0.3)
    rocket.compile(
        keras.optimizers.SGD(learning_rate),
        loss,
        run_eagerly=eagerly,
        jit_compile=False,
        **arguments,
    )
    return rocket


class TestSeveralOutputs:
    @pytest.mark.parametrize("share", [True, False])
    def test_logs_are_means_over_all_examples_under_the_outputs_names(self, share):
        rocket = RocketModel(*two_task_pair(share), hint_weight=0.3)
        compiled(rocket, metrics=["accuracy"], loss_weights={"topic": 0.5}, eagerly=False)
        x, y = labelled(11)
        expected = terms_of(rocket, x, y)
        expected["loss"] = 0.3 * expected["hint_loss"] + sum(
            (0.5 if "topic" in name else 1.0) * value
            for name, value in expected.items()
            if name != "hint_loss"
        )
        logits = logits_of(rocket, x)
        for role in ("light", "booster"):
            expected |= {
                f"{role}_topic_accuracy": np.mean(logits[f"{role}_topic"].argmax(-1) == y["topic"]),
                f"{role}_bought_accuracy": np.mean((logits[f"{role}_bought"] > 0) == y["bought"]),
            }
        history = rocket.fit(x, y, batch_size=4, validation_data=(x, y), verbose=0).history
        assert set(history) == set(expected) | {f"val_{name}" for name in expected}
        for name, value in expected.items():
            np.testing.assert_allclose(history[name], value, rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(history[f"val_{name}"], value, rtol=1e-5, err_msg=name)

    def test_sample_weights_apply_to_all_outputs(self):
        rocket = compiled(weighted_metrics=["accuracy"])
        x, y = labelled(6)
        weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.1])
        logs = rocket.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
        for name, value in terms_of(rocket, x, y, weight).items():
            np.testing.assert_allclose(logs[name], value, rtol=1e-5, err_msg=name)
        right = (logits_of(rocket, x)["light_bought"] > 0) == y["bought"]
        expected = np.average(right[:, 0], weights=weight)
        np.testing.assert_allclose(logs["light_bought_accuracy"], expected, rtol=1e-5)

    @pytest.mark.parametrize("as_data_set", [True, False])
    def test_sample_weights_by_output(self, as_data_set):
        hints = [Hint(), Hint("logits_mse", layers={"shared": "booster_low"}, name="low_hint")]
        inputs = keras.Input((FEATURES,), name="features")
        lows = [layers.Dense(4, name=name)(inputs) for name in ("shared", "booster_low")]
        pair = [
            keras.Model(inputs, net(role, low), name=role)
            for role, low in zip(("light", "booster"), lows, strict=True)
        ]
        rocket = compiled(RocketModel(*pair, hint=hints), weighted_metrics=["accuracy"])
        x, y = labelled(6)
        weights = {
            "topic": np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.1]),
            "bought": np.array([1.0, 0.0, 0.0, 2.0, 1.0, 1.0]),
        }
        data = (x, y, weights)
        if as_data_set:
            logs = rocket.evaluate(
                tf.data.Dataset.from_tensor_slices(data).batch(4), return_dict=True, verbose=0
            )
        else:
            logs = rocket.evaluate(x, y, 4, sample_weight=weights, return_dict=True, verbose=0)
        logits = logits_of(rocket, x)
        for output, weight in weights.items():
            expected = terms_of(rocket, x, y, weight)
            for role in ("light", "booster"):
                name = f"{role}_{output}_loss"
                np.testing.assert_allclose(logs[name], expected[name], rtol=1e-5, err_msg=name)
        hinted = sum(
            np.mean(weight * logits_mse(logits[f"booster_{output}"], logits[f"light_{output}"]))
            for output, weight in weights.items()
        )
        np.testing.assert_allclose(logs["hint_loss"], hinted, rtol=1e-5)
        low, high = (
            x @ rocket.get_layer(name).kernel.numpy().astype(float)
            for name in ("shared", "booster_low")
        )
        mean = (
            weights["topic"] + weights["bought"]
        ) / 2  # for hints that have no output of their own
        np.testing.assert_allclose(
            logs["low_hint"], np.mean(mean * logits_mse(high, low)), rtol=1e-5
        )
        right = logits["light_topic"].argmax(-1) == y["topic"]
        accuracy = np.average(right, weights=weights["topic"])
        np.testing.assert_allclose(logs["light_topic_accuracy"], accuracy, rtol=1e-5)
        flow = gradient_flow(rocket, x, y, weights)
        assert flow["light_topic_loss"]["light only"] > 0

    def test_one_array_of_sample_weights_applies_to_unlabelled_outputs_too(self):
        rocket = compiled(loss={"bought": BINARY})
        x, y = labelled(6)
        weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.1])
        logs = rocket.evaluate(
            x, {"bought": y["bought"]}, sample_weight=weight, return_dict=True, verbose=0
        )
        expected = terms_of(rocket, x, y, weight)["hint_loss"]
        np.testing.assert_allclose(logs["hint_loss"], expected, rtol=1e-5)

    def test_the_loss_falls_and_predict_returns_the_light_nets_outputs(self):
        rocket = compiled(learning_rate=0.1, eagerly=False)
        x, y = labelled(32)
        losses = rocket.fit(x, y, epochs=8, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        predicted = rocket.predict(x, verbose=0)
        logits = logits_of(rocket, x)
        assert set(logits) == set(HEADS) and set(predicted) == {"topic", "bought"}
        for output, values in predicted.items():
            np.testing.assert_allclose(values, logits[f"light_{output}"], rtol=1e-4, atol=1e-6)

    def test_the_hint_is_blocked_from_every_output_of_the_booster(self):
        for gradient_block in (True, False):
            rocket = RocketModel(*two_task_pair(), hint_weight=1.0, gradient_block=gradient_block)
            compiled(rocket, 1.0, loss_weights=dict.fromkeys(("light", "booster"), 0.0))
            before = [rocket.get_layer(f"booster_{name}_logits").get_weights() for name in LOSS]
            rocket.train_on_batch(*labelled(6))
            for old, name in zip(before, LOSS, strict=True):
                new = rocket.get_layer(f"booster_{name}_logits").get_weights()
                assert (old[0] == new[0]).all() == gradient_block

    @pytest.mark.parametrize("share", [True, False])
    def test_saved_and_loaded(self, tmp_path, share):
        rocket = RocketModel(*two_task_pair(share), hint_weight=0.3)
        compiled(
            rocket,
            0.1,
            metrics={
                "topic": ["accuracy"],
                "bought": [keras.metrics.AUC(from_logits=True, name="auc")],
            },
            loss_weights={"light": {"topic": 0.5}},
        )
        x, y = labelled(8)
        rocket.fit(x, y, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert set(loaded.light.output) == set(loaded.booster.output) == {"topic", "bought"}
        for model in (rocket, loaded):
            model.fit(x, y, batch_size=8, verbose=0)
        logs = [model.evaluate(x, y, return_dict=True, verbose=0) for model in (rocket, loaded)]
        assert logs[0] == logs[1]
        assert "light_bought_auc" in logs[0] and "light_topic_accuracy" in logs[0]
        for output, values in rocket.predict(x, verbose=0).items():
            np.testing.assert_array_equal(values, loaded.predict(x, verbose=0)[output])

    @pytest.mark.slow
    def test_two_replicas_equal_one(self, two_replicas):
        """With 9 examples in batches of 4, a replica gets none of the last batch."""
        x, y = labelled(9)

        def build():
            hints = [Hint(), Hint("cosine", 0.5, layers={"shared": "shared"}, name="low_hint")]
            rocket = RocketModel(*two_task_pair(), hint=hints)
            return compiled(rocket, 0.1, eagerly=False, metrics=["accuracy"])

        one = build()
        with two_replicas.scope():
            two = build()
        two.set_weights(one.get_weights())
        histories = [
            model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history for model in (one, two)
        ]
        assert set(histories[0]) == set(histories[1])
        for name, values in histories[0].items():
            np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("layers_read", [None, {"shared": "taught"}])
    def test_a_teacher_with_several_outputs_is_followed(self, layers_read):
        inputs = keras.Input((FEATURES,), name="features")
        low = layers.Dense(4, name="taught")(inputs)
        teacher = keras.Model(inputs, net("teacher", low), name="teacher")
        light, _ = two_task_pair()
        hint = Hint("logits_mse", 0.7, follows="teacher", layers=layers_read)
        rocket = compiled(RocketModel(light, teacher=teacher, hint=hint))
        x, y = labelled(6)
        followed = teacher(x) if layers_read is None else {"low": teacher.get_layer("taught")(x)}
        own = light(x) if layers_read is None else {"low": light.get_layer("shared")(x)}
        expected = sum(
            logits_mse(followed[name].numpy().astype(float), own[name].numpy()).mean()
            for name in own
        )
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["teacher_loss"], expected, rtol=1e-5)
        assert set(logs) == {"loss", "light_topic_loss", "light_bought_loss", "teacher_loss"}

    def test_a_dict_of_one_output_keeps_its_name_in_the_logs(self):
        for booster in (True, False):
            inputs = keras.Input((FEATURES,))
            nets = [
                keras.Model(inputs, {"topic": layers.Dense(3, name=role)(inputs)})
                for role in ("light", "booster")
            ]
            rocket = RocketModel(*nets) if booster else RocketModel(nets[0], hint=None)
            compiled(rocket, loss=CROSS_ENTROPY, metrics=["accuracy"])
            x, y = labelled(5)
            logs = rocket.evaluate(x, {"topic": y["topic"]}, return_dict=True, verbose=0)
            assert {"light_topic_loss", "light_topic_accuracy"} < set(logs)

    def test_an_output_that_only_the_hint_reads_needs_no_labels(self):
        x, y = labelled(6)
        rocket = compiled(loss={"bought": BINARY}, metrics={"bought": ["accuracy"]})
        logs = rocket.evaluate(x, {"bought": y["bought"]}, return_dict=True, verbose=0)
        everything = terms_of(rocket, x, y)
        assert set(logs) == {
            "loss",
            *("light_bought_loss", "booster_bought_loss", "hint_loss"),
            *("light_bought_accuracy", "booster_bought_accuracy"),
        }
        for name in ("light_bought_loss", "hint_loss"):
            np.testing.assert_allclose(logs[name], everything[name], rtol=1e-5)


class TestDicts:
    """The dicts that `loss`, `loss_weights` and `metrics` accept."""

    @pytest.mark.parametrize(
        "loss_weights, expected",
        [
            (None, [1, 1, 1, 1]),
            ({}, [1, 1, 1, 1]),
            ({"light": 2.0}, [2, 2, 1, 1]),
            ({"topic": 0.5}, [0.5, 1, 0.5, 1]),
            ({"light": {"bought": 3.0}, "booster": 0.0}, [1, 3, 0, 0]),
            ({"booster_topic": 4.0}, [1, 1, 4, 1]),
        ],
        ids=["none", "empty", "by net", "by output", "by net and output", "by head"],
    )
    def test_weights(self, loss_weights, expected):
        rocket = compiled(RocketModel(*two_task_pair(), hint=None), loss_weights=loss_weights)
        x, y = labelled(5)
        terms = terms_of(rocket, x, y)
        total = sum(
            weight * terms[f"{head}_loss"] for weight, head in zip(expected, HEADS, strict=True)
        )
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)
        for head in HEADS:  # terms are logged without their weights
            np.testing.assert_allclose(logs[f"{head}_loss"], terms[f"{head}_loss"], rtol=1e-5)

    @pytest.mark.parametrize(
        "loss, heads",
        [
            (LOSS, HEADS),
            ({"topic": CROSS_ENTROPY}, ["light_topic", "booster_topic"]),
            ({"topic": CROSS_ENTROPY, "bought": None}, ["light_topic", "booster_topic"]),
            ({"light": LOSS, "booster": None}, ["light_topic", "light_bought"]),
            ({"light": LOSS, "booster": {"bought": BINARY}}, [*HEADS[:2], "booster_bought"]),
            ({"light_topic": CROSS_ENTROPY, "booster_bought": BINARY}, [HEADS[0], HEADS[3]]),
        ],
    )
    def test_losses(self, loss, heads):
        rocket = compiled(loss=loss)
        x, y = labelled(5)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        assert set(logs) == {"loss", "hint_loss", *(f"{head}_loss" for head in heads)}
        terms = terms_of(rocket, x, y)
        for head in heads:
            np.testing.assert_allclose(logs[f"{head}_loss"], terms[f"{head}_loss"], rtol=1e-5)

    def test_one_loss_for_all_outputs(self):
        pair = two_task_pair(topic=2)
        rocket = compiled(RocketModel(*pair), loss=BINARY)
        x, y = labelled(5)
        y["topic"] = np.stack([y["topic"] > 0, y["topic"] > 1], axis=-1).astype(int)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        light = logits_of(rocket, x)["light_topic"]
        expected = binary_cross_entropy(y["topic"], light).mean()
        np.testing.assert_allclose(logs["light_topic_loss"], expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "metrics, names",
        [
            (["accuracy"], [f"{head}_accuracy" for head in HEADS]),
            ("accuracy", [f"{head}_accuracy" for head in HEADS]),
            ({"light": ["accuracy"]}, ["light_topic_accuracy", "light_bought_accuracy"]),
            ({"bought": "accuracy"}, ["light_bought_accuracy", "booster_bought_accuracy"]),
            (
                {"light": {"topic": ["accuracy"]}, "booster": {"bought": ["accuracy", "mse"]}},
                ["light_topic_accuracy", "booster_bought_accuracy", "booster_bought_mse"],
            ),
            ({"booster_topic": ["accuracy"]}, ["booster_topic_accuracy"]),
            (
                {"topic": [keras.metrics.SparseCategoricalAccuracy(name="right")]},
                ["light_topic_right", "booster_topic_right"],
            ),
            ({}, []),
        ],
    )
    @pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
    def test_metrics(self, argument, metrics, names):
        rocket = compiled(**{argument: metrics})
        x, y = labelled(5)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        assert {name for name in logs if not name.endswith("loss")} == set(names)
        logits = logits_of(rocket, x)
        for head in ("light_topic", "booster_topic"):
            for metric in ("accuracy", "right"):
                right = np.mean(logits[head].argmax(-1) == y["topic"])
                assert float(logs.get(f"{head}_{metric}", right)) == pytest.approx(right)

    @pytest.mark.parametrize(
        "argument, value, message",
        [
            ("loss", {"topics": CROSS_ENTROPY}, r"loss, as a dict, has keys among .*'topic'"),
            ("loss", {"light": {"topics": CROSS_ENTROPY}}, "'topic', 'bought'"),
            ("loss", {"topic": CROSS_ENTROPY, "light": BINARY}, "'light', 'booster', 'topic'"),
            ("loss", {"topic": "sparse_categorical_crossentropy"}, "light_topic expects prob"),
            ("loss", {"topic": None, "bought": None}, "needs a loss on the labels"),
            ("loss_weights", {"bougth": 1.0}, "loss_weights, as a dict, has keys among"),
            ("loss_weights", [1.0, 2.0], "loss_weights must be a dict"),
            ("metrics", {"topics": ["accuracy"]}, "metrics, as a dict, has keys among"),
        ],
    )
    def test_other_keys_and_values(self, argument, value, message):
        with pytest.raises(ValueError, match=message):
            compiled(**{argument: value})


class TestErrors:
    def test_outputs_of_other_names_or_shapes(self):
        (light, _), (_, booster) = two_task_pair(), two_task_pair(topic=4)
        with pytest.raises(ValueError, match=r"logits of the same shape.*'topic': \(None, 3\)"):
            RocketModel(light, booster)
        inputs = keras.Input((FEATURES,))
        other = keras.Model(inputs, {"topic": layers.Dense(3)(inputs)})
        with pytest.raises(ValueError, match="outputs of the same names"):
            RocketModel(light, other)
        with pytest.raises(ValueError, match="outputs of the same names"):
            RocketModel(light, keras.Model(inputs, layers.Dense(3)(inputs)))

    def test_outputs_that_are_a_list_or_nested(self):
        inputs = keras.Input((FEATURES,))
        logits = layers.Dense(3)(inputs)
        for outputs in ([logits, logits], {"a": {"b": logits}}):
            with pytest.raises(ValueError, match="one output, its logits, or a dict of several"):
                RocketModel(keras.Model(inputs, outputs), hint=None)

    def test_one_output_that_ends_in_probabilities_is_named(self):
        inputs = keras.Input((FEATURES,))
        probabilities = layers.Dense(1, activation="sigmoid", name="sure")(inputs)
        outputs = {"topic": layers.Dense(3)(inputs), "bought": probabilities}
        for model in (keras.Model(inputs, outputs), None):
            if model is None:  # the same model as a layer of another
                inner = keras.Model(inputs, outputs)
                model = keras.Model(inputs, inner(inputs))
            with pytest.raises(
                ValueError, match=r"output 'bought' of light ends in 'sigmoid'.*sure"
            ):
                RocketModel(model, hint=None)

    @pytest.mark.parametrize("name", ["light_topic_loss", "booster_bought_loss", "loss"])
    def test_a_hint_with_the_name_of_a_term(self, name):
        with pytest.raises(ValueError, match=r"Hints must have different names.*light_topic_loss"):
            RocketModel(*two_task_pair(), hint=Hint(name=name))

    def test_labels_that_are_missing_or_not_a_dict(self):
        rocket = compiled()
        x, y = labelled(5)
        for labels, received in (
            ({"bought": y["bought"]}, r"a dict of \['bought'\]; 'topic' is missing"),
            (y["topic"], "Tensor; 'topic' is missing"),
        ):
            with pytest.raises(ValueError, match=f"are a dict by output. Received: .*{received}"):
                rocket.evaluate(x, labels, verbose=0)


class TestHeads:
    HEADS = heads_of({"light": {"a": 1, "b": 2}, "booster": {"a": 3, "b": 4}})

    def test_names(self):
        assert list(self.HEADS) == ["light_a", "light_b", "booster_a", "booster_b"]
        assert heads_of({"light": 0}) == {"light": Head("light")}
        assert flat({"light": {"a": 1}, "booster": 2}) == {"light_a": 1, "booster": 2}
        assert by_output(3) == {None: 3} and by_output({"a": 3}) == {"a": 3}

    def test_a_single_output_has_no_keys_by_output(self):
        heads = heads_of({"light": 0, "booster": 0})
        assert spread("loss", {"light": 1}, heads) == {"light": 1, "booster": None}
        with pytest.raises(ValueError, match="loss, as a dict, has keys among"):
            spread("loss", {"light": {"a": 1}}, heads)


class TestMultiLabel:
    """Each logit is a separate yes or no."""

    LABELS = np.random.default_rng(3).integers(0, 2, (9, CLASSES))

    @pytest.mark.parametrize(
        "hint, expected", [("sigmoid_mse", sigmoid_mse), ("sigmoid_kd", sigmoid_kd)]
    )
    @pytest.mark.parametrize(
        "loss", [BINARY, keras.losses.BinaryFocalCrossentropy(from_logits=True)]
    )
    def test_losses_and_accuracy_equal_numpy(self, hint, expected, loss):
        rocket = RocketModel(*linear_pair(), hint=hint, hint_weight=0.5)
        compiled(rocket, loss=loss, metrics=["accuracy"])
        x, _ = examples(9)
        logits = logits_of(rocket, x)
        logs = rocket.evaluate(x, self.LABELS, batch_size=4, return_dict=True, verbose=0)
        hinted = expected(logits["booster"], logits["light"]).mean()
        np.testing.assert_allclose(logs["hint_loss"], hinted, rtol=1e-5)
        for role in ("light", "booster"):
            accuracy = np.mean((logits[role] > 0) == self.LABELS)
            np.testing.assert_allclose(logs[f"{role}_accuracy"], accuracy, rtol=1e-5)
            if loss is BINARY:
                value = binary_cross_entropy(self.LABELS, logits[role]).mean()
                np.testing.assert_allclose(logs[f"{role}_loss"], value, rtol=1e-5)

    def test_a_booster_without_a_label_loss_has_the_same_metrics(self):
        rocket = compiled(
            RocketModel(*linear_pair()),
            loss={"light": BINARY, "booster": None},
            metrics=["accuracy"],
        )
        x, _ = examples(9)
        logs = rocket.evaluate(x, self.LABELS, return_dict=True, verbose=0)
        accuracy = np.mean((logits_of(rocket, x)["booster"] > 0) == self.LABELS)
        np.testing.assert_allclose(logs["booster_accuracy"], accuracy, rtol=1e-5)

    def test_one_hot_labels_of_classes_are_not_multi_label(self):
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        rocket = compiled(RocketModel(*linear_pair()), loss=loss, metrics=["accuracy"])
        x, y = examples(9)
        logs = rocket.evaluate(x, np.eye(CLASSES)[y], return_dict=True, verbose=0)
        accuracy = np.mean(logits_of(rocket, x)["light"].argmax(-1) == y)
        np.testing.assert_allclose(logs["light_accuracy"], accuracy, rtol=1e-5)

    def test_beside_an_output_of_classes(self):
        pair = two_task_pair(topic=4)
        loss = {"topic": BINARY, "bought": BINARY}
        rocket = compiled(RocketModel(*pair, hint="sigmoid_kd"), loss=loss, metrics=["accuracy"])
        x, y = labelled(9)
        y["topic"] = np.random.default_rng(4).integers(0, 2, (9, 4))
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        logits = logits_of(rocket, x)
        for output, labels in y.items():
            accuracy = np.mean((logits[f"light_{output}"] > 0) == labels)
            np.testing.assert_allclose(logs[f"light_{output}_accuracy"], accuracy, rtol=1e-5)
        expected = sum(sigmoid_kd(logits[f"booster_{o}"], logits[f"light_{o}"]).mean() for o in y)
        np.testing.assert_allclose(logs["hint_loss"], expected, rtol=1e-5)

    def test_saved_and_loaded(self, tmp_path):
        rocket = RocketModel(*linear_pair(), hint="sigmoid_kd", temperature=2.0)
        compiled(rocket, 0.1, loss=BINARY, metrics=["accuracy"])
        x, _ = examples(9)
        rocket.fit(x, self.LABELS, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.hints[0].loss.temperature == 2.0
        assert loaded.evaluate(x, self.LABELS, verbose=0) == rocket.evaluate(
            x, self.LABELS, verbose=0
        )


class TestSingleLogit:
    @pytest.mark.parametrize(
        "hint, expected",
        [("logits_mse", logits_mse), ("softmax_mse", softmax_mse), ("kd", kd), ("sigmoid_kd", kd)],
    )
    @pytest.mark.parametrize("shape", [(8,), (8, 1)])
    def test_losses_and_accuracy_equal_numpy(self, hint, expected, shape):
        rocket = RocketModel(*linear_pair(1), hint=hint)
        compiled(rocket, loss=BINARY, metrics=["accuracy"])
        x, y = examples(8, classes=2)
        logs = rocket.evaluate(x, y.reshape(shape), return_dict=True, verbose=0)
        logits = logits_of(rocket, x)
        light, booster = logits["light"], logits["booster"]
        if hint != "logits_mse":  # a single logit is compared next to a logit of 0
            light, booster = (np.concatenate([0 * each, each], -1) for each in (light, booster))
        np.testing.assert_allclose(logs["hint_loss"], expected(booster, light).mean(), rtol=1e-5)
        value = binary_cross_entropy(y[:, None], logits["light"]).mean()
        np.testing.assert_allclose(logs["light_loss"], value, rtol=1e-5)
        accuracy = np.mean((logits["light"][:, 0] > 0) == y)
        np.testing.assert_allclose(logs["light_accuracy"], accuracy, rtol=1e-5)

    def test_it_learns(self):
        rocket = compiled(RocketModel(*linear_pair(1)), 0.1, loss=BINARY)
        x, _ = examples(32)
        before = weights_of(rocket)
        losses = rocket.fit(x, (x[:, 0] > 0).astype(int), epochs=8, verbose=0).history["light_loss"]
        assert losses[-1] < losses[0]
        assert all((before[name] != after).any() for name, after in weights_of(rocket).items())


def auc(labels, scores):
    """The AUC, counted over all pairs of a positive and a negative example."""
    difference = scores[labels == 1][:, None] - scores[labels == 0][None]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


class TestRankingMetrics:
    def data(self, count=13):
        x, y = labelled(count)
        return {"features": x, "user": np.arange(count) % 2}, y

    def test_they_run_in_evaluation_alone_and_are_named_by_head(self):
        rocket = compiled(
            metrics={"bought": [ExactAUC(), "accuracy"], "topic": ["accuracy"]},
            weighted_metrics={"light": {"bought": [ExactAUC()]}},
            eagerly=False,
        )
        x, y = self.data()
        weight = np.where(np.arange(13) < 9, 1.0, 0.0)
        history = rocket.fit(
            x, y, sample_weight=weight, batch_size=4, validation_data=(x, y, weight), verbose=0
        ).history
        logits = logits_of(rocket, x["features"])
        labels = y["bought"][:, 0]
        expected = {
            f"{role}_bought_auc": auc(labels, logits[f"{role}_bought"][:, 0])
            for role in ("light", "booster")
        }
        expected["light_bought_weighted_auc"] = auc(labels[:9], logits["light_bought"][:9, 0])
        for name, value in expected.items():
            np.testing.assert_allclose(history[f"val_{name}"], value, rtol=1e-6)
        assert not [name for name in history if "auc" in name and not name.startswith("val_")]
        assert "val_light_topic_accuracy" in history
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        assert {name for name in logs if "auc" in name} == set(expected)
        assert len(rocket.evaluate(x, y, verbose=0)) == len(logs)

    def test_groups_by_an_input_that_the_nets_do_not_read(self):
        rocket = compiled(RocketModel(*linear_pair(1)), loss=BINARY, metrics=[GroupAUC("user")])
        x, y = self.data()
        logs = rocket.evaluate(x, y["bought"], batch_size=5, return_dict=True, verbose=0)
        scores = logits_of(rocket, x["features"])["light"][:, 0]
        users = [x["user"] == user for user in (0, 1)]
        areas = [auc(y["bought"][mine, 0], scores[mine]) for mine in users]
        expected = np.average(areas, weights=[mine.sum() for mine in users])
        np.testing.assert_allclose(logs["light_gauc"], expected, rtol=1e-6)
        for wrong in (x["features"], {"features": x["features"]}):
            with pytest.raises(ValueError, match="gauc ranks within each 'user'"):
                rocket.evaluate(wrong, y["bought"], verbose=0)

    def test_two_with_the_same_name(self):
        with pytest.raises(ValueError, match="'light_gauc' twice"):
            compiled(
                RocketModel(*linear_pair(1)),
                loss=BINARY,
                metrics=[GroupAUC("user"), GroupAUC("item")],
            )

    def test_saved_and_loaded(self, tmp_path):
        rocket = compiled(RocketModel(*linear_pair(1)), loss=BINARY, metrics=[GroupAUC("user")])
        x, y = self.data()
        rocket.fit(x, y["bought"], verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        logs = [
            model.evaluate(x, y["bought"], return_dict=True, verbose=0)
            for model in (rocket, loaded)
        ]
        assert "light_gauc" in logs[0] and logs[0] == logs[1]


def test_outputs_must_not_have_the_names_of_nets():
    inputs = keras.Input((3,))
    net = keras.Model(inputs, {"light": layers.Dense(1)(inputs), "topic": layers.Dense(2)(inputs)})
    with pytest.raises(ValueError, match="Outputs must not have the names of nets"):
        RocketModel(net, hint=None)


def test_weights_of_heads_without_a_loss_are_refused():
    rocket = RocketModel(*linear_pair())
    with pytest.raises(ValueError, match=r"loss_weights must be for heads with a loss.*booster"):
        rocket.compile("sgd", {"light": CROSS_ENTROPY}, loss_weights={"booster": 0.5})
