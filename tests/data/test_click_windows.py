"""Windows of streamed click logs: how they are joined, and when their memory is released."""

import gc
import weakref

import numpy as np
import pyarrow as pa
import pytest

from rocket_tf.data import open_data
from rocket_tf.data.clicks import made_up, windows
from rocket_tf.data.clicks.lists import Lists
from rocket_tf.data.clicks.streamed import StreamedClicks

TEXTS = (["é", "", "b" * 9], [], ["c" * 500, "query 1"] * 9, ["d"])


def lists_of(rows, flat):
    lengths = np.array([len(row) for row in rows], np.int64)
    return Lists(flat([v for row in rows for v in row]), np.cumsum(lengths) - lengths, lengths, -1)


def rows_of(lists):
    values = lists.values.to_pylist() if isinstance(lists.values, pa.Array) else list(lists.values)
    bounds = zip(lists.starts, lists.lengths, strict=True)
    return [values[start : start + length] for start, length in bounds]


def join(columns, rows=None):
    """Joins the pieces of one column."""
    rows = rows or sum(map(len, columns))
    return windows.joined(({"x": column} for column in columns), rows)["x"]


class TestJoined:
    @pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
    @pytest.mark.parametrize("shape", [(), (3,)])
    def test_arrays(self, dtype, shape):
        pieces = [np.random.default_rng(n).random((n, *shape)).astype(dtype) for n in (4, 0, 9)]
        found = join(pieces)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.concatenate(pieces))

    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
    @pytest.mark.parametrize("first", range(4))
    def test_texts(self, kind, first):
        """The pieces are slices of larger arrays, and can be longer than the first one suggests."""
        texts = [*TEXTS[first:], *TEXTS[:first]]
        found = join([pa.array(["zz", *own, "zz"], kind)[1:-1] for own in texts], rows=22)
        assert found.type == pa.large_string() and found.null_count == 0
        assert found.to_pylist() == [text for own in texts for text in own]
        found.validate(full=True)

    @pytest.mark.parametrize(
        "flat",
        [
            lambda values: np.array(values, np.int64),
            lambda values: pa.array(map(str, values), pa.large_string()),
        ],
    )
    def test_lists(self, flat):
        pieces = ([[], [5]], [[1, 2, 3], []], [], [list(range(400)), [7]])
        found = join([lists_of(rows, flat) for rows in pieces], rows=6)
        expected = [rows_of(lists_of([row], flat))[0] for rows in pieces for row in rows]
        assert rows_of(found) == expected and found.padding == -1

    def test_pieces_are_not_kept(self):
        """Each piece is released before the next one, so rows are not in memory twice."""
        alive = []

        def pieces():
            for number in range(5):
                assert not any(each() is not None for each in alive)
                array = np.full(3, number)
                alive.append(weakref.ref(array))
                yield {"x": array}
                del array

        assert windows.joined(pieces(), 15)["x"].sum() == 30

    def test_pieces_that_do_not_fit_together(self):
        with pytest.raises(TypeError, match="Cannot cast"):
            join([np.zeros(2, np.int64), np.zeros(2)])
        with pytest.raises(ValueError, match="1 texts are missing"):
            join([pa.array(["a"]), pa.array(["b", None])])


@pytest.fixture
def mapped(monkeypatch):
    """A list to which each mapped array is added."""
    arrays, own = [], windows._mapped

    def remember(*arguments):
        arrays.append(own(*arguments))
        return arrays[-1]

    monkeypatch.setattr(windows, "_mapped", remember)
    return arrays


@pytest.mark.parametrize("view", [lambda found: found[1:2], lambda found: pa.py_buffer(found)])
def test_memory_is_unmapped_once_nothing_refers_to_it(mapped, view):
    left = view(join([np.arange(5), np.arange(3)]))
    memory = mapped.pop()
    while isinstance(memory, np.ndarray):
        memory = memory.base
    memory = weakref.ref(memory.obj if isinstance(memory, memoryview) else memory)
    gc.collect()
    assert memory() is not None and bytes(left)[:1] in (b"\0", b"\1")
    del left
    gc.collect()
    assert memory() is None


@pytest.mark.parametrize("replicas", [1, 2])
def test_batches_are_not_views_of_windows(mapped, monkeypatch, tmp_path, replicas):
    """Dropped windows are overwritten, while batches are held and read ahead."""
    made_up.write(tmp_path, 700, seed=1, rows_in_group=60, test_rows=50)
    fields = {
        "dataset": "click_log",
        "data_path": str(tmp_path),
        "category_columns": ("user", "item", "query"),
        "number_columns": ("price",),
        "history_column": "history",
        "shuffle_row_groups": 2,
    }
    in_memory, streamed = (
        open_data({**fields, "streaming": streaming}).train for streaming in ("never", "always")
    )
    of_windows, load = [], StreamedClicks.load_window

    def overwrite_dropped(split, numbers):
        for arrays in of_windows[:-1]:  # all but the one before, which is in use
            for array in arrays:
                array.view(np.uint8)[...] = 0x7A
        columns = load(split, numbers)
        of_windows.append(list(mapped))
        mapped.clear()
        return columns

    monkeypatch.setattr(StreamedClicks, "load_window", overwrite_dropped)
    expected, found = (
        list(split.training_batches(37, 2, 3, replicas=replicas)) for split in (in_memory, streamed)
    )
    assert len(of_windows) == 12 and len(expected) == len(found)
    for (inputs, labels), (others, other_labels) in zip(expected, found, strict=True):
        np.testing.assert_array_equal(labels, other_labels)
        for name, values in inputs.items():
            np.testing.assert_array_equal(values, others[name], err_msg=name)
