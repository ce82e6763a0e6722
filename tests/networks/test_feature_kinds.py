"""Tags, vectors, times, integers and fixed values in click-through nets, against NumPy."""

import datetime

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.networks import Feature, click_pair
from rocket_tf.serving.fixed_inputs import served_net
from tests.networks.test_click_towers import SMALL, randomize, weights

NAN = float("nan")
TAGS = np.array([["b", "a", ""], ["", "", ""], ["c", "x", "b"], ["a", "", ""]], object)
SHARES = np.array([[0.5, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
TIMES = [0, -1, 1_709_164_799, 2**36]  # the third is the last second of a 28 February


def vector_of(features, examples):
    """The shared layers' output for examples, and the light net, whose weights are random."""
    light, booster = click_pair(features, **SMALL)
    randomize(light, booster)
    below = keras.Model(light.input, light.get_layer("shared_features").output)
    given = {name: tf.constant(examples[name]) for name in light.input}
    vector = np.asarray(below(given), np.float64)
    assert np.ptp(light(given), axis=0).min() > 0
    return vector, light


def table_of(light, name):
    return weights(light, f"shared_{name}_embedding")["embeddings"]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_tags(pooling, weighted, missing):
    feature = Feature(
        "tags",
        "tags",
        vocabulary=("a", "b", "c"),
        dimension=5,
        length=3,
        pooling=pooling,
        weights="shares" if weighted else None,
        missing=missing,
    )
    vector, light = vector_of([feature], {"tags": TAGS, "shares": SHARES})
    table = table_of(light, "tags")
    assert table.shape == (4 + missing, 5)
    expected = []
    for tags, shares in zip(TAGS, SHARES.astype(np.float64), strict=True):
        present = tags != ""
        own = shares[present] if weighted else np.ones(present.sum())
        rows = [" abc".find(tag) if tag in "abc" else 0 for tag in tags[present]]
        total = own @ table[rows] if len(rows) else np.zeros(5)
        if not len(rows) and missing:
            total = table[4]
        elif pooling == "mean" and own.sum():
            total = total / own.sum()
        expected.append(total)
    np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", [False, True])
def test_times(missing):
    times = TIMES + [MISSING] * missing
    feature = Feature("when", "time", dimension=3, missing=missing)
    vector, light = vector_of([feature], {"when": np.array(times)})
    table = table_of(light, "when")
    start = datetime.datetime(1970, 1, 1)
    expected = []
    for seconds in TIMES:
        moment = start + datetime.timedelta(seconds=seconds)
        expected.append(np.append(table[moment.hour], table[24 + moment.weekday()]))
    if missing:
        expected.append(np.append(table[31], table[32]))
    assert table.shape == (31 + 2 * missing, 3) == (feature.table_size, 3)
    np.testing.assert_allclose(vector, expected, rtol=1e-6)


def test_vectors_integers_and_several_histories():
    features = [
        Feature("look", "vector", length=2),
        Feature("face", "vector", length=3, missing=True),
        Feature("place", "category", integers=True, buckets=4, dimension=2, missing=True),
        Feature("item", "category", "int64", vocabulary=(-1, 7), dimension=3, missing=True),
        Feature("seen", "history", "int64", of="item", length=2, missing=True),
        Feature("places", "history", "int64", of="place", length=3, missing=True),
    ]
    examples = {
        "look": np.array([[1.0, -2.0], [0.5, 0.0], [3.0, 4.0]], np.float32),
        "face": np.array([[1.0, 2.0, 3.0], [NAN, NAN, NAN], [0.0, 0.0, 1.0]], np.float32),
        "place": np.array([3, 4, MISSING]),
        "item": np.array([-1, 9, MISSING]),
        "seen": np.array([[7, -1], [MISSING, MISSING], [9, MISSING]]),
        "places": np.array([[0, 1, -3], [2, MISSING, MISSING], [MISSING, MISSING, MISSING]]),
    }
    vector, light = vector_of(features, examples)
    places, items = table_of(light, "place"), table_of(light, "item")
    assert places.shape == (6, 2) and items.shape == (4, 3)
    three = (places[0] + places[1] + places[4]) / 3
    expected = [
        np.r_[1, -2, 1, 2, 3, 0, places[3], items[1], (items[2] + items[1]) / 2, three],
        np.r_[0.5, 0, 0, 0, 0, 1, places[4], items[0], np.zeros(3), places[2]],
        np.r_[3, 4, 0, 0, 1, 0, places[5], items[3], items[0], np.zeros(2)],
    ]
    np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "category", "dtype": "int64", "buckets": 9, "served_as": 2},
        {"kind": "category", "dtype": "string", "buckets": 9, "served_as": "2"},
        {"kind": "number", "dtype": "float32", "served_as": 2.0},
        {"kind": "number", "dtype": "int64", "mean": 5.0, "variance": 4.0, "served_as": 2},
    ],
)
def test_a_request_can_give_one_value_for_all_candidates(given, tmp_path):
    item = Feature("item", "category", "int64", integers=True, buckets=5, dimension=3)
    light, _ = click_pair([Feature("position", **given), item], **SMALL)
    randomize(light)
    served = served_net(light)
    assert list(served.input) == ["item"]
    items = tf.constant([4, 0, 1], tf.int64)

    def at(position):
        values = np.full(3, position, object if given["dtype"] == "string" else given["dtype"])
        return np.asarray(light({"position": tf.constant(values), "item": items}))

    np.testing.assert_allclose(served({"item": items}), at(given["served_as"]), rtol=1e-6)
    other = "3" if given["dtype"] == "string" else 3
    assert np.abs(at(other) - at(given["served_as"])).min() > 1e-4
    light.save(tmp_path / "light.keras")
    again = keras.models.load_model(tmp_path / "light.keras")
    np.testing.assert_array_equal(served_net(again)({"item": items}), served({"item": items}))


