"""Serialized tf.train.Examples: how the package writes them, and a signature that reads them."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.in_memory import ArraySplit
from rocket_tf.networks import Feature, click_pair
from rocket_tf.runs.finished import export_arguments
from rocket_tf.serving import checks, load, warmup
from rocket_tf.serving.example_messages import kind_of, serialized
from rocket_tf.serving.saved_model import export_light

MISSING = -(2**63)
FEATURES = [
    Feature("item", "category", "int64", buckets=30, dimension=3, missing=True),
    Feature("city", "category", "string", buckets=20, dimension=2, missing=True),
    Feature("price", "number", "float32", mean=3.0, variance=4.0, missing=True),
    Feature("time", "number", "int64", mean=1_700_000_000, variance=900.0),
    Feature("seen", "history", "int64", of="item", length=4, missing=True),
]
DEFAULTS = {"item": MISSING, "city": "", "price": math.nan, "seen": MISSING}


def example(**features):
    """A message as TensorFlow's classes write it."""
    kinds = {"int": "int64_list", "float": "float_list", "bytes": "bytes_list"}
    lists = {
        "int": tf.train.Int64List,
        "float": tf.train.FloatList,
        "bytes": tf.train.BytesList,
    }
    feature = {}
    for name, values in features.items():
        kind = type(values[0]).__name__
        feature[name] = tf.train.Feature(**{kinds[kind]: lists[kind](value=values)})
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def test_messages_equal_those_of_tensorflow():
    random = np.random.default_rng(0)
    columns = {
        "whole": random.integers(-(2**62), 2**62, (3, 5)) * np.array([1, -1, 0, 2, -2]),
        "one": np.array([0, -1, 127]),
        "far": np.array([MISSING, 2**63 - 1, 128]),
        "number": random.normal(size=(3, 2)).astype(np.float32),
        "double": np.array([1e300, -0.1, 3.0]) / 1e290,
        "text": np.array([["é", "x" * 200], ["", "b"], [b"\xff", b"c"]], object),
    }
    for row, message in enumerate(serialized(columns)):
        parsed = tf.train.Example.FromString(message).features.feature
        assert set(parsed) == set(columns)
        for name in ("whole", "one", "far"):
            assert list(parsed[name].int64_list.value) == np.atleast_1d(columns[name][row]).tolist()
        for name in ("number", "double"):
            expected = np.atleast_1d(columns[name][row]).astype(np.float32)
            np.testing.assert_array_equal(parsed[name].float_list.value, expected)
        texts = [t.encode() if isinstance(t, str) else t for t in columns["text"][row]]
        assert list(parsed["text"].bytes_list.value) == texts
    lists = {"seen": np.array([[3, 4, -1, -1], [-1, 5, 6, -1], [-1] * 4])}
    found = [tf.train.Example.FromString(each) for each in serialized(lists, {"seen": -1})]
    values = [list(each.features.feature["seen"].int64_list.value) for each in found]
    assert values == [[3, 4], [-1, 5, 6], []]
    with pytest.raises(ValueError, match=r"cannot hold values of dtype complex64"):
        kind_of("complex64")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    light, _ = click_pair(FEATURES, light_tower=(6,), booster_tower=(5, 4), seed=0)
    folder = tmp_path_factory.mktemp("export")
    version = export_light(light, folder, user_inputs=["seen"], example_defaults=DEFAULTS)
    return light, version, tf.saved_model.load(str(version)).signatures["serve_examples"]


def test_answers_equal_the_nets_logits(exported):
    light, _, serve = exported
    time = 1_700_000_031
    messages = [
        example(item=[7], city=[b"Oslo"], price=[2.5], time=[time], seen=[9, 7]),
        example(time=[time - 9]),  # the other features are missing
        example(item=[-3], city=[b" "], price=[math.nan], time=[time], seen=[1, 2, 3, 4, 5, 6]),
        example(item=[7], price=[0.0], time=[time], seen=[9, 7], more=[1]),
    ]
    pad = MISSING
    rows = {
        "item": [7, pad, -3, 7],
        "city": ["Oslo", "", " ", ""],
        "price": np.array([2.5, math.nan, math.nan, 0.0], np.float32),
        "time": np.array([time, time - 9, time, time]),
        "seen": [[9, 7, pad, pad], [pad] * 4, [1, 2, 3, 4], [9, 7, pad, pad]],
    }
    expected = np.asarray(light({name: tf.constant(rows[name]) for name in light.input}))
    answers = serve(examples=tf.constant(messages))
    np.testing.assert_allclose(answers["logits"], expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(expected).all() and len(np.unique(expected[:, 0])) == 4
    assert len(serve(examples=tf.constant([], tf.string))["logits"]) == 0


def test_required_features_and_bad_messages(exported):
    _, _, serve = exported
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"time.*required but could not be"):
        serve(examples=tf.constant([example(item=[7])]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Data types don't match"):
        serve(examples=tf.constant([example(item=[b"x"], time=[3])]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Could not parse example"):
        serve(examples=tf.constant([b"no message"]))


def test_warm_up_and_checks(exported):
    _, version, _ = exported
    asked = dict(warmup.read(version))
    assert list(asked) == ["serving_default", "serve_candidates", "serve_examples"]
    assert asked["serve_examples"]["examples"].shape == (1,)
    fragment = dict(checks.prove(version))
    assert fragment["agreement"] == "serve_examples as serving_default"
    assert "serve_examples(examples string n)" in fragment["signatures"]
    assert fragment["warm-up"] == "3 requests replayed"


@pytest.mark.slow
def test_under_load(exported):
    _, version, _ = exported
    fragment = []
    rows = load.measure(version, [3], [40.0], clients=2, seconds=0.25, tell=fragment.append)
    signatures = ["serving_default", "serve_candidates", "serve_examples"]
    assert [(row["signature"], row["rate"]) for row in rows] == [
        (signature, rate) for signature in signatures for rate in (None, 40.0)
    ]
    for row in rows:
        assert 1 <= row["answered"] <= row["requests"]
        assert row["rate"] is None or row["requests"] == 10
        assert row["cpu_ms"] > 0
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert len(fragment) == len(rows)


def test_mistakes(exported, tmp_path):
    light, *_ = exported
    with pytest.raises(ValueError, match=r"by the net's inputs \[.*\]\. Received: 'color'"):
        export_light(light, tmp_path, example_defaults={"color": 0})
    image = keras.Input((4, 4, 1), name="image")
    net = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    with pytest.raises(ValueError, match=r"Received: 'image' of shape \(None, 4, 4, 1\)"):
        export_light(net, tmp_path, example_defaults={})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("length", "expected"), [(20, {"history": -1}), (None, None)])
def test_runs_whose_histories_have_any_length_have_no_such_signature(length, expected):
    history = keras.Input((length,), dtype="int64", name="history")
    net = keras.Model({"history": history}, keras.layers.Embedding(9, 2)(history))
    split = ArraySplit({"history": np.zeros((2, 20), np.int64)}, np.zeros(2, np.int64))
    data = SimpleNamespace(card=DATASETS["simulated_clicks"], validation=split, test=split)
    assert export_arguments(data, net)["example_defaults"] == expected
