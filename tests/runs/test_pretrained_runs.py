"""Runs whose nets start from trained weights: frozen, thawed, interrupted, without their files."""

import json
import shutil

import keras
import numpy as np
import pytest
import requests
import tensorflow as tf
from keras import layers
from PIL import Image

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.core.optimizer_internals import averages_of
from rocket_tf.data.images import named as images
from rocket_tf.errors import ConfigError
from rocket_tf.runs.building import build_model
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import restore
from rocket_tf.runs.starts import Starts, check_weights
from tests.small_runs import (
    card_of,
    interrupted_after_step,
    metrics,
    quick_runs,
    state,
)

STEPS = 2  # in an epoch
FROZEN = ("conv1", "norm1")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A net of five classes with statistics and weights as after a training."""
    path = tmp_path_factory.mktemp("nets") / "five.keras"
    inputs = keras.Input((8, 8, 1))
    x = layers.Rescaling(1 / 128, -1)(inputs)
    for number, channels in ((1, 6), (2, 7)):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    outputs = layers.Dense(5, "softmax", name="five")(layers.GlobalAveragePooling2D()(x))
    net = keras.Model(inputs, outputs)
    random = np.random.default_rng(0)
    net.set_weights([random.uniform(-0.5, 1, array.shape) ** 2 for array in net.get_weights()])
    net.save(path)
    return path


def config_of(file, **changes):
    config = options.default()
    config.update(
        dataset="digits",
        epochs=4,
        train_examples=80,
        batch_size=48,
        pictures=False,
        booster_weights=str(file),
        branch_layer="relu1",
        learning_rate=0.05,
    )
    config.update(changes)
    return dict(config)


def saved(workdir, net):
    """The final weights of a run's net, arrays by layer."""
    model, _, _ = restore(workdir)
    net = getattr(model, net)
    return {layer.name: layer.get_weights() for layer in net.layers if layer.weights}


def original(file):
    net = keras.models.load_model(file)
    return {layer.name: layer.get_weights() for layer in net.layers if layer.weights}


def assert_same(mine, theirs, names):
    for name in names:
        for one, other in zip(mine[name], theirs[name], strict=True):
            np.testing.assert_array_equal(one, other)


