"""Streamed images are read when they are needed and give the same batches as in memory."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rocket_tf.data import image_dataset, in_memory, open_data, streamed
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import scanning
from rocket_tf.data.interface import Schedule, Share
from rocket_tf.data.tensorflow_errors import damage_named
from rocket_tf.errors import DamagedDataError, DataUnavailableError
from rocket_tf.system import kept

RANDOM = np.random.default_rng(0)
SHAPE = (6, 4, 3)
IMAGES = RANDOM.integers(0, 256, (23, *SHAPE)).astype(np.uint8)
LABELS = RANDOM.integers(0, 5, 23)


@dataclasses.dataclass
class Recorded(streamed.Source):
    """A source of `IMAGES` by number that records which are requested."""

    asked: list
    shape: tuple = SHAPE

    def read(self, references):
        self.asked += references.tolist()
        return IMAGES[references]


def recorded():
    return streamed.StreamedSplit(np.arange(23), LABELS, Recorded([]))


def assert_same(first, second):
    first, second = (list(batches.as_numpy_iterator()) for batches in (first, second))
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        assert one[0].dtype == other[0].dtype and one[1].dtype == other[1].dtype


class TestBatches:
    in_memory = in_memory.ArraySplit(IMAGES, LABELS)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"flip": True, "crop_padding": 2, "first_epoch": 1, "first_step": 3},
            {"replicas": 6, "worker": 1, "workers": 3, "num_classes": 5},
        ],
        ids=["plain", "resumed and augmented", "of a worker"],
    )
    def test_of_training_equal_those_in_memory(self, options):
        of_memory = self.in_memory.training_batches(5, 3, seed=7, **options)
        assert_same(recorded().training_batches(5, 3, seed=7, **options), of_memory)

    @pytest.mark.parametrize("options", [{}, {"replicas": 4, "worker": 1, "workers": 2}])
    def test_of_an_evaluation_equal_those_in_memory(self, options):
        of_memory = self.in_memory.evaluation_batches(6, **options)
        assert_same(recorded().evaluation_batches(6, **options), of_memory)
        images, labels = recorded().first(4)
        np.testing.assert_array_equal(images, IMAGES[:4])
        np.testing.assert_array_equal(labels, LABELS[:4])

    def test_workers_read_only_their_parts_and_together_all_images(self):
        asked = []
        for worker in range(3):
            split = recorded()
            parts = split.training_parts(Schedule(5, 1, seed=7), None, Share(3, worker, 3))
            labels = np.concatenate([labels for _, labels in parts.as_numpy_iterator()])
            # Only the images of the batches are read.
            assert len(split.source.asked) == len(labels) < 10
            np.testing.assert_array_equal(np.sort(labels), np.sort(LABELS[split.source.asked]))
            asked += split.source.asked
        assert sorted(asked) == list(range(23))

    def test_resuming_reads_no_image_of_earlier_batches(self):
        split = recorded()
        batches = split.training_batches(5, 2, seed=7, first_epoch=1, first_step=4)
        assert [len(labels) for _, labels in batches] == [3]
        assert len(split.source.asked) == 3

    def test_a_source_of_another_shape_is_an_error(self):
        split = recorded()
        split.source.shape = (4, 6, 3)
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
            split.first(1)


def test_from_which_size_examples_are_streamed():
    gibibyte = 2**30
    assert not streamed.is_streamed("auto", gibibyte) and streamed.is_streamed("auto", gibibyte + 1)
    assert not streamed.is_streamed("never", 2**50) and streamed.is_streamed("always", 1)


@pytest.fixture
def folder(tmp_path):
    """Two classes of images of many sizes in three formats; one image of each is rotated."""
    random = np.random.default_rng(1)
    for part, count in (("train", 9), ("test", 3)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                height, width = random.integers(5, 30, 2)
                pixels = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
                suffix = ("png", "jpg", "webp")[number % 3]
                exif = Image.Exif()
                exif[0x0112] = 6 if number == 4 else 1
                path = tmp_path / part / name / f"{number}.{suffix}"
                Image.fromarray(pixels).save(path, exif=exif)
    return tmp_path


def opened(folder, streaming, **changes):
    mapping = {"dataset": "image_folder", "data_path": str(folder), "image_size": 8}
    return open_data({**mapping, "streaming": streaming, **changes})


class TestFolder:
    def test_streamed_equals_in_memory(self, folder):
        changes = {"train_examples": 16, "validation_examples": 4}
        streaming, memory = (opened(folder, how, **changes) for how in ("always", "never"))
        assert streaming.card == memory.card and streaming.fingerprint == memory.fingerprint
        assert streaming.class_names == memory.class_names
        for name in ("train", "validation", "test"):
            split = getattr(streaming, name)
            assert isinstance(split, streamed.StreamedSplit)
            assert isinstance(getattr(memory, name), in_memory.ArraySplit)
            batches = getattr(memory, name).evaluation_batches(4)
            assert_same(split.evaluation_batches(4), batches)
        of_memory = memory.train.training_batches(4, 2, seed=3, flip=True)
        assert_same(streaming.train.training_batches(4, 2, seed=3, flip=True), of_memory)

    def test_moving_data_keeps_the_fingerprint_and_changing_it_does_not(self, folder):
        first = opened(folder, "always").fingerprint
        moved = folder.rename(folder.with_name("moved"))
        assert opened(moved, "always").fingerprint == first
        path = moved / "test" / "dog" / "0.png"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1  # a checksum that Pillow ignores
        path.write_bytes(content)
        assert opened(moved, "always").fingerprint != first
        path.rename(path.with_name("9.png"))
        assert opened(moved, "always").fingerprint != first

    def test_the_scan_is_cached(self, folder, monkeypatch, capsys):
        (folder / "train" / "cat" / "0.png").write_bytes(b"no image")
        first = opened(folder, "always", unreadable_images="skip")
        message = capsys.readouterr().out
        assert first.train.examples == 17 and "skipped 1 of 24 images" in message
        scan = scanning.scan
        monkeypatch.setattr(scanning, "scan", None)
        again = opened(folder, "always", unreadable_images="skip")
        assert again.card == first.card and capsys.readouterr().out == message
        with pytest.raises(DamagedDataError, match=r"1 of 24 images .*0\.png: no image"):
            opened(folder, "always")
        scanned = []
        monkeypatch.setattr(scanning, "scan", lambda *given: scanned.append(given) or scan(*given))
        opened(folder, "always", unreadable_images="skip", image_size=9)
        (folder / "train" / "cat" / "0.png").write_bytes(b"not image")
        opened(folder, "always", unreadable_images="skip")
        assert len(scanned) == 2

    def test_a_file_that_vanishes_is_named(self, folder):
        data = opened(folder, "always")
        path = folder / "test" / "dog" / "1.jpg"
        path.unlink()
        with pytest.raises(DamagedDataError) as error, damage_named():
            list(data.test.evaluation_batches(2))
        assert str(error.value).startswith(f"{path}: No such file or directory; it could be read")
        assert len(str(error.value).splitlines()) == 1

    def test_more_than_fits_into_memory_suggests_streaming(self, folder, monkeypatch):
        monkeypatch.setattr("rocket_tf.data.local_files._available_memory", lambda: 2**10)
        with pytest.raises(DataUnavailableError, match=r"stream them: config\.streaming=always"):
            opened(folder, "never")
        assert opened(folder, "always").train.examples == 18


def test_a_pipe_is_not_an_image_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    _, reasons = image_files.decode([str(tmp_path / "a.jpg")], 8)
    assert reasons == ["is not a regular file (but, say, a pipe)"]


class TestKept:
    def test_arrays_are_restored(self):
        assert kept.load("test", [1, "a"]) is None
        kept.save("test", [1, "a"], names=np.array(["é", "b"]), numbers=np.arange(3))
        found = kept.load("test", [1, "a"])
        assert found["names"].tolist() == ["é", "b"] and found["numbers"].tolist() == [0, 1, 2]
        assert kept.load("test", [1, "b"]) is None and kept.load("other", [1, "a"]) is None

    def test_damaged_files_are_ignored(self):
        kept.save("test", "damaged", numbers=np.arange(1000))
        (path,) = set(kept.folder().glob("test-*")) - {kept._path("test", [1, "a"])}
        path.write_bytes(path.read_bytes()[:100])
        assert kept.load("test", "damaged") is None

    def test_a_folder_that_cannot_be_written_is_not_an_error(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("ROCKET_TF_CACHE", str(tmp_path / "file"))
        kept.save("test", 1, numbers=np.arange(3))
        assert kept.load("test", 1) is None
        monkeypatch.delenv("ROCKET_TF_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert kept.folder() == tmp_path / "rocket_tf"


class TestImageDataset:
    def test_of_a_folder(self, folder):
        dataset = image_dataset(folder, batch_size=5, epochs=2, seed=4, flip=True)
        expected = open_data({"dataset": "image_folder", "data_path": str(folder)}).train
        assert_same(dataset, expected.training_batches(5, 2, 4, flip=True))
        assert len(dataset) == 8
        assert dataset.element_spec[0].shape.as_list() == [None, 64, 64, 3]

    @pytest.mark.parametrize("part", ["validation", "test"])
    def test_of_other_parts(self, folder, part):
        data = opened(folder, "always", validation_examples=4)
        dataset = image_dataset(data, part, batch_size=4)
        assert_same(dataset, getattr(data, part).evaluation_batches(4))
        assert len(dataset) == {"validation": 1, "test": 2}[part]

    def test_mistakes(self, folder):
        with pytest.raises(ValueError, match=r"or 'test'\. Received: part='val'"):
            image_dataset(folder, "val")
        for given in ({"epochs": 2}, {"flip": True}):
            with pytest.raises(ValueError, match="Images of the test part come once"):
                image_dataset(folder, "test", **given)
        with pytest.raises(DataUnavailableError, match="no such folder"):
            image_dataset(folder / "nowhere")
