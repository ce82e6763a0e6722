"""Data sets that are damaged on disk: messages name the file and the record."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from rocket_tf.data import tfds_builder
from rocket_tf.data.images import named as images
from rocket_tf.data.images import tfds as tfds_images
from rocket_tf.errors import DamagedDataError, DataUnavailableError
from tests.in_process import run_here

SHARDS = {
    "train": ["cifar10-train.tfrecord-00000-of-00002", "cifar10-train.tfrecord-00001-of-00002"],
    "test": ["cifar10-test.tfrecord-00000-of-00001"],
}
RECORDS = 4  # in each file
SECOND = SHARDS["train"][1]
PIXELS = np.random.default_rng(0).integers(0, 256, (3 * RECORDS, 32, 32, 3)).astype(np.uint8)
LABELS = np.arange(3 * RECORDS) % 10


@pytest.fixture(scope="module")
def features():
    return tfds.builder("cifar10", data_dir="nowhere").info.features


def record(features, number, image=None, label=None):
    """An example as TFDS writes it; its image's bytes or its label can be replaced."""
    values = {"id": f"{number}", "image": PIXELS[number], "label": LABELS[number]}
    example = tf.train.Example.FromString(features.serialize_example(values))
    if image is not None:
        example.features.feature["image"].bytes_list.value[:] = [image]
    if label is not None:
        example.features.feature["label"].int64_list.value[:] = [label]
    return example.SerializeToString()


def write(path, records):
    with tf.io.TFRecordWriter(str(path)) as file:
        for each in records:
            file.write(each)


def png(shape):
    return tf.io.encode_png(np.zeros(shape, np.uint8)).numpy()


