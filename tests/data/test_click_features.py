"""Click logs with configured features: values, vocabularies and mistakes in every format."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rocket_tf.data import catalog, click_dataset, open_data
from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.errors import DataUnavailableError
from rocket_tf.networks import Feature
from tests.data.test_click_logs import write_csv

ROWS = [
    {"click": 1, "user": 4, "item": 5, "tags": ["a", "Ω"], "share": [0.5, 2.0]},
    {"click": 0, "user": 7, "item": 8, "tags": [], "share": []},
    {"click": 0, "user": 4, "item": 5, "tags": ["b", "a", "c"], "share": [1.0, 0.0, 3.0]},
    {"click": 1, "user": 9, "item": 3, "tags": ["c"], "share": [0.25]},
    {"click": 1, "user": 9, "item": 8, "tags": ["b"], "share": [1.0]},
]
MORE = [
    {"seen": [8, 5, 3], "cities": ["Oslo"], "look": [0.5, -1.0], "when": 0},
    {"seen": [], "cities": ["Rome", "Oslo"], "look": [1.5, 2.0], "when": -1},
    {"seen": [5], "cities": [], "look": [0.0, 0.0], "when": 1_700_000_000},
    {"seen": [3, 3], "cities": ["Pisa"], "look": [3.0, 4.0], "when": 2**40},
    {"seen": [], "cities": [], "look": [-0.5, 1.0], "when": 7},
]
ROWS = [
    {**row, **more, "city": city}
    for row, more, city in zip(ROWS, MORE, ["Oslo", "Rome", "Oslo", "Bodø", "Rome"], strict=True)
]
FEATURES = (
    {"name": "item", "kind": "category", "min_count": 2},
    {"name": "city", "kind": "category", "vocabulary": ["Oslo"]},
    Feature("tags", "tags", min_count=2, length=2, weights="share"),
    Feature("seen", "history", of="item", length=2),
    {"name": "cities", "kind": "history", "of": "city", "length": 1},
    Feature("look", "vector", length=2),
    Feature("when", "time"),
)
EXPECTED = {
    "user": [4, 7, 4, 9, 9],
    "item": [5, 8, 5, 3, 8],
    "city": ["Oslo", "Rome", "Oslo", "Bodø", "Rome"],
    "tags": [["a", "Ω"], ["", ""], ["b", "a"], ["c", ""], ["b", ""]],
    "share": [[0.5, 2.0], [0.0, 0.0], [1.0, 0.0], [0.25, 0.0], [1.0, 0.0]],
    "seen": [[8, 5], [-1, -1], [5, -1], [3, 3], [-1, -1]],
    "cities": [["Oslo"], ["Rome"], [""], ["Pisa"], [""]],
    "look": [[0.5, -1.0], [1.5, 2.0], [0.0, 0.0], [3.0, 4.0], [-0.5, 1.0]],
    "when": [0, -1, 1_700_000_000, 2**40, 7],
}


def as_csv(path, rows):
    def text(value):
        if isinstance(value, list):
            return " ".join(map(str, value))
        return "" if value is None else str(value)

    write_csv(path, [{name: text(value) for name, value in row.items()} for row in rows])


def as_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def as_tfrecord(path, rows):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            example = tf.train.Example()
            for name, values in row.items():
                for value in values if isinstance(values, list) else [values]:
                    feature = example.features.feature[name]
                    if isinstance(value, str):
                        feature.bytes_list.value.append(value.encode())
                    elif isinstance(value, float):
                        feature.float_list.value.append(value)
                    else:
                        feature.int64_list.value.append(value)
            writer.write(example.SerializeToString())


WRITERS = {"csv": as_csv, "parquet": as_parquet, "tfrecord": as_tfrecord}


def write(folder, form, train=ROWS, features=FEATURES, test=ROWS[2:]):
    WRITERS[form](folder / f"train.{form}", train)
    WRITERS[form](folder / f"test.{form}", test)
    return {"dataset": "click_log", "data_path": str(folder), "features": features}


def changed(row, **values):
    return [{**own, **values} if place == row else own for place, own in enumerate(ROWS)]


def values_of(split):
    inputs, _ = next(split.evaluation_batches(9).as_numpy_iterator())
    return {
        name: np.array([value.decode() for value in own.flat], object).reshape(own.shape)
        if own.dtype == object
        else own
        for name, own in inputs.items()
    }


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", WRITERS)
def test_values_and_vocabularies(tmp_path, form, streaming):
    # The first record has no tags, so it does not show their type.
    rows = ROWS[1:] + ROWS[:1]
    data = open_data({**write(tmp_path, form, rows), "streaming": streaming})
    inputs = values_of(data.train)
    assert set(inputs) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        np.testing.assert_array_equal(inputs[name], expected[1:] + expected[:1], err_msg=name)
    texts = dict.fromkeys(("city", "tags", "cities"), "string")
    floats = dict.fromkeys(("share", "look"), "float32")
    whole = dict.fromkeys(("user", "item", "seen", "when"), "int64")
    assert data.card.dtypes == {**texts, **floats, **whole}
    # Values that occur twice or more among the first two tags, by frequency and then by value.
    assert data.card.vocabularies == {"item": (5, 8), "tags": ("a", "b")}
    again = json.loads(json.dumps(catalog.as_json(data.card)))
    assert catalog.from_json(again) == data.card


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_missing_values(tmp_path, form, streaming):
    features = (
        Feature("item", "category", missing=True, min_count=1),
        Feature("tags", "tags", missing=True, length=2),
        {"name": "look", "kind": "vector", "length": 2, "missing": True},
        Feature("when", "time", missing=True),
    )
    rows = changed(2, item=None, tags=None, look=None, when=None)
    data = open_data({**write(tmp_path, form, rows, features), "streaming": streaming})
    inputs = values_of(data.train)
    nan = math.nan
    np.testing.assert_array_equal(inputs["item"], [5, 8, MISSING, 3, 8])
    np.testing.assert_array_equal(inputs["when"], [0, -1, MISSING, 2**40, 7])
    np.testing.assert_array_equal(inputs["tags"][2], ["", ""])
    np.testing.assert_array_equal(
        inputs["look"], [[0.5, -1], [1.5, 2], [nan, nan], [3, 4], [-0.5, 1]]
    )
    assert data.card.vocabularies == {"item": (8, 3, 5)}
    fields = write(
        tmp_path, form, changed(1, user=None), features
    )  # not a feature, and so required
    with pytest.raises(DataUnavailableError, match=r"'user'"):
        open_data({**fields, "streaming": streaming})


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    "values, said",
    [
        ({"look": [1.0]}, "1 values in 'look'; expected 2"),
        ({"look": []}, "0 values in 'look'; expected 2"),
        ({"look": [1.0, math.inf]}, "'?inf'? in 'look'; expected a finite number of 32 bits"),
        ({"share": [1.0]}, "1 values in 'share'; expected 3, as 'tags' has"),
        ({"share": [1.0, -0.5, 0.0]}, "-0.5 in 'share'; expected weights of at least 0"),
        ({"when": None}, "(None|'') in 'when'; expected whole seconds since 1970"),
    ],
)
def test_mistakes_are_located(tmp_path, form, streaming, values, said):
    fields = write(tmp_path, form, changed(2, **values))
    place = "train.csv: line 4" if form == "csv" else "train.parquet: row group 2, row 1"
    with pytest.raises(DataUnavailableError, match=f"{place}: {said}"):
        open_data({**fields, "streaming": streaming})


def test_columns_of_wrong_types(tmp_path):
    for name, value, said in (
        ("when", 0.5, "has 'when' as double, expected integers: seconds since 1970"),
        ("look", 0.5, "has 'look' as double, expected lists, or strings with spaces between"),
        ("tags", [0.5], "has 'tags' as list<.*double.*>, expected lists of integers or strings"),
        ("seen", ["a"], "expected lists of integers, as 'item' has"),
    ):
        rows = [{**row, name: value} for row in ROWS]
        fields = write(tmp_path, "parquet", rows, test=rows)
        with pytest.raises(DataUnavailableError, match=said):
            open_data(fields)


def test_a_time_that_is_not_a_number(tmp_path):
    fields = write(tmp_path, "csv", changed(3, when="12:30"))
    with pytest.raises(
        DataUnavailableError, match=r"line 5: '12:30' in 'when'; expected whole sec"
    ):
        open_data(fields)


@pytest.mark.parametrize("streaming", ["never", "always"])
def test_a_vocabulary_that_would_be_empty(tmp_path, streaming):
    features = (Feature("item", "category", min_count=3),)
    fields = write(tmp_path, "csv", features=features)
    with pytest.raises(DataUnavailableError, match="no value of 'item' occurs 3 times"):
        open_data({**fields, "streaming": streaming})


def test_vectors_of_a_fixed_size_and_batches_for_fit(tmp_path):
    fields = write(tmp_path, "parquet")
    for path in tmp_path.glob("*.parquet"):
        table = pq.read_table(path)
        place = table.schema.get_field_index("look")
        look = table["look"].combine_chunks().cast(pa.list_(pa.float32(), 2))
        pq.write_table(table.set_column(place, "look", look), path, row_group_size=2)
    batches = click_dataset(
        fields["data_path"], batch_size=2, features=fields["features"], shuffle=False
    )
    looks = [inputs["look"].numpy() for inputs, _ in batches]
    np.testing.assert_array_equal(np.concatenate(looks), EXPECTED["look"])


def test_the_test_part_may_lack_what_only_the_booster_reads(tmp_path):
    fields = {**write(tmp_path, "csv"), "booster_only": ("tags",)}
    as_csv(
        tmp_path / "test.csv",
        [{n: own for n, own in row.items() if n not in ("tags", "share")} for row in ROWS],
    )
    for streaming in ("never", "always"):
        data = open_data({**fields, "streaming": streaming})
        assert data.card.test_lacks == ("tags", "share")
        assert {"tags", "share"} & set(values_of(data.test)) == set()


def test_other_features_do_not_convert_the_log_again(tmp_path, monkeypatch):
    fields = {**write(tmp_path, "csv"), "streaming": "always"}
    before = open_data(fields).card
    wider = ({**FEATURES[0], "dimension": 3}, *FEATURES[1:])
    with monkeypatch.context() as patched:
        for function in ("conversion.convert", "scan.scan"):
            patched.setattr(f"rocket_tf.data.clicks.{function}", None)
        assert open_data({**fields, "features": wider}).card.vocabularies == before.vocabularies
    rarer = ({**FEATURES[0], "min_count": 1}, *FEATURES[1:])
    assert open_data({**fields, "features": rarer}).card.vocabularies["item"] == (5, 8, 3)
