"""Click logs in Parquet, in memory and streamed: batches, parts and mistakes."""

import datetime
import itertools
import os

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf.commands import convert_clicks, make_clicks
from rocket_tf.data import click_dataset, open_data
from rocket_tf.data.clicks import scan
from rocket_tf.data.clicks.order import WindowedOrder
from rocket_tf.data.clicks.simulated import simulate
from rocket_tf.data.pipeline import shuffled
from rocket_tf.errors import DamagedDataError, DataUnavailableError

SIZES = (170, 1, 64, 233, 90, 5, 337)  # the rows of each row group, over two files
FIELDS = {
    "dataset": "click_log",
    "category_columns": ("user", "item", "device"),
    "number_columns": ("price",),
    "history_column": "history",
    "shuffle_row_groups": 3,
}


def table_of(part, more=None):
    columns = {"click": part.labels, **part.inputs, **(more or {})}
    history = [[item for item in row if item >= 0] for row in columns["history"].tolist()]
    columns["history"] = pa.array(history, pa.list_(pa.int64()))
    return pa.table({name: pa.array(column) for name, column in columns.items()})


def write(path, table, sizes=(1000,)):
    path.parent.mkdir(parents=True, exist_ok=True)
    start = 0
    with pq.ParquetWriter(path, table.schema) as writer:
        for size in sizes:
            writer.write_table(table.slice(start, size), row_group_size=size)
            start += size


@pytest.fixture(scope="module")
def clicks():
    return simulate(examples=1000, users=40, items=30)[0]


@pytest.fixture(scope="module")
def log(clicks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    train = table_of(clicks.train, {"row": np.arange(900)})
    write(folder / "train-0.parquet", train, SIZES[:4])
    write(folder / "train-1.parquet", train.slice(468), SIZES[4:])
    write(folder / "test.parquet", table_of(clicks.test, {"row": np.arange(100)}), (33, 67))
    return folder


def opened(folder, **fields):
    return open_data({**FIELDS, "data_path": str(folder), **fields})


def batches(split, batch_size=96, epochs=2, seed=7, **more):
    return list(split.training_batches(batch_size, epochs, seed, **more).as_numpy_iterator())


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for (inputs, labels), (others, other_labels) in zip(first, second, strict=True):
        np.testing.assert_array_equal(labels, other_labels)
        assert set(inputs) == set(others)
        for name, array in inputs.items():
            assert array.dtype == others[name].dtype, name
            np.testing.assert_array_equal(array, others[name], err_msg=name)


class TestOrder:
    def test_each_row_comes_once_an_epoch_and_within_its_window(self):
        order = WindowedOrder(SIZES, 3)
        starts = np.cumsum((0, *SIZES))
        seen = []
        for epoch in range(3):
            own = order.of_epoch(11, tf.constant(epoch, tf.int64))
            bounds = [0, 100, 100, 101, 555, 900]  # one part is empty
            rows = [own.rows(*own.places(*each)) for each in itertools.pairwise(bounds)]
            rows = np.concatenate(rows)
            assert sorted(rows) == list(range(900))
            groups = own.groups.numpy()
            assert sorted(groups) == list(range(7))
            begin = 0
            for window in (groups[:3], groups[3:6], groups[6:]):
                expected = np.concatenate([np.arange(starts[g], starts[g + 1]) for g in window])
                part = rows[begin : begin + len(expected)]
                assert set(part) == set(expected)
                # Rows are mixed: neighbours come from several row groups of the window.
                if len(window) > 1:
                    assert len(set(np.searchsorted(starts, part[:60], side="right"))) > 1
                begin += len(expected)
            seen.append(rows)
        assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])

    def test_windows_and_row_groups_have_their_own_permutations(self):
        """This holds for windows of equal size, even with as many rows as there are row groups."""
        order = WindowedOrder([1] * 64, 8).of_epoch(0, tf.constant(0, tf.int64))
        windows, offsets = order.places(0, 64)
        np.testing.assert_array_equal(windows, np.repeat(np.arange(8), 8))
        orders = {tuple(row) for row in offsets.numpy().reshape(8, 8)}
        assert len(orders) == 8
        whole = WindowedOrder([1] * 64, 64).of_epoch(0, tf.constant(0, tf.int64))
        assert not np.array_equal(order.groups, whole.places(0, 64)[1])

    def test_a_single_window_has_the_order_of_examples_in_memory(self):
        order = WindowedOrder(SIZES, 7).of_epoch(5, tf.constant(2, tf.int64))
        rows = order.rows(*order.places(17, 400))
        bounds = (tf.constant(place, tf.int64) for place in (17, 400, 900))
        expected = shuffled(*bounds, 5, tf.constant(2, tf.int64))
        np.testing.assert_array_equal(rows, expected)

    def test_without_shuffling_rows_stay_in_order(self):
        order = WindowedOrder(SIZES, 3, shuffle=False).of_epoch(5, tf.constant(2, tf.int64))
        np.testing.assert_array_equal(order.rows(*order.places(3, 900)), np.arange(3, 900))