def test_kinds_that_only_the_booster_reads_and_nets_that_share_nothing():
    features = [
        Feature("item", "category", buckets=5),
        Feature("tags", "tags", buckets=5, length=2, weights="shares"),
        Feature("position", "category", buckets=5, served_as="1"),
    ]
    light, booster = click_pair(features, booster_only=["tags"], **SMALL)
    assert list(light.input) == ["item", "position"]
    assert set(booster.input) == {"item", "position", "tags", "shares"}
    light, _ = click_pair(features, share=False, **SMALL)
    assert list(served_net(light).input) == ["item", "tags", "shares"]


@pytest.mark.parametrize(
    "given, said",
    [
        ({"kind": "tags"}, r"got length=0, expected a positive integer"),
        ({"kind": "tags", "length": 2, "pooling": "max"}, "got pooling='max', expected one of"),
        ({"kind": "tags", "length": 2, "weights": "x"}, "got weights='x', expected another name"),
        (
            {"kind": "vector", "length": 2, "buckets": 3},
            "nothing for a vector: it belongs to a cat",
        ),
        ({"kind": "time", "dtype": "string"}, r"got dtype='string', expected one of \('int64',\)"),
        ({"kind": "category", "integers": 1}, "got integers=1, expected True or False"),
        ({"kind": "category", "integers": True, "dtype": "string"}, "'int64' with integers=True"),
        ({"kind": "category", "integers": True, "min_count": 2}, "nothing beside min_count"),
        ({"kind": "category", "min_count": -1}, "got min_count=-1, expected a whole number"),
        ({"kind": "category", "min_count": 2, "buckets": 9}, "got buckets=9, expected nothing"),
        ({"kind": "category", "vocabulary": ("a",), "served_as": 1}, "got vocabulary"),
        ({"kind": "number", "served_as": NAN}, "got served_as=nan, expected a finite number"),
        ({"kind": "number", "mean": "5"}, "got mean='5', expected a finite number"),
    ],
)
def test_bad_fields(given, said):
    with pytest.raises(ValueError, match=f"Feature 'x': .*{said}"):
        Feature("x", **given)


@pytest.mark.parametrize(
    "features, said",
    [
        ([Feature("x", "category", min_count=2)], "got min_count=2, expected vocabulary"),
        (
            [Feature("x", "category"), Feature("y", "tags", length=2, weights="x")],
            r"a name of its own. Received: \['x', 'y', 'x'\]",
        ),
        ([Feature("x", "category", served_as="1")], "One feature at least must be an input"),
    ],
)
def test_features_that_conflict(features, said):
    with pytest.raises(ValueError, match=said):
        click_pair(features)
