"""Click logs with missing values and negative ids in every format, in memory and streamed."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rocket_tf.data import open_data
from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.errors import DataUnavailableError
from tests.data.test_click_logs import write_csv

LARGEST = 2**63 - 1
ROWS = [
    {"click": 1, "user": 4, "item": -5, "device": "tv", "price": 1.5, "seen": [-1, LARGEST, 8]},
    {"click": 0, "user": None, "item": None, "device": None, "price": None, "seen": []},
    {"click": 0, "user": 4, "item": LARGEST, "device": " ", "price": math.nan, "seen": [None, 7]},
    {"click": 1, "user": 2, "item": -1, "device": "Ω 7", "price": 4.0, "seen": [-5]},
    {"click": 0, "user": -9, "item": 0, "device": "tv", "price": 2.0, "seen": None},
]
EXPECTED = {
    "user": [4, MISSING, 4, 2, -9],
    "item": [-5, MISSING, LARGEST, -1, 0],
    "device": ["tv", "", "", "Ω 7", "tv"],
    "price": [1.5, math.nan, math.nan, 4.0, 2.0],
    "seen": [
        [-1, LARGEST],
        [MISSING, MISSING],
        [7, MISSING],
        [-5, MISSING],
        [MISSING, MISSING],
    ],
}
FIELDS = {
    "dataset": "click_log",
    "category_columns": ("item", "device"),
    "number_columns": ("price",),
    "history_column": "seen",
    "history_length": 2,
    "missing_values": "own_row",
}


def as_csv(path, rows):
    def text(value):
        if isinstance(value, list):
            return " ".join(str(each) for each in value if each is not None)
        return "" if value is None else str(value)

    write_csv(path, [{name: text(value) for name, value in row.items()} for row in rows])


def as_parquet(path, rows):
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {name: pa.array(column) for name, column in columns.items() if name != "seen"}
    arrays["seen"] = pa.array(columns["seen"], pa.list_(pa.int64()))
    pq.write_table(pa.table(arrays), path, row_group_size=2)


WRITERS = {"csv": as_csv, "parquet": as_parquet}


def write(folder, form, train=ROWS, test=ROWS):
    WRITERS[form](folder / f"train.{form}", train)
    WRITERS[form](folder / f"test.{form}", test)
    return {**FIELDS, "data_path": str(folder)}


def changed(row, **values):
    return [{**own, **values} if place == row else own for place, own in enumerate(ROWS)]


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", WRITERS)
class TestValues:
    def test_missing_ones_are_marked(self, tmp_path, form, streaming):
        data = open_data({**write(tmp_path, form), "streaming": streaming})
        for split in (data.train, data.test):
            inputs, labels = next(split.evaluation_batches(9).as_numpy_iterator())
            np.testing.assert_array_equal(labels, [1, 0, 0, 1, 0])
            assert set(inputs) == set(EXPECTED)
            for name, expected in EXPECTED.items():
                own = inputs[name]
                if name == "device":
                    own = np.array([value.decode() for value in own], object)
                np.testing.assert_array_equal(own, expected, err_msg=name)
        dtypes = {"user": "int64", "item": "int64", "device": "string", "seen": "int64"}
        assert data.card.dtypes == {**dtypes, "price": "float32"}
        mean, variance = data.card.moments["price"]  # of 1.5, 4 and 2
        assert mean == pytest.approx(2.5) and variance == pytest.approx(np.var([1.5, 4.0, 2.0]))

    def test_missing_ones_are_refused_if_configured(self, tmp_path, form, streaming):
        for number, (name, value) in enumerate(
            {"item": None, "device": None, "price": None, "user": -9}.items()
        ):
            folder = tmp_path / str(number)
            folder.mkdir()
            whole = {"click": 1, "user": 3, "item": 4, "device": "tv", "price": 1.0, "seen": [5]}
            fields = write(folder, form, [whole, {**whole, name: value}], [whole])
            with pytest.raises(DataUnavailableError, match=f"'{name}'"):
                open_data({**fields, "missing_values": "refuse", "streaming": streaming})

    def test_infinity_and_the_mark_of_missing_ids_are_refused(self, tmp_path, form, streaming):
        fields = write(tmp_path, form, changed(3, item=MISSING))
        with pytest.raises(DataUnavailableError, match=f"{MISSING} in 'item'; expected a larger"):
            open_data({**fields, "streaming": streaming})
        fields = write(tmp_path, form, changed(3, price=math.inf))
        with pytest.raises(DataUnavailableError, match=r"inf.* in 'price'; expected a finite"):
            open_data({**fields, "streaming": streaming})

    def test_a_column_without_a_value(self, tmp_path, form, streaming):
        rows = [{**row, "price": math.nan} for row in ROWS]
        data = open_data({**write(tmp_path, form, rows), "streaming": streaming})
        assert data.card.moments["price"] == (0.0, 1.0)


def test_ids_that_pandas_has_turned_into_floats(tmp_path):
    """pandas writes integers with gaps as floats; here, only one of the two files has gaps."""
    train = changed(2, item=None)
    train = [{**row, "item": None if row["item"] is None else float(row["item"])} for row in train]
    data = open_data(write(tmp_path, "parquet", train, [{**ROWS[0], "item": 6}]))
    np.testing.assert_array_equal(data.train.inputs["item"], [-5, MISSING, MISSING, -1, 0])
    np.testing.assert_array_equal(data.test.inputs["item"], [6])
    train[3]["item"] = 1.5
    with pytest.raises(DataUnavailableError, match="'item' has values that are not whole numbers"):
        open_data(write(tmp_path, "parquet", train))


def test_other_spellings_of_numbers_are_mistakes(tmp_path):
    fields = write(tmp_path, "csv", changed(0, price="null"))
    with pytest.raises(DataUnavailableError, match="line 2: 'null' in 'price'"):
        open_data(fields)


def test_the_card_survives_json(tmp_path):
    from rocket_tf.data import catalog

    card = open_data(write(tmp_path, "csv")).card
    again = catalog.from_json(json.loads(json.dumps(catalog.as_json(card))))
    assert again == card and again.columns.missing