@pytest.fixture(scope="module")
def in_memory(log):
    return opened(log, streaming="never", number_columns=("price", "row"))


@pytest.fixture(scope="module")
def streamed(log):
    return opened(log, streaming="always", number_columns=("price", "row"))


class TestBatches:
    def test_values_are_read_as_written(self, in_memory, clicks):
        for part, split in ((clicks.train, in_memory.train), (clicks.test, in_memory.test)):
            np.testing.assert_array_equal(split.labels, part.labels)
            for name in ("user", "item", "device", "price", "history"):
                np.testing.assert_array_equal(split.inputs[name], part.inputs[name], err_msg=name)
        assert in_memory.card.dtypes["device"] == "string"
        price = clicks.train.inputs["price"].astype(np.float64)
        assert in_memory.card.moments["price"] == pytest.approx((price.mean(), price.var()), 1e-13)

    def test_streamed_batches_equal_those_in_memory(self, in_memory, streamed):
        every = batches(streamed.train)
        assert_same(batches(in_memory.train), every)
        assert [len(labels) for _, labels in every[8:11]] == [96, 36, 96]
        for epoch in (every[:10], every[10:]):
            rows = np.concatenate([inputs["row"] for inputs, _ in epoch])
            assert sorted(rows) == list(range(900)) and list(rows) != sorted(rows)
        whole = [split.test.evaluation_batches(40) for split in (in_memory, streamed)]
        assert_same(*(list(each.as_numpy_iterator()) for each in whole))

    def test_resuming_at_any_step_gives_the_remaining_batches(self, streamed):
        every = batches(streamed.train)
        for epoch, step in ((0, 1), (0, 9), (1, 0), (1, 6)):
            rest = batches(streamed.train, first_epoch=epoch, first_step=step)
            assert_same(every[epoch * 10 + step :], rest)

    @pytest.mark.parametrize("replicas, workers", [(2, 1), (3, 1), (2, 2)])
    def test_replicas_and_workers_share_the_examples_of_one_device(
        self, streamed, replicas, workers
    ):
        alone = batches(streamed.train, batch_size=100)
        each = replicas // workers
        parts = [
            batches(streamed.train, 100, replicas=replicas, worker=worker, workers=workers)
            for worker in range(workers)
        ]
        for step, (inputs, _) in enumerate(alone):
            own = [part for w in parts for part in w[step * each : (step + 1) * each]]
            rows = np.concatenate([inputs["row"] for inputs, _ in own])
            np.testing.assert_array_equal(rows, inputs["row"])

    def test_time_order(self, log):
        for streaming in ("always", "never"):
            data = opened(log, streaming=streaming, shuffle=False, number_columns=("row",))
            rows = np.concatenate([inputs["row"] for inputs, _ in batches(data.train, epochs=1)])
            np.testing.assert_array_equal(rows, np.arange(900))

    def test_held_out_and_first_examples(self, log):
        for streaming in ("always", "never"):
            data = opened(
                log,
                streaming=streaming,
                train_examples=500,
                validation_examples=77,
                number_columns=("row",),
            )
            (held_out, _), *_ = data.validation.evaluation_batches(100).as_numpy_iterator()
            np.testing.assert_array_equal(held_out["row"], np.arange(423, 500))
            rows = np.concatenate([inputs["row"] for inputs, _ in batches(data.train, epochs=1)])
            assert sorted(rows) == list(range(423))

    def test_large_logs_are_streamed_by_default(self, log, monkeypatch):
        assert hasattr(opened(log).train, "inputs")
        monkeypatch.setattr("rocket_tf.data.streamed._BYTES_IN_MEMORY", 1000)
        assert not hasattr(opened(log).train, "inputs")

    def test_texts_in_lists_and_items(self, tmp_path, clicks):
        table = table_of(clicks.train)
        texts = pa.array([[f"i{x}" for x in row] for row in table["history"].to_pylist()])
        items = pa.array([f"i{x}" for x in table["item"].to_pylist()]).dictionary_encode()
        table = table.set_column(table.schema.get_field_index("history"), "history", texts)
        table = table.set_column(table.schema.get_field_index("item"), "item", items)
        write(tmp_path / "train.parquet", table, SIZES[:5])
        write(tmp_path / "test.parquet", table, (50,))
        streamed, kept = (opened(tmp_path, streaming=how) for how in ("always", "never"))
        assert_same(batches(kept.train), batches(streamed.train))
        expected = [[f"i{x}" if x >= 0 else "" for x in r] for r in clicks.train.inputs["history"]]
        assert kept.train.inputs["history"][:9].tolist() == expected[:9]