def arrays_of(workdir, epoch):
    """All arrays of a run's checkpoint after an epoch, by name."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"epoch-{epoch}"))
    names = reader.get_variable_to_shape_map()
    return {name.partition("/.")[0]: reader.get_tensor(name) for name in names if "/." in name}


@pytest.mark.slow
class TestFrozen:
    """Layers are frozen in the first two of four epochs."""

    @pytest.fixture(scope="class", params=["traced", "adamw, averaged"])
    def finished(self, request, file, tmp_path_factory):
        workdir = tmp_path_factory.mktemp("frozen") / "run"
        config = config_of(file, booster_freeze_until="norm1", unfreeze_epoch=3)
        if request.param != "traced":
            config |= {"optimizer": "adamw", "weight_decay": 0.3, "average_momentum": 0.7}
            config |= {"learning_rate": 0.01, "pretrained_learning_rate_factor": 0.5}
        with quick_runs(request.param == "traced"):
            summary = train.train_and_evaluate(config, workdir, verbose=False)
        return config, workdir, summary, request.param == "traced"

    def test_weights_statistics_moments_and_averages(self, finished, file):
        config, workdir, _, _ = finished
        theirs = original(file)
        model = build_model(config, card_of(config), starts=Starts(config))
        model.optimizer.build(model.trainable_variables)
        owners = {
            id(variable): (layer.name, place)
            for layer in model.booster.layers
            for place, variable in enumerate(layer.weights)
        }
        averages = {id(average) for _, average in averages_of(model.optimizer)}
        states = [each for each in model.optimizer.variables if id(each) not in averages]
        for epoch, is_frozen in ((2, True), (3, False)):
            arrays, compared, moments = arrays_of(workdir, epoch), 0, 0
            for place, variable in enumerate(model.variables):
                name, own = owners.get(id(variable), ("", 0))
                if name not in theirs or name == "five":
                    continue
                stays = is_frozen and name in FROZEN
                assert (arrays[f"model/{place}"] == theirs[name][own]).all() == stays, name
                if f"averages/{place}" in arrays:
                    average = arrays[f"averages/{place}"]
                    assert (average == arrays[f"model/{place}"]).all() == stays, name
                compared += 1
            for place, variable in enumerate(states):
                if "momentum" in variable.path or "velocity" in variable.path:
                    name = next((name for name in FROZEN if f"{name}_" in variable.path), "")
                    assert arrays[f"optimizer/{place}"].any() != (is_frozen and name in FROZEN)
                    moments += name in FROZEN
            assert compared == 10
            assert moments == (6 if config["optimizer"] == "adamw" else 3)

    # Steps before and after they are thawed; that each goes with both is a wider check.
    @pytest.mark.parametrize(
        "finished, step",
        [
            ("traced", 3),
            ("adamw, averaged", 5),
            ("traced", 5),
            ("adamw, averaged", 3),
        ],
        indirect=["finished"],
    )
    def test_killed_before_and_after_they_are_thawed(self, finished, step, tmp_path):
        config, workdir, summary, traced = finished
        config = {**config, "checkpoint_every_steps": 1}
        with quick_runs(traced):
            with interrupted_after_step(step, STEPS):
                train.train_and_evaluate(config, tmp_path, verbose=False)
            again = train.train_and_evaluate(config, tmp_path, verbose=False)
        assert metrics(tmp_path) == metrics(workdir)
        assert state(tmp_path) == state(workdir)
        assert again["light"] == summary["light"]


@pytest.mark.slow
def test_a_finished_run_needs_no_file(file, tmp_path):
    own = tmp_path / "own.keras"
    shutil.copy(file, own)
    config = config_of(own, epochs=1, branch_layer="", light_weights=str(own))
    run = tmp_path / "run"
    with quick_runs():
        summary = train.train_and_evaluate(config, run, verbose=False)
        own.unlink()
        assert train.evaluate(run) == summary
    assert train.train_and_evaluate(config, run, verbose=False) == summary
    (export,) = export_run(run, ["savedmodel"], tmp_path)
    assert export.test_error == pytest.approx(summary["light"]["test_error"], abs=1e-3)
    with pytest.raises(ConfigError, match=r"booster_weights: got '.*': there is no such file"):
        train.train_and_evaluate(config, tmp_path / "other", verbose=False)
    assert not (tmp_path / "other").exists()
    (run / "nets.json").unlink()
    with pytest.raises(ConfigError, match=r"nets\.json.*missing"):
        restore(run)


def test_batch_normalization_below_a_branch(file):
    """The booster's runs: one set of statistics, which a step updates once, or never if frozen."""
    data = images.load("digits").train
    x, y = data.inputs[:30], data.labels[:30]
    for until, moves in (("", True), ("norm1", False)):
        config = config_of(file, booster_freeze_until=until)
        model = build_model(config, card_of(config))
        norm = model.light.get_layer("norm1")
        assert norm is model.booster.get_layer("norm1")
        below = keras.Model(model.booster.input, model.booster.get_layer("conv1").output)(x)
        mean = norm.moving_mean.numpy()
        batch = below.numpy().astype(np.float64).mean((0, 1, 2))
        model.train_on_batch(x, y)
        expected = norm.momentum * mean + (1 - norm.momentum) * batch if moves else mean
        np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-5 if moves else 0)


class TestMethods:
    @pytest.mark.slow
    def test_a_light_net_of_a_file_under_a_booster_of_another(self, file, tmp_path):
        config = config_of(
            file,
            branch_layer="",
            light_weights=str(file),
            light_freeze_until="light_pool",
            epochs=1,
        )
        with quick_runs():
            train.train_and_evaluate(config, tmp_path, verbose=False)
        light, booster, theirs = (
            saved(tmp_path, "light"),
            saved(tmp_path, "booster"),
            original(file),
        )
        assert_same(light, theirs, ("conv1", "norm1", "conv2", "norm2"))
        assert light["light_logits"][0].shape == (7, 10)
        assert (booster["conv1"][0] != theirs["conv1"][0]).any()

    def test_a_booster_that_is_followed(self, file, tmp_path):
        """Both runs can be restored without the file, although another run trained the booster."""
        mine = tmp_path / "mine.keras"
        shutil.copy(file, mine)
        config = config_of(mine, method="kd", epochs=1, booster_freeze_until="conv1")
        with quick_runs():
            summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        mine.unlink()
        assert summary["method"] == "kd"
        model, _, _ = restore(tmp_path / "run")
        trained, _, _ = restore(tmp_path / "run" / "booster")
        x = images.load("digits").test.inputs[:9].astype(np.float32)
        np.testing.assert_array_equal(model.teacher(x), trained.light(x))

    def test_missing_layers(self, file, tmp_path):
        for changes, message in (
            ({"booster_freeze_until": "conv9"}, "booster_freeze_until: got 'conv9': the net has"),
            ({"branch_layer": "relu9"}, "booster_backbone: The booster has no layer 'relu9'"),
        ):
            with pytest.raises(ConfigError, match=rf"^config\.{message}"):
                train.train_and_evaluate(config_of(file, **changes), tmp_path / "run", False)
            assert not (tmp_path / "run").exists()

    def test_images_that_the_net_does_not_take(self, file, tmp_path):
        config = config_of(file, dataset="cifar10")
        with pytest.raises(ConfigError, match=r"booster_weights: got '.*conv1.*\(None, 32, 32, 3"):
            Starts(config).nets(card_of(config))


