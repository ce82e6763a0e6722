"""Image classification sets of TensorFlow Datasets in both formats, split over several files."""

import io
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from rocket_tf import config as options
from rocket_tf.data import in_memory, open_data, streamed
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import scanning
from rocket_tf.data.tensorflow_errors import damage_named
from rocket_tf.errors import DamagedDataError, DataUnavailableError

CLASSES = ["ash", "birch", "cedar"]
SIZE = 8


def encoded(number):
    """A JPEG file of noise; each number has its own shape."""
    random = np.random.default_rng(number)
    pixels = random.integers(0, 256, (9 + number, 40 - number, 3)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "jpeg", quality=90)
    return content.getvalue()


def write(folder, form, features=None, examples=None, version="1.0.0"):
    """Writes a data set "trees" with 19 training examples in three files and 5 test examples."""
    path = folder / "trees" / version
    path.mkdir(parents=True)
    features = features or {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "species": tfds.features.ClassLabel(names=CLASSES),
        "height": np.float32,
    }
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name="trees", version=tfds.core.Version(version), data_dir=str(path), module_name=""
        ),
        features=tfds.features.FeaturesDict(features),
    )
    writer = tfds.core.SequentialWriter(info, 8, overwrite=True, file_format=form)
    writer.initialize_splits(["train", "test"])
    made = [
        {"image": io.BytesIO(encoded(number)), "species": number % 3, "height": 1.5}
        for number in range(24)
    ]
    writer.add_examples(examples or {"train": made[:19], "test": made[19:]})
    writer.close_all()
    return path


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def prepared(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    write(root, request.param)
    return root


@pytest.fixture
def folder(prepared, tmp_path):
    """A copy that tests may damage."""
    shutil.copytree(prepared, tmp_path / "data")
    return tmp_path / "data"


def opened(folder, **changes):
    mapping = {"dataset": "tfds", "tfds_name": "trees", "data_dir": str(folder)}
    return open_data({**mapping, "image_size": SIZE, "streaming": "always", **changes})


def expected(numbers):
    images, _ = image_files.decode([encoded(n) for n in numbers], SIZE, lambda content: content)
    return images


def everything(split, batch_size=4):
    images, labels = zip(*split.evaluation_batches(batch_size).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


class TestExamples:
    @pytest.mark.parametrize(
        "streaming, kind",
        [
            ("always", streamed.StreamedSplit),
            ("never", in_memory.ArraySplit),
            ("auto", in_memory.ArraySplit),
        ],
    )
    def test_are_those_of_the_files(self, prepared, streaming, kind):
        data = opened(prepared, streaming=streaming)
        assert data.class_names == CLASSES and isinstance(data.train, kind)
        for split, numbers in ((data.train, range(19)), (data.test, range(19, 24))):
            images, labels = everything(split)
            np.testing.assert_array_equal(images, expected(numbers))
            np.testing.assert_array_equal(labels, np.array(numbers) % 3)
        pixels = expected(range(19)).astype(np.float64)
        np.testing.assert_allclose(data.card.pixel_mean, pixels.mean((0, 1, 2)))
        np.testing.assert_allclose(data.card.pixel_std, pixels.std((0, 1, 2)))

    def test_an_epoch_has_each_once(self, prepared):
        data = opened(prepared, validation_examples=3)
        batches = data.train.training_batches(5, 1, seed=2).as_numpy_iterator()
        images = np.concatenate([images for images, _ in batches])
        images = np.concatenate([images, everything(data.validation)[0]])
        found = np.sort(images.reshape(19, -1).astype(int).sum(1))
        np.testing.assert_array_equal(
            found, np.sort(expected(range(19)).reshape(19, -1).astype(int).sum(1))
        )

    def test_of_subsplits(self, prepared):
        data = opened(prepared, tfds_train_split="train[5:12]", tfds_test_split="train[12:14]")
        np.testing.assert_array_equal(everything(data.train)[0], expected(range(5, 12)))
        np.testing.assert_array_equal(everything(data.test)[0], expected((12, 13)))
        assert data.fingerprint != opened(prepared).fingerprint

    def test_the_scan_is_cached_and_moved_data_is_recognized(self, prepared, folder, monkeypatch):
        first = opened(prepared)
        monkeypatch.setattr(scanning, "scan", None)
        moved = opened(folder)
        assert moved.fingerprint == first.fingerprint and moved.card == first.card
        np.testing.assert_array_equal(everything(moved.test)[0], expected(range(19, 24)))

    def test_of_a_version(self, folder):
        write(folder, "tfrecord", version="2.1.0")
        assert opened(folder).fingerprint == opened(folder, tfds_version="2.1.0").fingerprint
        (folder / "trees" / "1.0.0").rename(folder / "trees" / "1.5.0")
        with pytest.raises(DataUnavailableError, match=r"trees"):
            opened(folder, tfds_version="1.0.0")


class TestMistakes:
    def assert_refused(self, kind, text, folder, **changes):
        with pytest.raises(kind) as error:
            opened(folder, **changes)
        assert text in str(error.value) and len(str(error.value).splitlines()) == 1
        return str(error.value)

    def test_an_unknown_split(self, prepared):
        message = self.assert_refused(
            DataUnavailableError, "no split 'val'", prepared, tfds_test_split="val"
        )
        assert "expected one of train, test" in message and "config.tfds_test_split" in message

    @pytest.mark.parametrize("file", ["train", "test"])
    def test_a_file_that_is_missing(self, folder, file):
        path = max((folder / "trees" / "1.0.0").glob(f"trees-{file}*"))
        path.unlink()
        message = self.assert_refused(DamagedDataError, f"tfds: {path}: missing after 0 of", folder)
        assert f"delete {path.parent}" in message

    def test_a_file_that_is_cut(self, folder):
        path = folder / "trees" / "1.0.0" / "trees-train.tfrecord-00001"
        if not path.exists():
            pytest.skip("of TFRecord")
        path.write_bytes(path.read_bytes()[:-20])
        self.assert_refused(DamagedDataError, "after 7 of 8 records", folder)
        path.write_bytes(b"")
        self.assert_refused(DamagedDataError, f"{path}: it ends after 0 of 8", folder)

    def test_a_bit_that_is_flipped(self, folder):
        path = max((folder / "trees" / "1.0.0").glob("trees-train*1"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        self.assert_refused(DamagedDataError, f"tfds: {path}: ", folder)

    def test_a_set_that_is_not_for_classification(self, tmp_path):
        features = {"image": tfds.features.Image(shape=(4, 4, 1)), "height": np.float32}
        examples = {"train": [{"image": np.zeros((4, 4, 1), np.uint8), "height": 1.0}]}
        examples["test"] = examples["train"]
        write(tmp_path, "tfrecord", features, examples)
        message = self.assert_refused(DataUnavailableError, "expected one Image and one", tmp_path)
        assert "image (Image), height (Scalar)" in message or "height (Tensor)" in message

    def test_a_split_without_labels(self, tmp_path):
        features = {
            "image": tfds.features.Image(shape=(4, 4, 1)),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        example = {"image": np.full((4, 4, 1), 9, np.uint8), "label": 1}
        examples = {"train": [example], "test": [example, {**example, "label": -1}]}
        write(tmp_path, "tfrecord", features, examples)
        path = tmp_path / "trees" / "1.0.0" / "trees-test.tfrecord-00000"
        self.assert_refused(DataUnavailableError, f"{path}: record 2 has label -1", tmp_path)
        data = opened(tmp_path, tfds_test_split="test[:1]")
        assert everything(data.test)[0].tolist() == np.full((1, SIZE, SIZE, 3), 9).tolist()

    def test_unreadable_images(self, tmp_path):
        bad = {"image": io.BytesIO(b"\xff\xd8\xff\xe0 no image"), "species": 1, "height": 1.0}
        good = [
            {"image": io.BytesIO(encoded(number)), "species": number % 3, "height": 1.5}
            for number in range(4)
        ]
        write(tmp_path, "tfrecord", examples={"train": [good[0], bad, good[1]], "test": good[2:]})
        path = tmp_path / "trees" / "1.0.0" / "trees-train.tfrecord-00000"
        message = self.assert_refused(DamagedDataError, "1 of 5 images cannot be read", tmp_path)
        assert f"{path}: record 2: " in message
        data = opened(tmp_path, unreadable_images="skip")
        np.testing.assert_array_equal(everything(data.train)[0], expected((0, 1)))
        np.testing.assert_array_equal(everything(data.test)[0], expected((2, 3)))

    def test_a_file_that_vanishes_is_named(self, folder):
        data = opened(folder)
        path = folder / "trees" / "1.0.0" / "trees-train.tfrecord-00001"
        if not path.exists():
            pytest.skip("an ArrayRecord file stays open")
        path.unlink()
        with pytest.raises(DamagedDataError) as error, damage_named():
            everything(data.train)
        assert str(error.value).startswith(f"{path}: record ")

    def test_a_configuration_is_checked(self, prepared):
        config = options.default()
        config.update(dataset="tfds", tfds_name="trees", data_dir=str(prepared), batch_size=5)
        assert options.check(config).card.image_shape == (64, 64, 3)
        config.update(tfds_name="shrubs", data_dir=str(prepared))
        with pytest.raises(options.ConfigError, match=r"^config\.tfds_name: tfds: .*shrubs"):
            options.check(config)
