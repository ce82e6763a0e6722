"""Runs on the user's own images: folders with named backbones, arrays, CIFAR's archives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled as ready_configs
from rocket_tf.data import open_data
from rocket_tf.errors import ConfigError
from rocket_tf.networks import backbones
from rocket_tf.runs.finished import restore
from tests.small_runs import card_of, quick_runs

COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 60, 40)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of coloured noise, in three formats and many sizes."""
    random = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("colours")
    for part, count in (("train", 8), ("test", 4)):
        for suffix, (name, colour) in zip(("png", "jpg", "bmp"), COLOURS.items(), strict=True):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(-40, 36, (30 + index, 45, 3)) + colour
                image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                image.save(root / part / name / f"{index}.{suffix}")
    return root


def small_config(folder, **changes):
    config = ready_configs.load("image_folder")
    config.update(data_path=str(folder), image_size=32, epochs=1, batch_size=10, rand_augment=0.0)
    config.update(pictures=False, **changes)
    options.check(config)
    return config


@pytest.mark.parametrize(
    "nets",
    [
        pytest.param(
            {"light_backbone": "MobileNet", "booster_backbone": "keras_cv/ResNet18V2"},
            marks=pytest.mark.slow,
        ),
        {
            "light_backbone": "",
            "booster_backbone": "MobileNet",
            "branch_layer": "conv_pw_3_relu",
        },
        pytest.param(
            {
                "light_backbone": "",
                "booster_backbone": "",
                "light_depth": 10,
                "booster_depth": 16,
                "rand_augment": 0.3,
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["two backbones", "a branch", "wide residual nets"],
)
def test_folders_are_trained_on_and_exported(folder, nets, tmp_path):
    config = small_config(folder, **nets)
    with quick_runs(exported=True):
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
    assert (summary["train_examples"], summary["test_examples"]) == (24, 12)
    assert summary["light"]["multiply_adds"] < summary["booster"]["multiply_adds"]
    data = open_data(config)
    assert data.class_names == sorted(COLOURS) and data.train.inputs.shape == (24, 32, 32, 3)
    signatures = tf.saved_model.load(str(tmp_path / "run" / summary["export"])).signatures
    model, _, _ = restore(tmp_path / "run")
    logits = model.light(data.test.inputs.astype(np.float32), training=False)
    answers = signatures["serving_default"](images=tf.constant(data.test.inputs))
    np.testing.assert_allclose(answers["logits"], logits, rtol=1e-4, atol=1e-4)
    error = 100 * np.mean(np.argmax(logits, -1) != data.test.labels)
    assert summary["light"]["test_error"] == pytest.approx(error, abs=1e-3)
    files = [path.read_bytes() for path in sorted((folder / "test" / "red").iterdir())]
    answers = signatures["serve_bytes"](image_bytes=tf.constant(files))
    assert answers["class_names"].shape == (4,)


def test_a_layer_that_the_booster_lacks(folder, tmp_path):
    config = small_config(
        folder, light_backbone="", booster_backbone="MobileNet", branch_layer="conv_9"
    )
    with pytest.raises(ConfigError, match=r"booster_backbone: .*no layer 'conv_9'.*Nearest"):
        train.train_and_evaluate(config, tmp_path / "run", verbose=False)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_layer_whose_name_has_a_counter(monkeypatch):
    made = keras.applications.MobileNetV3Small(weights=None, include_top=False)
    counted = next(layer.name for layer in made.layers if layer.name.startswith("re_lu"))
    # The inspected net must be the same one; otherwise, its name would have a higher number.
    monkeypatch.setattr(backbones, "_classifier", lambda role, *_: _with_logits(made))
    with pytest.raises(ValueError, match="a name that Keras has numbered"):
        backbones.backbone_pair("", "MobileNetV3Small", 3, (32, 32, 3), counted)
    light, _ = backbones.backbone_pair(
        "", "MobileNetV3Small", 3, (32, 32, 3), "expanded_conv_2_add"
    )
    assert light.output_shape == (None, 3)


def _with_logits(net):
    pooled = keras.layers.GlobalAveragePooling2D()(net.output)
    return keras.Model(net.input, keras.layers.Dense(3)(pooled), name="booster")


def test_pixel_statistics_are_the_training_images(folder):
    config = small_config(folder)
    card = open_data(config).card
    pixels = open_data(config).train.inputs.astype(np.float64)
    np.testing.assert_allclose(card.pixel_mean, pixels.mean((0, 1, 2)))
    np.testing.assert_allclose(card.pixel_std, pixels.std((0, 1, 2)))


class TestUnreadableImages:
    @pytest.fixture
    def with_damage(self, folder, tmp_path):
        for part in ("train", "test"):
            for name in COLOURS:
                (tmp_path / part / name).mkdir(parents=True)
                for path in (folder / part / name).iterdir():
                    (tmp_path / part / name / path.name).write_bytes(path.read_bytes())
        (tmp_path / "train" / "red" / "0.bmp").write_text("no image")
        return tmp_path

    def test_are_refused_by_name(self, with_damage):
        with pytest.raises(ConfigError, match=r"data_path: .*red.*0\.bmp.*unreadable_images=skip"):
            small_config(with_damage)

    def test_can_be_skipped_on_request(self, with_damage, capsys):
        config = small_config(with_damage, unreadable_images="skip")
        assert len(open_data(config).train.labels) == 23
        assert options.number_of_training_examples(config, card_of(config)) == 23


def test_arrays_are_trained_on(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = (random.integers(0, 100, (40, 12, 12)) + 40 * labels[:, None, None]).astype(np.uint8)
    path = tmp_path / "stripes.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:8], y_test=labels[:8])
    config = options.default()
    config.update(dataset="npz", data_path=str(path), epochs=1, batch_size=16, pictures=False)
    config.update(light_depth=10, booster_depth=10, validation_examples=8)
    with quick_runs():
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
    assert (summary["train_examples"], summary["test_examples"]) == (32, 8)
    model, _, _ = restore(tmp_path / "run")
    assert model.light.input_shape == (None, 12, 12, 1) and model.light.output_shape == (None, 4)