@pytest.fixture
def folder(features, tmp_path):
    """A CIFAR-10 of 8 training and 4 test images in TFDS's format."""
    version = str(tfds.builder_cls("cifar10").VERSION)
    folder = tmp_path / "data" / "cifar10" / version
    folder.mkdir(parents=True)
    number = 0
    for names in SHARDS.values():
        for name in names:
            write(folder / name, [record(features, number + i) for i in range(RECORDS)])
            number += RECORDS
    splits = [
        {
            "name": split,
            "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            "numBytes": "1",
            "shardLengths": [str(RECORDS)] * len(names),
        }
        for split, names in SHARDS.items()
    ]
    info = {"name": "cifar10", "version": version, "fileFormat": "tfrecord", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def load(folder, **arguments):
    return images.load("cifar10", str(folder.parents[1]), **arguments)


def assert_damaged(folder, name, *fragments):
    with pytest.raises(DamagedDataError) as error:
        load(folder)
    message = str(error.value)
    assert message.startswith(f"cifar10: {folder / name}: "), message
    for text in (*fragments, f"delete {folder} and start again", "or copy that folder again"):
        assert text in message, message
    assert len(message.splitlines()) == 1


def change(path, function):
    path.write_bytes(function(bytearray(path.read_bytes())))


def flip(content):
    content[len(content) // 2] ^= 0xFF
    return content


def test_undamaged_data_is_read_as_written(folder):
    data = load(folder)
    np.testing.assert_array_equal(data.train.inputs, PIXELS[: 2 * RECORDS])
    np.testing.assert_array_equal(data.train.labels, LABELS[: 2 * RECORDS])
    np.testing.assert_array_equal(data.test.inputs, PIXELS[2 * RECORDS :])
    np.testing.assert_array_equal(data.test.labels, LABELS[2 * RECORDS :])
    assert len(data.class_names) == 10


class TestFiles:
    def test_truncated(self, folder):
        # All records have almost the same size.
        change(folder / SECOND, lambda content: content[: len(content) * 5 // 8])
        assert_damaged(folder, SECOND, "record 3 of 4 cannot be read: DataLossError: truncated")

    def test_flipped_bits(self, folder):
        change(folder / SECOND, flip)
        assert_damaged(folder, SECOND, "of 4 cannot be read: DataLossError: corrupted record")

    def test_of_the_test_examples(self, folder):
        (name,) = SHARDS["test"]
        change(folder / name, flip)
        assert_damaged(folder, name, "DataLossError: corrupted record")

    def test_missing(self, folder):
        (folder / SECOND).unlink()
        assert_damaged(folder, SECOND, f"{SECOND}: missing. ")

    @pytest.mark.parametrize("records", [0, 3, 5])
    def test_of_another_number_of_records(self, folder, features, records):
        write(folder / SECOND, [record(features, number) for number in range(records)])
        assert_damaged(
            folder, SECOND, f"it has {records} records, expected 4 according to dataset_info.json"
        )

    def test_files_that_are_not_needed_are_not_read(self, folder):
        change(folder / SECOND, flip)
        data = load(folder, train_examples=RECORDS)
        np.testing.assert_array_equal(data.train.inputs, PIXELS[:RECORDS])


class TestRecords:
    @pytest.fixture
    def with_third(self, folder, features):
        """Replaces the third record of the folder's second file."""

        def write_third(third):
            records = [record(features, RECORDS + number) for number in range(RECORDS)]
            records[2] = third
            write(folder / SECOND, records)
            return folder

        return write_third

    @pytest.mark.parametrize(
        "image, fragment",
        [
            (b"", "InvalidArgumentError"),
            (b"no image", "InvalidArgumentError: Unknown image file format"),
            (png((32, 32, 3))[:60], "InvalidArgumentError"),
            (tf.io.encode_jpeg(PIXELS[0]).numpy()[:700], "InvalidArgumentError: jpeg"),
            (png((8, 8, 3)), "Shape of tensor decode_image/DecodeImage [8,8,3] is not compatible"),
            (png((32, 33, 3)), "[32,33,3] is not compatible with expected shape [32,32,3]"),
        ],
        ids=["empty", "no image", "half a PNG", "half a JPEG", "too small", "too large"],
    )
    def test_images(self, with_third, features, image, fragment):
        folder = with_third(record(features, 0, image))
        assert_damaged(folder, SECOND, "record 3 of 4 cannot be read: ", fragment)

    @pytest.mark.parametrize("label", [-1, 10, 2**40])
    def test_labels_out_of_range(self, with_third, features, label):
        folder = with_third(record(features, 0, label=label))
        assert_damaged(folder, SECOND, f"record 3 of 4 has label {label}, expected 0 to 9")

    def test_not_an_example(self, with_third):
        assert_damaged(with_third(b"no example"), SECOND, "record 3 of 4 cannot be read: ")


class TestDatasetInfo:
    @pytest.mark.parametrize("content", [b"", b'{"name": "cif', b"[]", b"{}", b"\xff\xfe"])
    def test_damaged(self, folder, content):
        (folder / "dataset_info.json").write_bytes(content)
        assert_damaged(folder, "dataset_info.json")

    @pytest.mark.parametrize("missing", ["train", "test"])
    def test_without_a_split(self, folder, missing):
        path = folder / "dataset_info.json"
        info = json.loads(path.read_text())
        info["splits"] = [split for split in info["splits"] if split["name"] != missing]
        path.write_text(json.dumps(info))
        assert_damaged(folder, "dataset_info.json", f"it has no split '{missing}'")

    def test_missing_without_a_network(self, folder, monkeypatch):
        def no_network(url, timeout):
            raise OSError("no route to host")

        monkeypatch.setattr(tfds_builder.requests, "head", no_network)
        (folder / "dataset_info.json").unlink()
        assert_damaged(folder, "dataset_info.json", "dataset_info.json: missing. ")


def test_another_failure_is_not_blamed_on_a_file(folder, monkeypatch):
    monkeypatch.setattr(tfds_images, "_read_split", lambda *_: 1 / 0)
    with pytest.raises(DataUnavailableError) as error:
        load(folder)
    assert f"{folder} cannot be read, although every record" in str(error.value)
    assert "ZeroDivisionError" in str(error.value)


def test_the_command_reports_it_in_one_line(folder, tmp_path, capsys):
    change(folder / SECOND, flip)
    arguments = [f"--config.data_dir={folder.parents[1]}", f"--workdir={tmp_path / 'run'}"]
    result = run_here(["--config=cifar10", *arguments], capsys)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"rocket_tf: cifar10: {folder / SECOND}: record ")
    assert not (tmp_path / "run").exists()
