"""MovieLens as clicks: whether a user likes a movie (Harper and Konstan, 2015).

It uses TensorFlow Datasets, and its names of columns.
"""

import numpy as np

from rocket_tf.data.clicks.examples import Columns, histories, split
from rocket_tf.data.tfds_builder import error_of_reading, prepared_builder

VERSIONS = ("1m", "100k")  # those with data about users; the larger ones have none
COLUMNS = Columns(
    user="user_id",
    categories=(
        "user_id",
        "movie_id",
        "movie_genres",
        "user_gender",
        "bucketized_user_age",
        "user_occupation_label",
        "hour",
    ),
    history="history",
    item="movie_id",
)

_SOURCE = "https://files.grouplens.org/datasets/movielens/"
_LIKED = 4  # stars
_NO_GENRES = "(no genres listed)"  # as MovieLens has it
_BATCH = 8192
# The fields read from a rating, besides its genres, and their types on disk.
_FEATURES = {
    "user_id": "string",
    "movie_id": "string",
    "user_gender": "int64",
    "bucketized_user_age": "float32",
    "user_occupation_label": "int64",
    "timestamp": "int64",
    "user_rating": "float32",
}


def read(version="1m", data_dir="", history_length=20, test_fraction=0.1):
    """Reads MovieLens, and downloads it first if it is missing.

    A rating of 4 or 5 stars counts as a click. The test examples are the last ratings in time, as
    in production; many of them are by new users.

    Args:
        version: "1m", 1 000 209 ratings by 6040 users, or "100k", 100 000 by 943.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        history_length: number of movies to keep that a user liked before.
        test_fraction: share of the test examples.

    Returns:
        `ClickData` with `COLUMNS`, except for `history_length`. movie_genres: all genres of a
        movie, as in "Comedy|Drama"; user_gender: 1 for male; bucketized_user_age: the lowest age of
        a bracket; hour: 0 to 23, UTC. All are int64 except the genres.

    Raises:
        ValueError: if the version is unknown.
        DamagedDataError: if the data exists but is damaged.
        DataUnavailableError: if the data can neither be found nor downloaded.
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {VERSIONS}. Received: version={version!r}")
    name = f"movielens/{version}-ratings"
    builder = prepared_builder(name, name, _SOURCE, data_dir, instead="clicks")
    try:
        ratings = _read_ratings(builder)
    except Exception as error:  # TFDS passes on any error of its reader
        raise error_of_reading(name, builder, ["train"], error, _problem_of) from error
    user, movie = (ratings[name].astype(np.int64) for name in ("user_id", "movie_id"))
    # Files are shuffled; within a second, ids give the order.
    order = np.lexsort((movie, user, ratings["timestamp"]))
    times = ratings["timestamp"][order]
    clicked = (ratings["user_rating"][order] >= _LIKED).astype(np.int64)
    names = np.array(builder.info.features["movie_genres"].feature.names, object)
    inputs = {
        "user_id": user[order],
        "movie_id": movie[order],
        "movie_genres": _joined(ratings["movie_genres"], names)[order],
        "user_gender": ratings["user_gender"][order],
        "bucketized_user_age": ratings["bucketized_user_age"][order].astype(np.int64),
        "user_occupation_label": ratings["user_occupation_label"][order],
        "hour": times // 3600 % 24,
    }
    inputs["history"] = histories(
        inputs["user_id"], inputs["movie_id"], clicked, times, history_length
    )
    return split(inputs, clicked, test_fraction)


def _read_ratings(builder):
    """Dict from features to arrays; the genres of a rating as the bits of an integer."""
    import tensorflow as tf

    # TFDS itself parses one by one, which takes most of a minute for a million.
    features = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in _FEATURES.items()}
    features["movie_genres"] = tf.io.RaggedFeature(tf.int64)

    def parse(records):
        ratings = tf.io.parse_example(records, features)
        genres = ratings["movie_genres"]
        bits = tf.bitwise.left_shift(tf.ones_like(genres.values), genres.values)
        return {**ratings, "movie_genres": tf.reduce_sum(genres.with_values(bits), axis=1)}

    split = builder.info.splits["train"]
    records = tf.data.TFRecordDataset([str(path) for path in split.filepaths]).batch(_BATCH)
    batches = list(records.map(parse, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator())
    ratings = {name: np.concatenate([batch[name] for batch in batches]) for name in features}
    number = len(ratings["user_id"])
    problem = _problem_of(ratings)
    if number != split.num_examples or problem:
        raise ValueError(problem or f"{number} ratings")
    return ratings


def _problem_of(ratings):
    """What is wrong with a rating, or with one of several; `None` if nothing is."""
    for name in ("user_id", "movie_id"):
        for value in np.unique(ratings[name]).tolist():
            if not value.isdigit():
                return f"{name} {value!r}, expected a number"
    stars = np.asarray(ratings["user_rating"])
    wrong = stars[~((stars >= 1) & (stars <= 5))]
    if wrong.size:
        return f"user_rating {wrong.flat[0]}, expected 1 to 5"
    return None


def _joined(bits, names):
    """The names of the genres whose bits are set, joined by "|"."""
    combinations, indices = np.unique(bits, return_inverse=True)
    texts = [
        "|".join(name for bit, name in enumerate(names) if value >> bit & 1) or _NO_GENRES
        for value in combinations
    ]
    return np.array(texts, object)[indices]