class TestCsv:
    def test_converted_to_parquet_it_gives_the_same_batches(self, log, tmp_path, monkeypatch):
        monkeypatch.setattr("rocket_tf.data.clicks.conversion.ROWS", 128)
        for name in ("train-0", "train-1", "test"):
            rows = pq.read_table(log / f"{name}.parquet").to_pylist()
            lines = [",".join(rows[0])]
            for row in rows:
                row["history"] = " ".join(map(str, row["history"]))
                lines.append(",".join(map(str, row.values())))
            (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        kept = opened(tmp_path, streaming="never")
        streamed = opened(tmp_path, streaming="always", shuffle_row_groups=100)
        assert_same(batches(kept.train), batches(streamed.train))
        assert kept.card.moments == streamed.card.moments
        assert kept.card.dtypes == streamed.card.dtypes
        (folder,) = (tmp_path / ".rocket_tf").iterdir()
        file = pq.ParquetFile(folder / "train" / "00000.parquet")
        assert [file.metadata.row_group(i).num_rows for i in range(4)] == [128, 128, 128, 84]
        before = os.stat(folder).st_mtime_ns
        opened(tmp_path, streaming="always")
        assert os.stat(folder).st_mtime_ns == before

    def test_a_mistake_is_reported_with_its_line(self, tmp_path):
        (tmp_path / "train.csv").write_text("click,user,item\n1,a,2\n0,b,3\n7,c,4\n")
        (tmp_path / "test.csv").write_text("click,user,item\n1,a,2\n")
        fields = {"dataset": "click_log", "data_path": str(tmp_path), "streaming": "always"}
        with pytest.raises(DamagedDataError, match=r"train.csv: line 4: label '7' in 'click'"):
            open_data(fields)
        assert not list((tmp_path / ".rocket_tf").iterdir())


class TestTools:
    def test_convert_clicks(self, tmp_path, capsys):
        (tmp_path / "logs").mkdir()
        for part, rows in (("train", "1,a,2,7 2\n0,b,3,\n"), ("test", "0,a,2,3\n")):
            (tmp_path / "logs" / f"{part}.csv").write_text("click,user,item,seen\n" + rows)
        source, target = str(tmp_path / "logs"), str(tmp_path / "parquet")
        settings = ["--set=history_column=seen"]
        assert convert_clicks.main([source, target, *settings]) == 0
        assert "3 rows in Parquet" in capsys.readouterr().out
        table = pq.read_table(tmp_path / "parquet" / "train" / "00000.parquet")
        assert table.to_pydict() == {
            "click": [1, 0],
            "user": ["a", "b"],
            "item": [2, 3],
            "seen": [[7, 2], []],
        }
        fields = {"category_columns": ("item",), "number_columns": (), "history_column": "seen"}
        assert opened(target, **fields).train.inputs["seen"][0, :3].tolist() == [7, 2, -1]
        assert convert_clicks.main([source, target, *settings]) == 2
        assert f"{target}: is there already" in capsys.readouterr().err
        assert convert_clicks.main([target, source + "2", *settings]) == 2
        assert "is in Parquet already" in capsys.readouterr().err

    def test_make_clicks(self, tmp_path, capsys):
        for rows in (250, 330):
            folder = str(tmp_path / str(rows))
            assert make_clicks.main([folder, f"--rows={rows}", "--rows_in_group=100"]) == 0
        short, long = (pq.read_table(tmp_path / n / "train.parquet") for n in ("250", "330"))
        assert (len(short), len(long)) == (250, 330)
        assert short.slice(0, 200).equals(long.slice(0, 200))
        assert not short.slice(0, 100).equals(short.slice(100, 100))
        assert len(pq.read_table(tmp_path / "330" / "test.parquet")) == 33
        assert 0.05 < np.mean(long["click"].to_numpy()) < 0.5
        assert make_clicks.main([str(tmp_path / "x"), "--rows=0"]) == 2
        assert "--rows: got 0" in capsys.readouterr().err


class TestTestPart:
    @pytest.fixture
    def by_date(self, tmp_path, clicks):
        days = [datetime.date(2024, 1, 1) + datetime.timedelta(i // 100) for i in range(900)]
        table = table_of(clicks.train, {"row": np.arange(900), "day": pa.array(days)})
        write(tmp_path / "log.parquet", table, (250, 250, 400))
        return tmp_path

    @pytest.mark.parametrize("streaming", ["always", "never"])
    def test_a_range_of_dates(self, by_date, streaming, capsys):
        data = opened(
            by_date,
            streaming=streaming,
            number_columns=("row",),
            test_column="day",
            test_from="2024-01-06",
            test_until="2024-01-08",
        )
        assert (data.card.train_examples, data.card.test_examples) == (500, 200)
        (test, _), *_ = data.test.evaluation_batches(300).as_numpy_iterator()
        np.testing.assert_array_equal(test["row"], np.arange(500, 700))
        rows = np.concatenate([inputs["row"] for inputs, _ in batches(data.train, epochs=1)])
        assert sorted(rows) == list(range(500))
        assert "200 rows (22.2%) from 2024-01-08 on are in no part" in capsys.readouterr().out

    def test_the_last_fraction(self, by_date):
        data = opened(by_date, streaming="always", number_columns=("row",), test_fraction=0.3)
        (test, _), *_ = data.test.evaluation_batches(300).as_numpy_iterator()
        np.testing.assert_array_equal(test["row"], np.arange(630, 900))
        assert data.train.examples == 630

    def test_folders_by_date_and_another_path(self, tmp_path, clicks):
        table = table_of(clicks.train, {"row": np.arange(900)})
        for number, date in enumerate(("2024-01-02", "2024-01-01", "2024-01-03")):
            part = table.slice(number * 300, 300)
            write(tmp_path / "log" / f"date={date}" / "part-0.parquet", part, (200, 100))
        fields = {"streaming": "always", "number_columns": ("row",)}
        data = opened(tmp_path / "log", test_column="date", test_from="2024-01-03", **fields)
        (test, _), *_ = data.test.evaluation_batches(300).as_numpy_iterator()
        np.testing.assert_array_equal(test["row"], np.arange(600, 900))
        other = tmp_path / "other" / "rows.parquet"
        write(other, table, (10,))
        data = opened(tmp_path / "log", test_path=str(other), **fields)
        assert (data.train.examples, data.test.examples) == (900, 10)
        (first, _), *_ = data.train.evaluation_batches(900).as_numpy_iterator()
        # Files are read in the order of their paths, and so of dates.
        assert first["row"][:2].tolist() == [300, 301]

    def test_a_value_that_the_column_cannot_have(self, by_date):
        with pytest.raises(DamagedDataError, match="'day' cannot say which rows are the test part"):
            opened(by_date, test_column="day", test_from="yesterday")

    def test_one_file_without_a_test_part(self, by_date):
        with pytest.raises(DataUnavailableError, match=r"is one file, .*config.test_path, test_fr"):
            opened(by_date / "log.parquet")


class TestFromPython:
    def test_batches_equal_those_of_a_run(self, log, streamed):
        fields = {**FIELDS, "number_columns": ("price", "row"), "streaming": "always"}
        del fields["dataset"]
        train = click_dataset(log, batch_size=96, epochs=2, seed=7, **fields)
        assert train.cardinality().numpy() == 20
        assert_same(list(train.as_numpy_iterator()), batches(streamed.train))
        rest = click_dataset(
            log, batch_size=96, epochs=2, seed=7, first_epoch=1, first_step=4, **fields
        )
        assert rest.cardinality().numpy() == len(list(rest)) == 6
        test = click_dataset(log, "test", batch_size=96, **fields)
        assert [len(labels) for _, labels in test] == [96, 4]

    def test_mistakes(self, log):
        with pytest.raises(TypeError, match="got 'categories', expected fields of a click log"):
            click_dataset(log, batch_size=9, categories=("user",))
        with pytest.raises(ValueError, match="Received: part='all'"):
            click_dataset(log, "all", batch_size=9)


class TestRemote:
    def test_parquet_at_a_url_gives_the_same_batches(self, log, streamed):
        files = fsspec.filesystem("memory")
        for path in log.glob("*.parquet"):
            files.pipe_file(f"/bucket/log/{path.name}", path.read_bytes())
        data = opened("memory://bucket/log", streaming="always", number_columns=("price", "row"))
        assert data.fingerprint == streamed.fingerprint
        assert_same(batches(data.train), batches(streamed.train))
        one = opened("memory://bucket/log/train-0.parquet", test_fraction=0.1)
        assert one.train.examples + one.test.examples == 468

    def test_urls_that_cannot_be_read(self):
        files = fsspec.filesystem("memory")
        for part in ("train", "test"):
            files.pipe_file(f"/csv/{part}.csv", b"click,user,item\n1,2,3\n")
        for path, message in (
            ("memory://csv", "only Parquet is read from URLs, and this is CSV"),
            ("memory://nothing", "memory://nothing: no such folder"),
            ("nonsense://bucket", "nonsense://bucket: cannot be opened: ValueError"),
        ):
            with pytest.raises(DataUnavailableError, match=message) as caught:
                opened(path)
            assert len(str(caught.value).splitlines()) == 1


class TestFingerprint:
    def test_moved_data_is_recognized_and_not_read_again(self, log, tmp_path, monkeypatch):
        first = opened(log, streaming="always")
        moved = tmp_path / "elsewhere"
        moved.mkdir()
        for path in log.glob("*.parquet"):
            (moved / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(scan, "scan", lambda *_: pytest.fail("read again"))
        second = opened(moved, streaming="never")
        assert second.fingerprint == first.fingerprint
        assert second.card == first.card

    def test_another_value_changes_the_fingerprint(self, tmp_path, clicks):
        found = []
        for price in (1.0, 2.0):
            table = table_of(clicks.test)
            prices = pa.array(np.full(100, price, np.float32))
            table = table.set_column(table.schema.get_field_index("price"), "price", prices)
            for part in ("train", "test"):
                write(tmp_path / f"{part}.parquet", table)
            found.append(opened(tmp_path).fingerprint)
        assert found[0] != found[1]


class TestMistakes:
    """Each message is one line and names the file."""

    @pytest.fixture
    def make(self, tmp_path, clicks):
        def write_log(change=lambda table: table):
            table = table_of(clicks.test)
            write(tmp_path / "test.parquet", table)
            path = tmp_path / "train.parquet"
            write(path, change(table), (40, 60))
            return path

        return write_log

    def refused(self, folder, match, **fields):
        with pytest.raises(DataUnavailableError, match=match) as caught:
            opened(folder, **fields)
        assert len(str(caught.value).splitlines()) == 1

    @staticmethod
    def with_column(name, values):
        def change(table):
            place = table.schema.get_field_index(name)
            return table.set_column(place, name, pa.array(values))

        return change

    @pytest.mark.parametrize(
        "name, values, message",
        [
            ("click", [0] * 57 + [2] + [0] * 42, "row group 2, row 18: label 2 in 'click'"),
            ("click", [None] + [0] * 99, "row group 1, row 1: label None in 'click'"),
            ("price", [1.0] * 99 + [np.inf], "row group 2, row 60: inf in 'price'; expected a fin"),
            ("user", [3] * 41 + [-1] + [3] * 58, "row group 2, row 2: -1 in 'user'"),
            ("user", [3] * 41 + [None] + [3] * 58, "row group 2, row 2: None in 'user'"),
            ("user", [17.0] * 100, "has 'user' as double, expected integers or strings"),
            ("device", [b"\xff"] * 100, "has 'device' as binary, expected integers or strings"),
            ("history", [["a"]] * 100, "has 'history' as list<.*string>, expected lists of integ"),
            ("history", [[]] * 100, "'history' is empty in all training|has 'history' as list<"),
            ("history", ["1|2"] * 100, "expected whole numbers, as 'item'|has '|'"),
            ("price", ["1"] * 100, "has 'price' as string, expected integers or floats"),
        ],
    )
    def test_of_values_and_types(self, make, tmp_path, name, values, message):
        path = make(self.with_column(name, values))
        test = table_of(simulate(examples=1000, users=40, items=30)[0].test)
        if test[name].type != pa.array(values).type:
            test = self.with_column(name, values)(test)
            write(tmp_path / "test.parquet", test)
        self.refused(tmp_path, f"{path}.*({message})" if "empty" not in message else message)

    def test_a_column_that_is_missing(self, make, tmp_path):
        path = make()
        self.refused(tmp_path, f"{path} has no column 'cost'.*'price'", number_columns=("cost",))

    def test_files_that_differ_in_a_type(self, make, tmp_path):
        path = make(self.with_column("user", [f"{n}" for n in range(100)]))
        self.refused(tmp_path, f"test.parquet: has 'user' as int64, but {path} as string")

    def test_a_file_without_bytes_and_one_without_rows(self, make, tmp_path, clicks, capsys):
        make()
        write(tmp_path / "train-1.parquet", table_of(clicks.test).slice(0, 0), (1,))
        assert opened(tmp_path).card.train_examples == 100
        assert "train-1.parquet: has no rows" in capsys.readouterr().out
        (tmp_path / "train-1.parquet").write_bytes(b"")
        self.refused(tmp_path, "train-1.parquet: cannot be read as a Parquet file")

    def test_a_damaged_row_group(self, make, tmp_path):
        path = make()
        file = pq.ParquetFile(path)
        offset = file.metadata.row_group(1).column(2).data_page_offset
        content = bytearray(path.read_bytes())
        content[offset : offset + 12] = b"\xff" * 12
        path.write_bytes(content)
        self.refused(tmp_path, f"{path}: row group 2 cannot be read")

    @pytest.mark.parametrize("content", [None, "other"])
    def test_a_file_that_vanishes_or_changes_while_it_is_read(
        self, make, tmp_path, clicks, content
    ):
        path = make()
        data = opened(tmp_path, streaming="always")
        path.unlink()
        message = "cannot be read: FileNotFoundError"
        if content:
            write(path, table_of(clicks.test), (50, 50))
            message = "has changed since it was opened"
        with pytest.raises(tf.errors.OpError, match=f"DamagedDataError: {path}: .*{message}"):
            batches(data.train, 40, 1)

    @pytest.mark.parametrize(
        "name", ["train-2.csv.zst", "train-2.tsv", "train-2.parquet.gz", "Train-2.orc"]
    )
    def test_files_whose_names_are_almost_right_are_refused(self, make, tmp_path, name):
        make()
        (tmp_path / name).write_text("x")
        self.refused(tmp_path, f"{name}: would be skipped because of its name")

    def test_files_with_other_names_are_listed(self, make, tmp_path, capsys):
        path = make()
        (tmp_path / "part-7.parquet").write_bytes(path.read_bytes())
        opened(tmp_path)
        assert "not read, being neither train* nor test*: part-7.parquet" in capsys.readouterr().out


class TestNumbers:
    @pytest.mark.parametrize(
        "make, dtype",
        [
            (lambda n: n / 7, "float32"),
            (lambda n: 3.0 + n * 1e-9, "float64"),
            (lambda n: (n - 50) * 1e18, "float64"),
            (lambda n: 1_700_000_000 + n, "int64"),
            (lambda n: 2**60 + 2 * n, "int64"),
            (lambda n: 1_700_000_000.5 + n, "float64"),
            (lambda n: n * 0 + 4, "float32"),
        ],
    )
    def test_that_float32_would_round_reach_nets_exactly(self, tmp_path, make, dtype):
        from rocket_tf.networks.number_layers import CentredNumber

        numbers = make(np.arange(100))
        table = pa.table({"click": np.arange(100) % 2, "user": np.arange(100), "x": numbers})
        for part in ("train", "test"):
            write(tmp_path / f"{part}.parquet", table, (30, 70))
        fields = {"category_columns": ("user",), "number_columns": ("x",), "history_column": ""}
        data = opened(tmp_path, **fields)
        assert data.card.dtypes["x"] == dtype
        mean, variance = data.card.moments["x"]
        exact = np.array([float(x - numbers[0]) for x in numbers.tolist()])
        if dtype != "float32":
            np.testing.assert_array_equal(data.train.inputs["x"], numbers)
            scaled = CentredNumber(mean, variance)(tf.constant(data.train.inputs["x"]))
            assert scaled.dtype == tf.float32
            expected = (exact - exact.mean()) / exact.std()
            np.testing.assert_allclose(scaled[:, 0], expected, atol=3e-5)