class TestSize:
    def test_it_is_read_from_the_file_and_kept_in_the_run(self, tmp_path):
        inputs = keras.Input((12, 12, 3))
        x = layers.Conv2D(4, 3, name="conv1")(layers.Rescaling(1 / 255)(inputs))
        keras.Model(inputs, layers.Conv2D(5, 3, name="conv2")(x)).save(tmp_path / "net.keras")
        random = np.random.default_rng(0)
        for part in ("train", "test"):
            for name in ("left", "right"):
                (tmp_path / part / name).mkdir(parents=True)
                for index in range(5):
                    pixels = random.integers(0, 256, (15, 14, 3)).astype(np.uint8)
                    Image.fromarray(pixels).save(tmp_path / part / name / f"{index}.png")
        config = config_of(
            tmp_path / "net.keras",
            dataset="image_folder",
            data_path=str(tmp_path),
            branch_layer="conv1",
            train_examples=0,
            batch_size=5,
            epochs=1,
        )
        with quick_runs():
            train.train_and_evaluate(config, tmp_path / "run", verbose=False)
            written = json.loads((tmp_path / "run" / "config.json").read_text())
            assert written["image_size"] == 12
            (tmp_path / "net.keras").unlink()
            # The same command resumes, although the file that decided the size is gone.
            longer = {**config, "epochs": 2, "learning_rate_schedule": "drops"}
            longer["learning_rate_drops"] = (0.9,)
            with pytest.raises(ConfigError, match="learning_rate_drops") as error:
                train.train_and_evaluate(longer, tmp_path / "run", verbose=False)
            assert "image_size" not in str(error.value)

    def test_a_net_of_any_size(self, tmp_path):
        inputs = keras.Input((None, None, 3))
        keras.Model(inputs, layers.Conv2D(5, 3)(inputs)).save(tmp_path / "net.keras")
        config = config_of(tmp_path / "net.keras", dataset="image_folder", data_path="x")
        with pytest.raises(ConfigError, match=r"image_size: got 0 with .* add --config\.image_siz"):
            options.check(config)


class TestNames:
    """Named weights cannot be downloaded here: the test makes the file that Keras would cache."""

    CONFIG = {
        "booster_weights": "imagenet",
        "booster_backbone": "MobileNet",
        "branch_layer": "conv_pw_2_relu",
        "dataset": "cifar10",
    }

    def test_the_file_that_keras_has_kept(self, tmp_path, monkeypatch):
        theirs = keras.applications.MobileNet(
            weights=None, include_top=False, input_shape=(32, 32, 3)
        )
        kept = tmp_path / "models" / "mobilenet_1_0_224_tf_no_top.h5"
        kept.parent.mkdir()
        theirs.save(kept)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
        config = config_of("", **self.CONFIG)
        check_weights(config)
        light, booster = Starts(config).nets(card_of(config))
        pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
        prepared = keras.applications.mobilenet.preprocess_input(pixels.copy())
        features = keras.Model(booster.input, booster.get_layer("conv_pw_13_relu").output)
        np.testing.assert_allclose(features(pixels), theirs(prepared), rtol=1e-5, atol=1e-6)
        assert light.get_layer("conv1") is booster.get_layer("conv1")

    def test_no_network(self, tmp_path, monkeypatch):
        def head(*_, **__):
            raise requests.ConnectionError("no route")

        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setattr(requests, "head", head)
        config = config_of("", **self.CONFIG)
        with pytest.raises(
            ConfigError,
            match=r"^config\.booster_weights: got 'imagenet': Keras cannot download it \(https.*: "
            rf"ConnectionError\); put Keras's file of MobileNet .* into {tmp_path}/models, .* or "
            r"name a \.keras or \.weights\.h5 file",
        ) as error:
            train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert "\n" not in str(error.value) and not (tmp_path / "run").exists()

    def test_a_preset_without_keras_hub(self, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        config = config_of("hub/resnet_18_imagenet")
        with pytest.raises(
            ConfigError, match=r"got 'hub/resnet_18_imagenet': needs keras_hub: pip"
        ):
            check_weights(config)
