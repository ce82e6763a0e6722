"""Exports answer as the net's task requires: classes, several labels, or values."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, losses
from PIL import Image

from rocket_tf import RocketModel, export_light
from rocket_tf.commands import predict
from rocket_tf.errors import ExportError
from rocket_tf.serving import checks, warmup
from rocket_tf.serving.answers import CLASSIFICATION, REGRESSION, TASKS, tasks_of

CLASSES = {"logits", "probabilities", "classes"}
BINARY = losses.BinaryCrossentropy(from_logits=True)
CROSS_ENTROPY = losses.SparseCategoricalCrossentropy(from_logits=True)


def pair(width=1):
    features = keras.Input((4,), name="features")
    return tuple(
        keras.Model(features, layers.Dense(width, name=f"{role}_out")(features), name=role)
        for role in ("light", "booster")
    )


def rocket_of(loss, width=1):
    rocket = RocketModel(*pair(width))
    rocket.compile("sgd", loss)
    return rocket


def three_tasks(role="light"):
    features = keras.Input((4,), name="features")
    widths = {"price": 1, "tags": 3, "topic": 3}
    outputs = {
        name: layers.Dense(width, name=f"{role}_{name}")(features) for name, width in widths.items()
    }
    return keras.Model(features, outputs, name=role)


def x(count=5):
    return np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


def ask(version, **inputs):
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    answers = serve(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in answers.items()}


class OwnLoss(losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


class OwnSquares(losses.MeanSquaredError):
    pass


def quantile_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.maximum(0.9 * (y_true - y_pred), 0.1 * (y_pred - y_true)), -1)


REGRESSIONS = [
    losses.MeanSquaredError(),
    losses.MeanAbsoluteError(name="mine"),
    losses.MeanAbsolutePercentageError(),
    losses.MeanSquaredLogarithmicError(),
    losses.Huber(),
    losses.LogCosh(),
    losses.CosineSimilarity(),
    losses.mean_squared_error,
    losses.huber,
    OwnSquares(),
    "mse",
    "mae",
    "log_cosh",
]
CLASSIFICATIONS = [
    CROSS_ENTROPY,
    losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, name="mine"),
    losses.CategoricalFocalCrossentropy(from_logits=True),
    losses.CategoricalHinge(),
    losses.Hinge(),
    losses.squared_hinge,
    "categorical_hinge",
]


class TestLabelLosses:
    @pytest.mark.parametrize("width", [1, 3])
    @pytest.mark.parametrize("loss", REGRESSIONS)
    def test_regressions(self, loss, width):
        assert tasks_of(rocket_of(loss, width)) == {None: REGRESSION}

    @pytest.mark.parametrize("loss", CLASSIFICATIONS)
    def test_classifications(self, loss):
        assert tasks_of(rocket_of(loss, 3)) == {None: CLASSIFICATION}

    # A loss, a function and a name all imply the same task.
    @pytest.mark.parametrize("loss, width", [(OwnSquares(), 1), (losses.huber, 3), ("mae", 3)])
    def test_regressions_give_predictions_alone(self, loss, width, tmp_path):
        rocket = rocket_of(loss, width)
        answers = ask(export_light(rocket, tmp_path), features=x())
        assert set(answers) == {"predictions"} and answers["predictions"].dtype == np.float32
        np.testing.assert_allclose(answers["predictions"], rocket.light(x()), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("loss", [CROSS_ENTROPY, losses.squared_hinge, "categorical_hinge"])
    def test_classifications_give_classes(self, loss, tmp_path):
        answers = ask(export_light(rocket_of(loss, 3), tmp_path), features=x())
        assert set(answers) == CLASSES
        np.testing.assert_array_equal(answers["classes"], answers["logits"].argmax(1))
        np.testing.assert_allclose(answers["probabilities"].sum(1), 1, rtol=1e-6)

    @pytest.mark.parametrize("loss", [BINARY, losses.BinaryFocalCrossentropy(from_logits=True)])
    @pytest.mark.parametrize("width, shape", [(1, (5,)), (3, (5, 3))])
    def test_yes_or_no(self, loss, width, shape, tmp_path):
        answers = ask(export_light(rocket_of(loss, width), tmp_path), features=x())
        assert set(answers) == CLASSES and answers["classes"].shape == shape
        sigmoid = 1 / (1 + np.exp(-answers["logits"].astype(np.float64)))
        np.testing.assert_allclose(answers["probabilities"], sigmoid, rtol=1e-5)
        np.testing.assert_array_equal(answers["classes"], (sigmoid > 0.5).reshape(shape))

    def test_the_boosters_loss_counts_if_the_light_net_has_none(self, tmp_path):
        rocket = rocket_of({"light": None, "booster": "mse"})
        assert set(ask(export_light(rocket, tmp_path), features=x())) == {"predictions"}

    @pytest.mark.parametrize("loss", [OwnLoss(), quantile_loss, lambda y, z: y - z])
    def test_custom_losses_do_not_imply_a_task(self, loss, tmp_path):
        rocket = rocket_of(loss, 3)
        with pytest.raises(ValueError, match=r"label loss .* does not say.*pass task="):
            export_light(rocket, tmp_path)
        assert not list(tmp_path.iterdir())
        for task in TASKS:
            assert tasks_of(rocket, task=task) == {None: task}

    def test_a_given_task_is_used(self, tmp_path):
        rocket = rocket_of(OwnLoss(), 3)
        answers = {
            "regression": {"predictions"},
            "classification": CLASSES,
            "multi_label": CLASSES,
        }
        assert set(answers) == set(TASKS)
        for task, names in answers.items():
            assert set(ask(export_light(rocket, tmp_path, task=task), features=x())) == names
        named = ask(export_light(rocket, tmp_path, class_names=["a", "b", "c"]), features=x())
        assert set(named) == {*CLASSES, "class_names"}
        labels = ask(export_light(rocket, tmp_path, multi_label=True), features=x())
        assert labels["classes"].shape == (5, 3)


class TestArguments:
    def test_other_models_give_classes_unless_a_task_is_given(self, tmp_path):
        light, _ = pair(3)
        assert set(ask(export_light(light, tmp_path), features=x())) == CLASSES
        given = ask(export_light(light, tmp_path, task="regression"), features=x())
        assert set(given) == {"predictions"}
        np.testing.assert_allclose(given["predictions"], light(x()), rtol=1e-5, atol=1e-6)

    def test_the_task_overrides_the_loss(self, tmp_path):
        version = export_light(rocket_of("mse", 3), tmp_path, task="classification")
        assert set(ask(version, features=x())) == CLASSES
        version = export_light(rocket_of(BINARY, 3), tmp_path, task="classification")
        assert ask(version, features=x())["classes"].shape == (5,)

    def test_a_task_for_some_outputs(self, tmp_path):
        tasks = {"price": "regression", "tags": "multi_label"}
        answers = ask(export_light(three_tasks(), tmp_path, task=tasks), features=x())
        assert answers["price_predictions"].shape == (5, 1) and "price_classes" not in answers
        assert answers["tags_classes"].shape == (5, 3) and answers["topic_classes"].shape == (5,)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"task": "regresion"}, r"task must be one of \('classification', .*'regresion'"),
            ({"task": {"price": "regression"}}, r"task must be one of .*'price'"),
            ({"task": "regression", "multi_label": True}, r"multi_label is for classes"),
            ({"task": "regression", "class_names": ["a", "b"]}, r"class_names are for classes"),
        ],
    )
    def test_mistakes(self, arguments, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            export_light(pair(2)[0], tmp_path / "nets", **arguments)
        assert not list(tmp_path.iterdir())

    def test_outputs_of_one_axis_are_single_logits(self, tmp_path):
        light, _ = pair()
        flat = keras.Model(light.input, light.output[:, 0])
        answers = ask(export_light(flat, tmp_path, class_names=["no", "yes"]), features=x())
        one = ask(export_light(light, tmp_path, class_names=["no", "yes"]), features=x())
        assert answers["probabilities"].shape == answers["classes"].shape == (5,)
        for name in ("logits", "probabilities"):
            np.testing.assert_allclose(answers[name], one[name][:, 0], rtol=1e-6)
        for name in ("classes", "class_names"):
            np.testing.assert_array_equal(answers[name], one[name])


@pytest.fixture(scope="module")
def rocket():
    rocket = RocketModel(three_tasks("light"), three_tasks("booster"))
    rocket.compile("sgd", {"price": "mse", "tags": BINARY, "topic": CROSS_ENTROPY})
    return rocket


class TestOutputsOfDifferentTasks:
    def test_each_output_answers_by_its_own_task(self, rocket, tmp_path):
        answers = ask(export_light(rocket, tmp_path), features=x())
        expected = {name: value.numpy() for name, value in rocket.light(x()).items()}
        of_classes = {f"{name}_{what}" for name in ("tags", "topic") for what in CLASSES}
        assert set(answers) == {"price_predictions", *of_classes}
        np.testing.assert_allclose(
            answers["price_predictions"], expected["price"], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_array_equal(answers["tags_classes"], expected["tags"] > 0)
        np.testing.assert_array_equal(answers["topic_classes"], expected["topic"].argmax(1))
        np.testing.assert_allclose(answers["topic_probabilities"].sum(1), 1, rtol=1e-6)

    def test_passes_the_checks(self, rocket, tmp_path):
        assert "batches" in dict(checks.prove(export_light(rocket, tmp_path, optimize=True)))

    def test_an_export_without_the_outputs_that_logits_need_fails_the_checks(self, tmp_path):
        @tf.function(input_signature=[tf.TensorSpec((None, 4), name="features")])
        def serve(features):
            return {"price_predictions": features, "tags_logits": features}

        module = tf.Module()
        tf.saved_model.save(module, str(tmp_path / "poor"), signatures=serve)
        with pytest.raises(
            checks.CheckFailed, match=r"signatures: .*expected predictions, or logits"
        ):
            list(checks.prove(tmp_path / "poor"))


@pytest.fixture(scope="module")
def net():
    images = keras.Input((6, 6, 1), name="images")
    pixels = layers.Rescaling(1 / 255)(images)
    hidden = layers.BatchNormalization()(layers.Conv2D(3, 3)(pixels))
    return keras.Model(images, layers.Dense(2)(layers.Flatten()(hidden)), name="ages")


@pytest.fixture(scope="module")
def version(net, tmp_path_factory):
    return export_light(net, tmp_path_factory.mktemp("ages"), task="regression", optimize=True)


class TestRegressionOnImages:
    def test_passes_the_checks_with_warm_up(self, version):
        answers = dict(checks.prove(version))
        assert answers["agreement"] == "serve_float, serve_bytes as serving_default"
        assert answers["labels"] == "the classes have no names"
        assert {name for name, _ in warmup.read(version)} == {
            "serving_default",
            "serve_float",
            "serve_bytes",
        }

    def test_the_tool_shows_the_values(self, net, version, tmp_path, capsys):
        image = np.random.default_rng(0).integers(0, 256, (6, 6)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "image.png")
        (tmp_path / "no.png").write_text("no image")
        expected = net(image[None, ..., None].astype(np.float32)).numpy()[0]
        arguments = [str(version), str(tmp_path)]
        assert predict.main([*arguments, "--format=jsonl"]) == 1  # one is not an image
        (line,) = capsys.readouterr().out.splitlines()
        answers = json.loads(line)
        assert list(answers) == ["file", "predictions"]
        np.testing.assert_allclose(answers["predictions"], expected, rtol=1e-4)
        predict.main(arguments)
        shown = capsys.readouterr().out.split()
        assert shown[0].endswith("image.png") and "%" not in shown
        np.testing.assert_allclose([float(value) for value in shown[1:]], expected, rtol=1e-4)


def masked_net(dtype="int64", sizes=(9, 6)):
    """The mean over the words of a text; a text that is only padding gives NaN."""
    words = keras.Input((5,), dtype=dtype, name="words")
    ids = words
    if dtype == "string":
        ids = layers.StringLookup(vocabulary=["1", "b"], mask_token="")(words)
    embedded = layers.Embedding(*sizes, mask_zero=True)(ids)
    mean = layers.GlobalAveragePooling1D()(embedded)
    return keras.Model(words, layers.Dense(2)(mean), name="light")


class TestMaskedNets:
    @pytest.mark.parametrize("dtype, empty", [("int64", 0), ("string", "")])
    def test_are_compared_on_inputs_that_are_not_only_padding(self, dtype, empty, tmp_path):
        net = masked_net(dtype)
        words = np.array([[empty] * 5, [empty] * 3 + [1, 2]], object if empty == "" else dtype)
        words = words.astype(str) if dtype == "string" else words
        expected = net(tf.constant(words)).numpy()
        assert np.isnan(expected[0]).all()  # inputs of only padding could prove nothing
        version = export_light(net, tmp_path)
        np.testing.assert_allclose(ask(version, words=words)["logits"], expected, rtol=1e-5)
        assert "warm-up" in dict(checks.prove(version))

    def test_are_compared_on_the_given_examples(self, tmp_path):
        words = np.array([[0] * 5, [3, 1, 0, 0, 0]])
        version = export_light(masked_net(), tmp_path, examples=words)
        (request,) = dict(warmup.read(version))["serving_default"].values()
        np.testing.assert_array_equal(request, words[:1])
        with pytest.raises(ExportError, match="only NaN or infinity for the examples"):
            export_light(masked_net(), tmp_path, examples=words[:1])
        assert [path.name for path in tmp_path.iterdir()] == ["1"]

    def test_without_finite_outputs_for_made_up_inputs_they_are_refused(self, tmp_path):
        with pytest.raises(ExportError, match=r"no finite output for made-up inputs.*examples"):
            export_light(masked_net(sizes=(1, 6)), tmp_path)  # its only id is padding
        light, _ = pair()
        light.layers[-1].bias.assign([np.nan])
        with pytest.raises(ExportError, match=r"it gives NaN or infinity.*train it again"):
            export_light(light, tmp_path)
        assert not list(tmp_path.iterdir())

    def test_recurrent_layers_on_only_padding(self, tmp_path):
        words = keras.Input((5,), dtype="int64", name="words")
        embedded = layers.Embedding(9, 6, mask_zero=True)(words)
        net = keras.Model(words, layers.Dense(2)(layers.LSTM(3)(embedded)))
        given = np.array([[0] * 5, [3, 1, 0, 0, 0], [1, 2, 3, 4, 5]])
        answers = ask(export_light(net, tmp_path), words=given)
        np.testing.assert_allclose(answers["logits"], net(given), rtol=1e-5, atol=1e-6)
