"""MovieLens as clicks: a stand-in in TensorFlow Datasets' format, and messages about damage."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from rocket_tf.data import tfds_builder
from rocket_tf.data.clicks import movielens
from rocket_tf.errors import DamagedDataError, DataUnavailableError

HOUR = 3600
# User, movie, stars, time and genres; not in chronological order.
RATINGS = [
    (2, 30, 4.0, 5 * HOUR, [7]),
    (1, 10, 5.0, 1 * HOUR, [2, 4, 3]),
    (1, 20, 3.0, 2 * HOUR, [0]),
    (1, 30, 4.0, 2 * HOUR, [7]),
    (2, 10, 2.0, 26 * HOUR + 59, [2, 4, 3]),
    (1, 40, 1.0, 3 * HOUR, []),
    (1, 20, 5.0, 27 * HOUR, [0]),
    (2, 40, 5.0, 28 * HOUR, []),
]
TRAIN_FILE = "movielens-train.tfrecord-00000-of-00001"


def rating(user, movie, stars, time, genres):
    return {
        "bucketized_user_age": 25.0 if user == 1 else 56.0,
        "movie_genres": genres,
        "movie_id": str(movie),
        "movie_title": f"Movie {movie} (1995)",
        "timestamp": time,
        "user_gender": user == 1,
        "user_id": str(user),
        "user_occupation_label": 11 if user == 1 else 12,
        "user_occupation_text": "K-12 student",
        "user_rating": stars,
        "user_zip_code": "12345",
    }


@pytest.fixture(params=["1m", "100k"])
def version(request):
    return request.param


def write(folder, features, ratings):
    with tf.io.TFRecordWriter(str(folder / TRAIN_FILE)) as file:
        for each in ratings:
            if not isinstance(each, bytes):
                values = rating(*each)
                if "raw_user_age" in features:
                    values["raw_user_age"] = 27.0
                each = features.serialize_example(values)
            file.write(each)


@pytest.fixture
def features(version):
    return tfds.builder(f"movielens/{version}-ratings", data_dir="nowhere").info.features


@pytest.fixture
def folder(version, features, tmp_path):
    """MovieLens with the ratings above in TFDS's format."""
    builder = tfds.builder(f"movielens/{version}-ratings", data_dir=str(tmp_path / "data"))
    folder = tmp_path / "data" / "movielens" / f"{version}-ratings" / str(builder.version)
    folder.mkdir(parents=True)
    write(folder, features, RATINGS)
    split = {
        "name": "train",
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "numBytes": "1",
        "shardLengths": [str(len(RATINGS))],
    }
    info = {
        "name": "movielens",
        "configName": f"{version}-ratings",
        "version": str(builder.version),
        "fileFormat": "tfrecord",
        "splits": [split],
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def read(folder, version, **arguments):
    return movielens.read(version, str(folder.parents[2]), **arguments)


def test_ratings_become_clicks_in_chronological_order(folder, version):
    data = read(folder, version, history_length=2, test_fraction=0.25)
    expected = {
        "user_id": [1, 1, 1, 1, 2, 2],
        "movie_id": [10, 20, 30, 40, 30, 10],
        "movie_genres": [
            "Animation|Children|Comedy",
            "Action",
            "Drama",
            "(no genres listed)",
            "Drama",
            "Animation|Children|Comedy",
        ],
        "user_gender": [1, 1, 1, 1, 0, 0],
        "bucketized_user_age": [25, 25, 25, 25, 56, 56],
        "user_occupation_label": [11, 11, 11, 11, 12, 12],
        "hour": [1, 2, 2, 3, 5, 2],
        # Histories are strictly earlier: neither rating at 2 o'clock is in the other's history.
        "history": [[-1, -1], [10, -1], [10, -1], [30, 10], [-1, -1], [30, -1]],
    }
    assert {name: array.tolist() for name, array in data.train.inputs.items()} == expected
    assert data.train.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert data.test.labels.tolist() == [1, 1]
    assert data.test.inputs["user_id"].tolist() == [1, 2]
    assert data.test.inputs["history"].tolist() == [[30, 10], [30, -1]]
    for name, array in data.train.inputs.items():
        assert array.dtype == (object if name == "movie_genres" else np.int64), name
    columns = movielens.COLUMNS
    assert {columns.label, *data.train.inputs} == set(columns.all)


def test_sizes_are_those_requested(folder, version):
    data = read(folder, version, test_fraction=0.5)
    assert len(data.train.labels) == len(data.test.labels) == 4
    assert data.test.inputs["history"].shape == (4, 20)


def test_another_version_is_refused():
    with pytest.raises(ValueError, match=r"one of \('1m', '100k'\)\. Received: version='25m'"):
        movielens.read("25m")


def test_missing_data(tmp_path, version, monkeypatch):
    asked = []

    def no_network(url, timeout):
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr(tfds_builder.requests, "head", no_network)
    with pytest.raises(DataUnavailableError) as error:
        movielens.read(version, str(tmp_path / "nothing"))
    for way_out in ("no route to host", "data_dir", "TFDS_DATA_DIR", "--config=clicks"):
        assert way_out in str(error.value)
    assert f"movielens/{version}-ratings" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert asked == ["https://files.grouplens.org/datasets/movielens/"]
    assert not (tmp_path / "nothing").exists()


class TestDamage:
    def assert_damaged(self, folder, version, name, *fragments):
        with pytest.raises(DamagedDataError) as error:
            read(folder, version)
        message = str(error.value)
        assert message.startswith(f"movielens/{version}-ratings: {folder / name}: "), message
        for text in (*fragments, f"delete {folder} and start again"):
            assert text in message, message
        assert len(message.splitlines()) == 1

    def test_flipped_bits(self, folder, version):
        content = bytearray((folder / TRAIN_FILE).read_bytes())
        content[len(content) * 5 // 8] ^= 0xFF
        (folder / TRAIN_FILE).write_bytes(content)
        self.assert_damaged(folder, version, TRAIN_FILE, "of 8 cannot be read: DataLossError")

    def test_a_missing_file(self, folder, version):
        (folder / TRAIN_FILE).unlink()
        self.assert_damaged(folder, version, TRAIN_FILE, f"{TRAIN_FILE}: missing. ")

    def test_not_a_rating(self, folder, version, features):
        write(folder, features, [*RATINGS[:2], b"no rating", *RATINGS[3:]])
        self.assert_damaged(folder, version, TRAIN_FILE, "record 3 of 8 cannot be read: ")

    @pytest.mark.parametrize("records", [0, 5, 9])
    def test_another_number_of_ratings(self, folder, version, features, records):
        write(folder, features, (RATINGS * 2)[:records])
        self.assert_damaged(folder, version, TRAIN_FILE, f"it has {records} records, expected")

    @pytest.mark.parametrize(
        "bad, fragment",
        [
            ((1, 10, 6.0, 0, []), "record 3 of 8 has user_rating 6.0, expected 1 to 5"),
            ((1, 10, float("nan"), 0, []), "record 3 of 8 has user_rating nan"),
            ((1, "x", 5.0, 0, []), "record 3 of 8 has movie_id b'x', expected a number"),
            (("", 10, 5.0, 0, []), "record 3 of 8 has user_id b'', expected a number"),
        ],
    )
    def test_bad_values(self, folder, version, features, bad, fragment):
        write(folder, features, [*RATINGS[:2], bad, *RATINGS[3:]])
        self.assert_damaged(folder, version, TRAIN_FILE, fragment)

    @pytest.mark.parametrize("content", [b"", b"{", b"{}"])
    def test_of_the_description(self, folder, version, content):
        (folder / "dataset_info.json").write_bytes(content)
        self.assert_damaged(folder, version, "dataset_info.json")

    def test_of_no_file(self, folder, version, monkeypatch):
        monkeypatch.setattr(movielens, "_read_ratings", lambda builder: 1 / 0)
        with pytest.raises(DataUnavailableError, match="though every record of it can: ZeroDiv"):
            read(folder, version)

    def test_of_a_split(self, folder, version):
        path = folder / "dataset_info.json"
        path.write_text(path.read_text().replace('"train"', '"other"'))
        self.assert_damaged(folder, version, "dataset_info.json", "it has no split 'train'")
