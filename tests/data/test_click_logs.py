"""The user's click logs in CSV and TFRecord: their values, and messages that locate mistakes."""

import csv
import gzip
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.data.clicks import folder as click_folder
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.data.clicks.simulated import COLUMNS as SIMULATED
from rocket_tf.data.clicks.simulated import simulate
from rocket_tf.errors import DamagedDataError, DataUnavailableError

COLUMNS = Columns(
    categories=("item", "device"), numbers=("price",), history="seen", history_length=3
)
TRAIN = [
    {"click": 1, "user": 4, "item": 7, "device": "phone", "price": 1.5, "seen": [5, 6, 7, 8]},
    {"click": 0, "user": 5, "item": 9, "device": "Über, alles", "price": -2.0, "seen": []},
    {"click": 0, "user": 4, "item": 7, "device": "phone", "price": 0.25, "seen": [7]},
]
TEST = [{"click": 1, "user": 0, "item": 2**62, "device": "7", "price": 1e3, "seen": [3, 9]}]


def write_csv(path, rows, names=None):
    names = names or list(rows[0])
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            values = [row[name] for name in names]
            writer.writerow(
                [
                    " ".join(map(str, value)) if isinstance(value, list) else value
                    for value in values
                ]
            )


def to_record(row):
    def feature(value):
        values = value if isinstance(value, list) else [value]
        if not values:
            return tf.train.Feature()
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if isinstance(values[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        values = [each.encode() if isinstance(each, str) else each for each in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {name: feature(value) for name, value in row.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_records(path, rows):
    compression = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), compression) as file:
        for row in rows:
            file.write(row if isinstance(row, bytes) else to_record(row))


WRITERS = {"csv": write_csv, "tfrecord": write_records}


@pytest.fixture(params=["csv", "tfrecord"])
def form(request):
    return request.param


@pytest.fixture
def make(tmp_path, form):
    """Writes both parts of a log in one of the forms and returns the path of the training file."""

    def write(train=TRAIN, test=TEST):
        WRITERS[form](tmp_path / f"test.{form}", test)
        path = tmp_path / f"train.{form}"
        WRITERS[form](path, train)
        return path

    return write


def read(folder, columns=COLUMNS):
    return click_folder.read(folder, columns, tell=lambda line: None)


def changed(place=1, **values):
    """The training rows with changed values in one of them."""
    return [{**row, **values} if number == place else row for number, row in enumerate(TRAIN)]


def assert_refused(folder, *fragment, error=DamagedDataError, columns=COLUMNS):
    with pytest.raises(DataUnavailableError) as caught:
        read(folder, columns)
    assert type(caught.value) is error
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for text in fragment:
        assert text in message, message


def place(form, row):
    """How messages refer to a row, counted from 0."""
    return f"line {row + 2}" if form == "csv" else f"record {row + 1}"


def assert_same(first, second):
    for part, other in ((first.train, second.train), (first.test, second.test)):
        assert list(part.inputs) == list(other.inputs)
        for name, array in part.inputs.items():
            assert array.dtype == other.inputs[name].dtype, name
            np.testing.assert_array_equal(array, other.inputs[name], err_msg=name)
        np.testing.assert_array_equal(part.labels, other.labels)


class TestValues:
    def test_are_read_as_written(self, make, tmp_path):
        make()
        lines = []
        data = click_folder.read(str(tmp_path), COLUMNS, tell=lines.append)
        expected = {
            "user": [4, 5, 4],
            "item": [7, 9, 7],
            "device": ["phone", "Über, alles", "phone"],
            "price": [1.5, -2.0, 0.25],
            "seen": [[5, 6, 7], [-1, -1, -1], [7, -1, -1]],
        }
        assert {name: array.tolist() for name, array in data.train.inputs.items()} == expected
        dtypes = {name: array.dtype for name, array in data.train.inputs.items()}
        assert dtypes == {
            "user": np.int64,
            "item": np.int64,
            "device": object,
            "price": np.float32,
            "seen": np.int64,
        }
        assert data.train.labels.tolist() == [1, 0, 0] and data.train.labels.dtype == np.int64
        assert data.test.inputs["item"].tolist() == [2**62]
        assert data.test.inputs["device"].tolist() == ["7"]
        assert data.test.inputs["seen"].tolist() == [[3, 9, -1]]
        (line,) = lines
        assert line == (
            f"{tmp_path}: 3 training and 1 test examples, of which 33.3% and 100.0% are clicks"
        )

    def test_only_the_requested_columns_are_read(self, make, tmp_path):
        make()
        data = read(tmp_path, Columns(categories=("device",)))
        assert set(data.train.inputs) == {"user", "device"}

    @pytest.mark.parametrize("odd", ["b7", "007", "1.0", str(2**63)])
    def test_a_single_text_makes_a_category_a_string_in_both_parts(self, make, tmp_path, odd):
        as_text = [{**row, "item": str(row["item"]), "seen": ["5"]} for row in TRAIN]
        make(as_text, [{**TEST[0], "item": odd, "seen": [odd]}])
        data = read(tmp_path)
        assert data.train.inputs["item"].tolist() == ["7", "9", "7"]
        assert data.train.inputs["seen"].tolist() == [["5", "", ""]] * 3
        assert data.test.inputs["item"].tolist() == [odd]
        assert data.test.inputs["user"].dtype == np.int64

    def test_a_text_in_the_history_makes_items_strings(self, make, tmp_path):
        as_text = [{**row, "item": str(row["item"]), "seen": ["x", "5"]} for row in TRAIN]
        make(as_text, [{**TEST[0], "item": "8", "seen": []}])
        data = read(tmp_path)
        assert data.train.inputs["item"].tolist() == ["7", "9", "7"]
        assert data.test.inputs["seen"].tolist() == [["", "", ""]]

    def test_a_history_may_be_empty_in_all_test_examples(self, make, tmp_path):
        make(test=[{**TEST[0], "seen": []}])
        assert read(tmp_path).test.inputs["seen"].tolist() == [[-1, -1, -1]]

    def test_csv_and_tfrecord_of_one_log_are_equal(self, tmp_path):
        data, _ = simulate(examples=5000, users=40, items=30)
        for form, write in WRITERS.items():
            (tmp_path / form).mkdir()
            for name, part in (("train", data.train), ("test", data.test)):
                arrays = {"click": part.labels, **part.inputs}
                rows = [
                    dict(zip(arrays, values, strict=True))
                    for values in zip(*(array.tolist() for array in arrays.values()), strict=True)
                ]
                for row in rows:
                    row["history"] = [item for item in row["history"] if item >= 0]
                half = len(rows) // 2
                write(tmp_path / form / f"{name}-1.{form}", rows[:half])
                write(tmp_path / form / f"{name}-2.{form}", rows[half:])
        from_csv, from_records = (read(tmp_path / form, SIMULATED) for form in WRITERS)
        assert_same(from_csv, from_records)
        for name, array in data.train.inputs.items():
            np.testing.assert_array_equal(from_csv.train.inputs[name], array, err_msg=name)
        np.testing.assert_array_equal(from_csv.test.labels, data.test.labels)


class TestFiles:
    def test_are_read_in_the_order_of_their_names(self, tmp_path, form):
        for name, rows in (("train-b", TRAIN[1:]), ("train-a", TRAIN[:1]), ("test", TEST)):
            WRITERS[form](tmp_path / f"{name}.{form}", rows)
        assert read(tmp_path).train.inputs["user"].tolist() == [4, 5, 4]
        WRITERS[form](tmp_path / f"train-b.{form}", changed(2, price="x", seen=[3])[1:])
        place_of_second = "train-b.csv: line 3" if form == "csv" else "train-b.tfrecord: record 2"
        assert_refused(tmp_path, place_of_second)

    def test_without_examples_are_skipped_if_others_have_some(self, tmp_path, form, make):
        make()
        empty = tmp_path / f"train-0.{form}"
        write_csv(empty, [], list(TRAIN[0])) if form == "csv" else write_records(empty, [])
        assert len(read(tmp_path).train.labels) == 3

    def test_without_examples_at_all(self, tmp_path, form, make):
        path = make()
        write_csv(path, [], list(TRAIN[0])) if form == "csv" else write_records(path, [])
        assert_refused(tmp_path, f"{path}: no examples", error=DataUnavailableError)

    def test_no_such_folder(self, tmp_path):
        missing = tmp_path / "missing"
        assert_refused(missing, f"{missing}: no such folder", error=DataUnavailableError)

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_no_files_of_a_part(self, tmp_path, form, make, part):
        make()
        (tmp_path / f"{part}.{form}").rename(tmp_path / "other.txt")
        assert_refused(
            tmp_path, f"no files of {part} examples", "other.txt", error=DataUnavailableError
        )

    def test_of_both_forms(self, tmp_path):
        write_csv(tmp_path / "train.csv", TRAIN)
        write_records(tmp_path / "test.tfrecord", TEST)
        assert_refused(tmp_path, "both CSV and TFRecord files", error=DataUnavailableError)


class TestColumnsOfFiles:
    def test_a_missing_one_is_named_with_those_present(self, tmp_path, form, make):
        make([{"Item" if key == "item" else key: row[key] for key in row} for row in TRAIN])
        if form == "csv":
            (tmp_path / "test.csv").write_text((tmp_path / "train.csv").read_text())
        place_of_first = "line 1" if form == "csv" else "record 1"
        assert_refused(
            tmp_path,
            f"{place_of_first} has no column 'item'",
            "'Item'",
            "did you mean 'Item'?",
            error=DataUnavailableError,
        )

    def test_a_history_that_is_always_empty(self, tmp_path, form, make):
        path = make([{**row, "seen": []} for row in TRAIN])
        assert_refused(
            tmp_path, f"{path}: 'seen' is empty in all training", error=DataUnavailableError
        )


class TestBadValues:
    @pytest.mark.parametrize("label, shown", [(2, "2"), (-1, "-1"), (0.5, "0.5")])
    def test_labels_other_than_0_and_1(self, tmp_path, make, form, label, shown):
        path = make([{**row, "click": float(row["click"])} for row in changed(click=label)])
        assert_refused(tmp_path, f"{path}: {place(form, 1)}: label ", shown, "'click'")

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_are_not_finite(self, tmp_path, make, form, number):
        path = make(changed(price=number))
        shown = repr(str(number) if form == "csv" else number)
        assert_refused(tmp_path, f"{path}: {place(form, 1)}: {shown} in 'price'; expected a finite")

    @pytest.mark.parametrize("value", ["", "  "])
    def test_empty_categories(self, tmp_path, make, form, value):
        path = make(changed(2, device=value))
        assert_refused(
            tmp_path, f"{path}: {place(form, 2)}: {value!r} in 'device'; expected a value"
        )

    @pytest.mark.parametrize("column", ["user", "item"])
    def test_negative_integers(self, tmp_path, make, form, column):
        path = make(changed(2, **{column: -1}))
        shown = "'-1'" if form == "csv" else "-1"
        assert_refused(
            tmp_path, f"{path}: {place(form, 2)}: {shown} in {column!r}; expected a number"
        )

    def test_negative_integers_in_a_history(self, tmp_path, make, form):
        path = make(changed(2, seen=[4, -3]))
        shown = "'-3'" if form == "csv" else "-3"
        assert_refused(tmp_path, f"{path}: {place(form, 2)}: {shown} in 'seen'")

    def test_in_the_test_part_too(self, tmp_path, make, form):
        make(test=[*TEST, {**TEST[0], "click": 3}])
        assert_refused(tmp_path, f"{tmp_path / f'test.{form}'}: {place(form, 1)}: label ")


class TestCsv:
    @pytest.fixture
    def with_text(self, tmp_path):
        """Writes a text or bytes as the training file, and a test file with the same columns."""

        def write(text):
            path = tmp_path / "train.csv"
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            (tmp_path / "test.csv").write_text("click,user,item,note\n1,2,3,\n")
            return path

        return write

    columns = Columns(categories=("item",))

    @pytest.mark.parametrize(
        "line, fragment",
        [
            ("1,2", "line 3 has 2 values, expected the 4 that the header names"),
            ("1,2,3,4,5", "line 3 has 5 values, expected the 4"),
            (b"1,2,\xff,4,5", "line 3 has 5 values, expected the 4"),
            (",2,3,", "line 3: label '' in 'click'; expected 0 or 1"),
            ("yes,2,3,", "line 3: label 'yes' in 'click'; expected 0 or 1"),
            ("", "line 3: label '' in 'click'"),
            ("1,2,,", "line 3: '' in 'item'; expected a value that is not empty"),
            (b"1,2,\xff,", "line 3 cannot be read: CSV conversion error to string: invalid UTF8"),
            ('1,2,"3\n4",', "line 3: the value of 'item' goes on over several lines"),
            ('1,2,"3,', "line 3"),
        ],
    )
    def test_a_bad_line_is_reported_by_number(self, with_text, tmp_path, line, fragment):
        line = line.encode() if isinstance(line, str) else line
        path = with_text(b"click,user,item,note\n0,1,2,\n" + line + b"\n0,1,2,\n")
        assert_refused(tmp_path, f"{path}: {fragment}", columns=self.columns)

    def test_lines_are_counted_correctly_after_values_with_line_breaks(self, with_text, tmp_path):
        path = with_text('click,user,item,note\n0,1,2,"a\nb\nc"\n5,1,2,\n')
        assert_refused(tmp_path, f"{path}: line 5: label '5'", columns=self.columns)

    @pytest.mark.parametrize("number", ["cheap", "", "nan", "1e999", "1e39", "1,5", "0x1", " 1"])
    def test_values_that_are_not_finite_numbers(self, tmp_path, number):
        for name in ("train", "test"):
            write_csv(tmp_path / f"{name}.csv", changed(price=number))
        assert_refused(tmp_path, f"train.csv: line 3: {number!r} in 'price'; expected a finite")

    def test_numbers_may_be_written_in_many_ways(self, tmp_path):
        for name in ("train", "test"):
            rows = [
                {**TRAIN[0], "price": text} for text in ("1", "-2.", ".5", "+1E2", "0001", "2e-3")
            ]
            write_csv(tmp_path / f"{name}.csv", rows)
        prices = read(tmp_path).train.inputs["price"]
        np.testing.assert_array_equal(prices, np.float32([1, -2, 0.5, 100, 1, 0.002]))

    def test_byte_order_marks_and_line_endings_are_not_part_of_values(self, with_text, tmp_path):
        with_text(b"\xef\xbb\xbfclick,user,item,note\r\n1,2,3,\r\n")
        data = read(tmp_path, self.columns)
        assert data.train.labels.tolist() == [1] and data.train.inputs["item"].tolist() == [3]

    def test_items_with_spaces_cannot_have_a_history(self, tmp_path):
        for name in ("train", "test"):
            write_csv(tmp_path / f"{name}.csv", changed(item="Toy Story"))
        assert_refused(tmp_path, "train.csv: line 3: 'Toy Story' in 'item' has a space")

    def test_headers_that_differ(self, tmp_path):
        write_csv(tmp_path / "train.csv", TRAIN)
        for names, fragment in (
            (["price", "click", "user", "item", "device", "seen"], "in another order"),
            (["click", "user", "item", "device", "seen"], "'price'"),
        ):
            write_csv(tmp_path / "test.csv", TEST, names)
            assert_refused(
                tmp_path,
                f"{tmp_path / 'test.csv'}: line 1 names other columns than",
                fragment,
                error=DataUnavailableError,
            )

    @pytest.mark.parametrize(
        "header, fragment",
        [
            ("", "line 1 is empty"),
            ("\n1,2,3\n", "line 1 is empty"),
            ("click,user,user\n", "line 1 names 'user' twice"),
            (b"\xff\xfe\n", "line 1 cannot be read: UnicodeDecodeError"),
        ],
    )
    def test_invalid_headers(self, with_text, tmp_path, header, fragment):
        path = with_text(header)
        assert_refused(tmp_path, f"{path}: {fragment}", columns=self.columns)

    def test_a_value_of_any_length_and_many_columns(self, tmp_path):
        names = ["click", "user", "item", *(f"c{n}" for n in range(30_000))]
        rest = "," * 29_999
        long = "x" * 200_000
        for part, label in (("train", 0), ("test", 1)):
            text = f"{','.join(names)}\n1,2,{long},{rest}\n{label},2,y,{rest}\n"
            (tmp_path / f"{part}.csv").write_text(text)
        data = read(tmp_path, self.columns)
        assert data.train.inputs["item"].tolist() == [long, "y"]
        with open(tmp_path / "test.csv", "a") as file:
            file.write(f"3,2,y,{rest}\n")
        assert_refused(tmp_path, "test.csv: line 4: label '3'", columns=self.columns)

    def test_compressed_by_gzip(self, tmp_path):
        write_csv(tmp_path / "test.csv", TEST)
        write_csv(tmp_path / "train.csv", changed(2, click=5))
        packed = gzip.compress((tmp_path / "train.csv").read_bytes())
        (tmp_path / "train.csv").unlink()
        (tmp_path / "train.csv.gz").write_bytes(packed)
        assert_refused(tmp_path, "train.csv.gz: line 4: label '5'")
        (tmp_path / "train.csv.gz").write_bytes(packed[:-20])
        assert_refused(tmp_path, "train.csv.gz: ", "cannot be read")

    @pytest.mark.parametrize("separator", ["|", ",", ";", ", "])
    def test_a_history_with_another_separator(self, tmp_path, separator):
        for name in ("train", "test"):
            seen = "[" * (separator == ", ") + separator.join("567")
            write_csv(tmp_path / f"{name}.csv", [{**row, "seen": seen} for row in TRAIN])
        sign = separator.strip()
        assert_refused(tmp_path, "train.csv: line 2: ", f"in 'seen' has {sign!r}")

    @pytest.mark.parametrize("write", ["{}.0", " {}", "0{}"])
    def test_ids_in_another_spelling_are_counted(self, tmp_path, write):
        write_csv(tmp_path / "train.csv", TRAIN)
        rows = [{**TEST[0], "user": write.format(n)} for n in (4, 5)] + TEST
        write_csv(tmp_path / "test.csv", rows)
        lines = []
        click_folder.read(tmp_path, COLUMNS, tell=lines.append)
        example = write.format(4)
        assert lines[1:] == [
            f"{tmp_path}: 'user': 2 of 3 test values (66.7%) are whole numbers in another "
            f"spelling, such as {example!r}: texts, and so other ids than without"
        ]

    def test_is_read_without_tensorflow(self, tmp_path):
        for name in ("train", "test"):
            write_csv(tmp_path / f"{name}.csv", TRAIN)
        program = (
            "import sys; sys.orig_argv = ['python', '-m', 'rocket_tf.main', '']\n"
            "from rocket_tf.data.clicks import folder, movielens, simulated\n"
            "from rocket_tf.data.clicks.examples import Columns\n"
            f"folder.read({str(tmp_path)!r}, Columns())\n"
            "simulated.simulate(100)\n"
            "assert not {'tensorflow', 'keras'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], check=True)


class TestTFRecord:
    @pytest.fixture
    def with_third(self, tmp_path):
        """Writes a training file whose third record can be chosen."""

        def write(third):
            path = tmp_path / "train.tfrecord"
            write_records(path, [*TRAIN[:2], third, TRAIN[2]])
            write_records(tmp_path / "test.tfrecord", TEST)
            return path

        return write

    def test_compressed_files_are_read_alike(self, tmp_path):
        write_records(tmp_path / "train.tfrecord.gz", TRAIN)
        write_records(tmp_path / "test.tfrecord", TEST)
        with gzip.open(tmp_path / "train.tfrecord.gz"):
            assert read(tmp_path).train.inputs["user"].tolist() == [4, 5, 4]

    def test_types_may_differ_from_file_to_file(self, tmp_path):
        write_records(tmp_path / "train-0.tfrecord", TRAIN)
        as_text = {**TRAIN[0], "item": "8", "seen": ["5"], "price": 3}
        write_records(tmp_path / "train-1.tfrecord", [as_text])
        write_records(tmp_path / "test.tfrecord", TEST)
        train = read(tmp_path).train.inputs
        assert train["item"].tolist() == [7, 9, 7, 8] and train["item"].dtype == np.int64
        assert train["seen"][3].tolist() == [5, -1, -1]
        np.testing.assert_array_equal(train["price"], np.float32([1.5, -2.0, 0.25, 3.0]))

    @pytest.mark.parametrize(
        "third, fragment",
        [
            (b"no example", "record 3 cannot be read: InvalidArgumentError"),
            ({**TRAIN[0], "item": "seven"}, "record 3 cannot be read: InvalidArgumentError"),
            ({**TRAIN[0], "item": [1, 2]}, "record 3 has 2 values of 'item', expected one"),
            ({**TRAIN[0], "price": []}, "record 3 has 0 values of 'price', expected one"),
            ({"click": 1}, "record 3 has 0 values of 'user', expected one"),
            ({**TRAIN[0], "device": b"\xff"}, "record 3 has b'\\xff' in 'device', which is no"),
        ],
    )
    def test_a_bad_record_is_reported_by_number(self, with_third, tmp_path, third, fragment):
        path = with_third(third)
        assert_refused(tmp_path, f"{path}: {fragment}")

    def test_damaged_bytes(self, with_third, tmp_path):
        path = with_third(TRAIN[0])
        content = bytearray(path.read_bytes())
        content[len(content) * 5 // 8] ^= 0xFF
        path.write_bytes(content)
        assert_refused(tmp_path, f"{path}: record 3 cannot be read: DataLossError: corrupted")
        path.write_bytes(content[: len(content) // 10])
        assert_refused(tmp_path, f"{path}: record 1 cannot be read: DataLossError: truncated")

    def test_a_first_record_that_is_not_an_example(self, with_third, tmp_path):
        path = with_third(TRAIN[0])
        write_records(path, [b"no example"])
        assert_refused(tmp_path, f"{path}: record 1 cannot be read: not a tf.train.Example")

    @pytest.mark.parametrize(
        "column, value, fragment",
        [
            ("item", 1.5, "'item' as float_list, expected int64_list or bytes_list"),
            ("click", "1", "'click' as bytes_list, expected int64_list or float_list"),
            ("price", "1", "'price' as bytes_list, expected int64_list or float_list"),
            ("price", [], "'price' as a feature without values"),
            ("seen", ["a"], "'seen' as bytes_list, expected int64_list"),
        ],
    )
    def test_columns_of_other_types(self, with_third, tmp_path, column, value, fragment):
        path = with_third(TRAIN[0])
        write_records(path, changed(0, **{column: value}))
        assert_refused(tmp_path, f"{path}: record 1 has {fragment}", error=DataUnavailableError)
