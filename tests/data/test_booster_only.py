"""Columns that only the booster reads may be missing from the test part of a log."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rocket_tf import config as options
from rocket_tf.config import bundled
from rocket_tf.data import open_data
from rocket_tf.errors import ConfigError, DataUnavailableError
from tests.data.test_click_logs import write_csv, write_records

ONLY = ("dwell", "reason")
FIELDS = {
    "dataset": "click_log",
    "category_columns": ("item", "reason"),
    "number_columns": ("price", "dwell"),
    "history_column": "seen",
    "history_length": 2,
    "booster_only": ONLY,
}


def rows(count, first):
    return [
        {
            "click": row % 2,
            "user": row % 3,
            "item": 10 + row,
            "reason": f"r{row % 4}",
            "price": row + 0.5,
            "dwell": 3.25 * row,
            "seen": [7 + row, 9] if row % 2 else [],
        }
        for row in range(first, first + count)
    ]


def without(part, names):
    return [{name: value for name, value in row.items() if name not in names} for row in part]


def write_parquet(path, part):
    names = list(part[0])
    pq.write_table(pa.table({name: [row[name] for row in part] for name in names}), path)


WRITERS = {"csv": write_csv, "tfrecord": write_records, "parquet": write_parquet}


def log(folder, form, lacking=ONLY):
    folder.mkdir()
    WRITERS[form](folder / f"train.{form}", rows(7, 0))
    WRITERS[form](folder / f"test.{form}", without(rows(4, 7), lacking))
    return {**FIELDS, "data_path": str(folder)}


def arrays(split):
    inputs, labels = next(split.evaluation_batches(100).as_numpy_iterator())
    return {**inputs, "click": labels}


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", WRITERS)
def test_the_other_columns_of_the_test_part_are_read(tmp_path, form, streaming):
    whole = open_data(log(tmp_path / "whole", form, ()) | {"streaming": streaming})
    data = open_data(log(tmp_path / "less", form) | {"streaming": streaming})
    assert (whole.card.test_lacks, set(data.card.test_lacks)) == ((), set(ONLY))
    assert data.card.moments == whole.card.moments and data.card.dtypes == whole.card.dtypes
    for part, names in (("train", ()), ("test", ONLY)):
        own, expected = arrays(getattr(data, part)), arrays(getattr(whole, part))
        assert set(own) == set(expected) - set(names)
        for name, array in own.items():
            assert array.dtype == expected[name].dtype
            np.testing.assert_array_equal(array, expected[name])
    np.testing.assert_array_equal(arrays(data.test)["item"], np.arange(17, 21))
    np.testing.assert_array_equal(arrays(data.train)["dwell"], 3.25 * np.arange(7))


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", WRITERS)
def test_a_test_part_that_lacks_only_some_of_them_is_refused(tmp_path, form, streaming):
    fields = log(tmp_path / "log", form, ("reason",)) | {"streaming": streaming}
    with pytest.raises(DataUnavailableError, match="'reason'"):
        open_data(fields)


@pytest.mark.parametrize("form", WRITERS)
def test_a_test_part_that_lacks_a_column_of_the_light_net_is_refused(tmp_path, form):
    with pytest.raises(DataUnavailableError, match="'price'"):
        open_data(log(tmp_path / "log", form, ("price", *ONLY)))
    fields = log(tmp_path / "other", form) | {"booster_only": ()}
    with pytest.raises(DataUnavailableError, match=r"'dwell'|'reason'"):
        open_data(fields)


def test_a_booster_alone_needs_them(tmp_path):
    changes = {**log(tmp_path / "log", "csv"), "batch_size": 3, "request_columns": ()}
    config = {**bundled.load("clicks", "booster"), **changes}
    with pytest.raises(ConfigError, match=r"method: got booster with a test part that lacks"):
        options.check(config)
    options.check({**config, "validation_examples": 2, "evaluate_test": False})
    options.check({**config, "method": "light"})
