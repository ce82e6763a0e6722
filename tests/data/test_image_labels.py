"""Image folders whose test part is chosen by a hash or whose classes come from a labels file."""

import dataclasses
import gzip
import hashlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rocket_tf.data import image_dataset, in_memory, open_data, own_data, streamed
from rocket_tf.data.images.listing import is_test
from rocket_tf.errors import DamagedDataError, DataUnavailableError

NAMES = {"cat": range(9), "dog": range(20, 33), "emu": range(40, 46)}
FRACTION = 0.4


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 8), (value, value, value)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Images `<class>/<number>.png`, whose pixels all have the value of the number."""
    for name, numbers in NAMES.items():
        for number in numbers:
            save(tmp_path / name / f"{number}.png", number)
    return tmp_path


def opened(folder, **changes):
    mapping = {"dataset": "image_folder", "data_path": str(folder), "image_size": 8}
    return open_data({**mapping, "streaming": "never", **changes})


def values(split):
    """The numbers of the images, read from their pixels."""
    return np.concatenate([images[:, 0, 0, 0] for images, _ in split.evaluation_batches(7)])


def test_membership():
    """A fraction of the images is chosen, which is the same on every machine."""
    names = [f"cat/{number}.jpg" for number in range(20_000)]
    for name, fraction in (("cat/7.jpg", 0.1), ("ä/\udcff.png", 0.6)):
        digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).hexdigest()
        assert is_test(name, fraction) == (int(digest, 16) / 2**64 < fraction)
    few, many = ({name for name in names if is_test(name, share)} for share in (0.1, 0.3))
    assert few < many
    # The bound is four standard deviations of a binomial distribution.
    for chosen, share in ((few, 0.1), (many, 0.3)):
        assert abs(len(chosen) - 20_000 * share) < 4 * (20_000 * share * (1 - share)) ** 0.5
    assert not any(is_test(name, 0.0) for name in names) and all(is_test(n, 1.0) for n in names)


class TestFraction:
    def expected(self):
        """The numbers of test images, in the order of classes and names."""
        names = [(name, str(n)) for name, numbers in NAMES.items() for n in numbers]
        return [int(n) for name, n in sorted(names) if is_test(f"{name}/{n}.png", FRACTION)]

    @pytest.mark.parametrize("below", ["", "train"])
    @pytest.mark.parametrize("streaming", ["always", "never"])
    def test_parts(self, folder, below, streaming):
        if below:
            for name in NAMES:
                shutil.move(folder / name, folder / below / name)
        data = opened(folder, test_fraction=FRACTION, streaming=streaming)
        assert data.class_names == sorted(NAMES)
        test, train = values(data.test), values(data.train)
        assert test.tolist() == self.expected() and 3 < len(test) < 20
        assert sorted([*test, *train]) == sorted(n for own in NAMES.values() for n in own)
        np.testing.assert_array_equal(data.train.labels, np.digitize(train, [15, 35]))

    def test_more_images_move_none_to_the_other_part(self, folder):
        before = values(opened(folder, test_fraction=FRACTION).test)
        for number in range(100, 200):
            save(folder / "cat" / f"{number}.png", number)
        after = values(opened(folder, test_fraction=FRACTION).test)
        assert [n for n in after if n < 100] == before.tolist() and len(after) > len(before)

    @pytest.mark.parametrize("streaming", ["always", "never"])
    def test_evaluation_alone(self, folder, streaming):
        settings = {"test_fraction": FRACTION, "streaming": streaming}
        data = opened(folder, **settings)
        for path in folder.glob("*/*.png"):  # only the test part is needed
            if not is_test(str(path.relative_to(folder)), FRACTION):
                path.unlink()
        mapping = {**own_data.DEFAULTS, "dataset": "image_folder", "data_path": str(folder)}
        mapping |= {"image_size": 8, **settings}
        split, fingerprint = own_data.read_test(mapping, data.card, data.class_names, {}, None)
        assert values(split).tolist() == values(data.test).tolist()
        np.testing.assert_array_equal(split.labels, data.test.labels)
        assert fingerprint.items() < data.fingerprint.items() and len(fingerprint) == 3

    def test_another_fraction_changes_the_fingerprint(self, folder):
        first, second = (opened(folder, test_fraction=share).fingerprint for share in (0.3, 0.5))
        assert first != second

    @pytest.mark.parametrize("name", ["test", "val", "validation"])
    def test_with_a_test_folder(self, folder, name):
        save(folder / name / "cat" / "1.png", 1)
        with pytest.raises(DataUnavailableError, match=rf"{name}: exists, but config\.test_frac"):
            opened(folder, test_fraction=FRACTION)

    def test_a_part_without_images(self, folder):
        with pytest.raises(
            DataUnavailableError, match=r"none of its 28 images .*; raise the fraction"
        ):
            opened(folder, test_fraction=1e-6)
        with pytest.raises(
            DataUnavailableError, match=r"cat: with config\.test_fraction=.*, all of its images"
        ):
            opened(folder, test_fraction=1 - 1e-9)

    def test_other_folders(self, folder):
        nowhere = folder / "nowhere"
        with pytest.raises(DataUnavailableError, match=r"no such folder; .*<class>/<image>, or"):
            opened(nowhere, test_fraction=FRACTION)
        mapping = {**own_data.DEFAULTS, "dataset": "image_folder", "data_path": str(nowhere)}
        with pytest.raises(DataUnavailableError, match=r"no such folder; .*<class>/<image>, or"):
            own_data.read_test({**mapping, "test_fraction": FRACTION}, None, ["cat"], {}, None)
        (folder / "emu-2").mkdir()
        with pytest.raises(DataUnavailableError, match="emu-2: has no images"):
            opened(folder, test_fraction=FRACTION)


@dataclasses.dataclass
class Rows:
    """The columns of a labels file: images, classes and parts."""

    image: list
    label: list
    part: list

    def write(self, path, **changes):
        """Writes the columns, not in the order in which they are read."""
        columns = {"part": self.part, "label": self.label, "note": ["a,b"] * len(self.part)}
        columns |= {"image": self.image, **changes}
        if path.suffix == ".parquet":
            pq.write_table(pa.table(columns), path, row_group_size=11)
            return
        lines = [",".join(columns), *(f"{','.join(row)}" for row in self.quoted(columns))]
        content = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)

    def quoted(self, columns):
        return [[f'"{value}"' for value in row] for row in zip(*columns.values(), strict=True)]


@pytest.fixture
def rows():
    """The images of `folder` in reverse order; every third row is a test image."""
    names = [(name, n) for name, numbers in NAMES.items() for n in numbers][::-1]
    return Rows(
        image=[f"{name}/{n}.png" for name, n in names],
        label=[name for name, _ in names],
        part=["test" if place % 3 == 1 else "train" for place in range(len(names))],
    )


def labelled(folder, file="labels.csv", **changes):
    return opened(folder, **{"labels_file": file, "part_column": "part", **changes})


class TestLabelsFile:
    @pytest.mark.parametrize("streaming", ["always", "never"])
    @pytest.mark.parametrize("file", ["labels.csv", "labels.csv.gz", "labels.parquet"])
    def test_what_is_read(self, folder, rows, file, streaming):
        rows.write(folder / file)
        data = labelled(folder, file, streaming=streaming, validation_examples=3)
        splits = (data.train, data.validation, data.test)
        kind = streamed.StreamedSplit if streaming == "always" else in_memory.ArraySplit
        assert all(isinstance(split, kind) for split in splits)
        assert data.class_names == ["cat", "dog", "emu"]
        test = [n for n, part in zip(rows.image, rows.part, strict=True) if part == "test"]
        assert values(data.test).tolist() == [
            int(n.split("/")[1][:-4]) for n in sorted(test, key=lambda n: n.split("/"))
        ]
        assert sum(split.examples for split in splits) == 28
        for split in splits:
            np.testing.assert_array_equal(split.labels, np.digitize(values(split), [15, 35]))

    @pytest.mark.parametrize("file", ["labels.csv", "labels.parquet"])
    def test_it_equals_folders_of_classes(self, folder, rows, file):
        rows.write(folder / file)
        changes = {"test_fraction": FRACTION, "validation_examples": 3}
        by_file = labelled(folder, file, part_column="", **changes)
        by_folder = opened(folder, **changes)
        assert by_file.card == by_folder.card
        for name in ("train", "validation", "test"):
            one, other = getattr(by_file, name), getattr(by_folder, name)
            np.testing.assert_array_equal(one.inputs, other.inputs)
            np.testing.assert_array_equal(one.labels, other.labels)
        assert by_folder.fingerprint.items() < by_file.fingerprint.items()

    def test_images_in_one_folder_with_whole_numbers_as_classes(self, tmp_path):
        for number in range(30):
            save(tmp_path / "all" / f"{number}.png", number)
        images = [f"./all/{number}.png" for number in range(30)]
        classes = [number % 12 for number in range(30)]
        part = ["val" if number >= 24 else "train" for number in range(30)]
        for file, own in (("a.parquet", classes), ("a.csv", list(map(str, classes)))):
            Rows(images, own, part).write(tmp_path / file)
            data = labelled(tmp_path, file)
            assert data.class_names == list(map(str, range(12)))
            np.testing.assert_array_equal(data.train.labels, values(data.train) % 12)
            assert values(data.test).tolist() == [24, 25, 26, 27, 28, 29]

    def test_other_column_names_and_a_file_outside_the_folder(self, folder, rows, tmp_path_factory):
        place = tmp_path_factory.mktemp("elsewhere") / "labels.csv"
        rows.write(place, file=rows.image, animal=rows.label, image=["no"] * 28)
        data = labelled(folder, str(place), image_column="file", class_column="animal")
        assert data.train.examples == rows.part.count("train")

    def test_from_python(self, folder, rows):
        rows.write(folder / "labels.csv")
        source = {"dataset": "image_folder", "data_path": str(folder), "labels_file": "labels.csv"}
        batches = image_dataset({**source, "part_column": "part"}, "test", batch_size=5)
        assert [len(labels) for _, labels in batches] == [5, 4]

    @pytest.mark.parametrize("streaming", ["always", "never"])
    def test_evaluation_alone_needs_no_training_images(self, folder, rows, streaming, capsys):
        rows.write(folder / "labels.csv")
        data = labelled(folder, streaming=streaming)
        rows.part = [
            "train" if label == "cat" else part
            for label, part in zip(rows.label, rows.part, strict=True)
        ]
        rows.write(folder / "labels.csv")
        left = [n for n in values(data.test).tolist() if n not in NAMES["cat"]]
        shutil.rmtree(folder / "cat")
        mapping = {**own_data.DEFAULTS, "dataset": "image_folder", "data_path": str(folder)}
        mapping |= {"labels_file": "labels.csv", "part_column": "part", "streaming": streaming}
        split, fingerprint = own_data.read_test(
            {**mapping, "image_size": 8}, data.card, data.class_names, {}, None
        )
        assert values(split).tolist() == left
        np.testing.assert_array_equal(split.labels, np.digitize(left, [15, 35]))
        assert fingerprint["test_examples"] == len(left)
        assert set(fingerprint) < set(data.fingerprint)
        rows.label[rows.part.index("test")] = "yak"
        rows.write(folder / "labels.csv")
        with pytest.raises(DamagedDataError, match=r"line 3: 'yak' .*the run has no such class"):
            own_data.read_test({**mapping, "image_size": 8}, data.card, data.class_names, {}, None)

    def test_another_class_changes_the_fingerprint_and_another_order_does_not(self, folder, rows):
        rows.write(folder / "labels.csv")
        first = labelled(folder).fingerprint
        for column in (rows.image, rows.label, rows.part):
            column.reverse()
        rows.write(folder / "labels.csv")
        assert labelled(folder).fingerprint == first
        place = rows.part.index("test")
        rows.label[place] = "emu" if rows.label[place] != "emu" else "cat"
        rows.write(folder / "labels.csv")
        changed = labelled(folder).fingerprint
        assert {name for name in first if first[name] != changed[name]} == {"test_labels"}


class TestLines:
    """A line on the terminal counts the images and rows that are not read."""

    def opened(self, folder, rows, capsys, **changes):
        rows.write(folder / "labels.csv")
        data = labelled(folder, **changes)
        return data, capsys.readouterr().out

    def test_nothing(self, folder, rows, capsys):
        assert self.opened(folder, rows, capsys)[1] == ""

    def test_images_without_a_row(self, folder, rows, capsys):
        for column in (rows.image, rows.label, rows.part):
            del column[-2:]
        save(folder / "cat" / "more" / "1.png", 1)
        data, out = self.opened(folder, rows, capsys)
        path = folder / "labels.csv"
        assert out == (f"{path}: names 26 of the 29 images in {folder}; the other 3 are not read\n")
        assert data.train.examples + data.test.examples == 26

    def test_rows_of_another_part(self, folder, rows, capsys):
        rows.part[0] = rows.part[2] = "val"
        data, out = self.opened(folder, rows, capsys)
        assert "2 of 28 rows have 'val' in 'part' in addition to 'test', and are not read" in out
        assert data.train.examples + data.test.examples == 26

    def test_images_that_are_listed_again(self, folder, rows, capsys):
        for column in (rows.image, rows.label, rows.part):
            column += column[3:5]
        rows.image[-1] = f"./{rows.image[-1]}"
        data, out = self.opened(folder, rows, capsys)
        assert "2 of 30 rows repeat an image with the same class; each image is read once" in out
        assert data.train.examples + data.test.examples == 28

    def test_unreadable_images(self, folder, rows, capsys):
        for number in NAMES["emu"]:
            (folder / "emu" / f"{number}.png").write_text("no image")
        rows.write(folder / "labels.csv")
        with pytest.raises(DamagedDataError, match="6 of 28 images cannot be read"):
            labelled(folder)
        with pytest.raises(
            DamagedDataError,
            match=r"labels\.csv: class 'emu' in train: none of its 4 images .* delete their rows",
        ):
            labelled(folder, unreadable_images="skip")


class TestBadRows:
    """Messages name the line, where 2 is the first row, or the row group, which has 11 rows."""

    @pytest.mark.parametrize(
        "column, value, named",
        [
            ("image", "cat/99.png", "'cat/99.png' in 'image': no such file in"),
            ("image", "", "'' in 'image'; expected a value that is not empty"),
            ("image", "/etc/a.png", "'/etc/a.png' in 'image'; expected a path relative to"),
            ("image", "cat/../../a.png", "'../a.png' in 'image'; expected a path relative to"),
            ("image", "cat", "'cat' in 'image': no such file in"),
            (
                "image",
                "cat/notes.txt",
                "'cat/notes.txt' in 'image': does not have an image's suffix",
            ),
            ("label", " ", "' ' in 'label'; expected a value that is not empty"),
            ("label", "cat ", "'cat ' in 'label' starts or ends with a space"),
            ("part", "", "'' in 'part'; expected a value that is not empty"),
            ("part", "Test", "'Test' in 'part'; expected one of train, test, val, validation"),
        ],
    )
    @pytest.mark.parametrize(
        "file, place", [("a.csv", "line 16"), ("a.parquet", "row group 2, row 4")]
    )
    def test_a_value(self, folder, rows, file, place, column, value, named):
        (folder / "cat" / "notes.txt").touch()
        getattr(rows, column)[14] = value
        rows.write(folder / file)
        with pytest.raises(DamagedDataError) as error:
            labelled(folder, file)
        assert str(error.value).startswith(f"{folder / file}: {place}: {named}")
        assert len(str(error.value).splitlines()) == 1

    def test_a_missing_value_and_a_missing_number(self, folder, rows):
        for label in ([*rows.label[:14], None, *rows.label[15:]], [3] * 14 + [None] + [3] * 13):
            rows.write(folder / "a.parquet", label=label)
            with pytest.raises(DamagedDataError, match="row group 2, row 4: None in 'label'"):
                labelled(folder, "a.parquet")
        rows.write(folder / "a.parquet", label=[3] * 14 + [-1] + [3] * 13)
        with pytest.raises(DamagedDataError, match="row 4: -1 in 'label'; expected a number from"):
            labelled(folder, "a.parquet")

    @pytest.mark.parametrize("column, value", [("label", "emu"), ("part", "test")])
    def test_an_image_that_is_listed_twice(self, folder, rows, column, value):
        for name in ("image", "label", "part"):
            getattr(rows, name).append(getattr(rows, name)[14])
        assert getattr(rows, column)[14] != value
        getattr(rows, column)[-1] = value
        rows.write(folder / "labels.csv")
        with pytest.raises(DamagedDataError) as error:
            labelled(folder)
        assert f"line 30: {rows.image[14]!r} in 'image': has {value!r} in {column!r}" in str(
            error.value
        )
        assert "labels.csv: line 16; delete one of the two rows" in str(error.value)

    def test_a_test_image_of_a_class_that_training_lacks(self, folder, rows):
        rows.label[rows.part.index("test")] = "yak"
        rows.write(folder / "labels.csv")
        with pytest.raises(DamagedDataError, match=r"line 3: 'yak' .*no training image has"):
            labelled(folder)

    def test_classes_that_cannot_be_written(self, folder, rows):
        rows.write(folder / "a.parquet", label=["a\nb"] * 28)
        with pytest.raises(DataUnavailableError, match=r"'a\\nb' cannot name a class"):
            labelled(folder, "a.parquet")


class TestBadFiles:
    @pytest.mark.parametrize("file", ["a.csv", "a.parquet"])
    def test_no_such_column(self, folder, rows, file):
        rows.write(folder / file)
        with pytest.raises(DataUnavailableError, match=r"no column 'images'; .*mean 'image'\?"):
            labelled(folder, file, image_column="images")

    def test_no_such_file_or_folder(self, folder, rows):
        with pytest.raises(DataUnavailableError, match=r"b\.csv: no such file of labels; config"):
            labelled(folder, "b.csv")
        with pytest.raises(
            DataUnavailableError, match=r"b\.tsv: is not a supported file of labels; expected"
        ):
            labelled(folder, "b.tsv")
        with pytest.raises(DataUnavailableError, match="nowhere: no such folder"):
            labelled(folder / "nowhere")

    @pytest.mark.parametrize("file", ["a.csv", "a.parquet"])
    def test_no_rows(self, folder, file):
        Rows([], [], []).write(folder / file)
        with pytest.raises(DataUnavailableError, match="has no rows; expected one row per image"):
            labelled(folder, file)

    def test_types(self, folder, rows):
        for name, column, kind in (("label", [0.5] * 28, "double"), ("image", [1] * 28, "int64")):
            rows.write(folder / "a.parquet", **{name: column})
            with pytest.raises(DataUnavailableError, match=f"{name!r} is a column of {kind}"):
                labelled(folder, "a.parquet")

    def test_damage(self, folder, rows):
        rows.write(folder / "a.csv")
        content = (folder / "a.csv").read_bytes()
        (folder / "a.csv").write_bytes(content + b"a,b\n")
        with pytest.raises(DamagedDataError, match=r"a\.csv: line 30 has 2 values, expected the 4"):
            labelled(folder, "a.csv")
        (folder / "a.parquet").write_bytes(content)
        with pytest.raises(DamagedDataError, match=r"a\.parquet: cannot be read as a Parquet file"):
            labelled(folder, "a.parquet")

    @pytest.mark.parametrize("missing", ["train", "test"])
    def test_a_part_without_images(self, folder, rows, missing):
        rows.part = ["train" if missing == "test" else "test"] * 28
        rows.write(folder / "a.csv")
        with pytest.raises(DataUnavailableError, match=f"no row has {missing!r} in 'part'"):
            labelled(folder, "a.csv")
        share = 1e-6 if missing == "test" else 1 - 1e-9
        way = "raise" if missing == "test" else "lower"
        with pytest.raises(DataUnavailableError, match=f"part {missing!r}; {way} the fraction"):
            labelled(folder, "a.csv", part_column="", test_fraction=share)

    @pytest.mark.parametrize("given", [{"part_column": ""}, {"test_fraction": 0.5}])
    def test_two_settings_for_the_test_part_are_refused(self, folder, rows, given):
        rows.write(folder / "labels.csv")
        with pytest.raises(DataUnavailableError, match="expected exactly one of the two"):
            labelled(folder, **given)


class TestSeveralClasses:
    """Row i has its own class and, if i is even, the next one; row 5 has no class."""

    @pytest.fixture
    def cells(self, rows):
        following = {"cat": "dog", "dog": "emu", "emu": "cat"}
        cells = [
            [name, following[name]] if row % 2 == 0 else [name] if row != 5 else []
            for row, name in enumerate(rows.label)
        ]
        rows.label = ["|".join(cell) for cell in cells]
        return cells

    def opened(self, folder, rows, cells, form, **changes):
        if form == "csv":
            rows.write(folder / "a.csv")
            return labelled(folder, "a.csv", class_separator="|", **changes)
        rows.write(folder / "a.parquet", label=cells)
        return labelled(folder, "a.parquet", **changes)

    @pytest.mark.parametrize("streaming", ["always", "never"])
    @pytest.mark.parametrize("form", ["csv", "lists"])
    def test_labels(self, folder, rows, cells, form, streaming, capsys):
        how = {"streaming": streaming, "validation_examples": 5}
        data = self.opened(folder, rows, cells, form, **how)
        assert data.card.multi_label and data.class_names == ["cat", "dog", "emu"]
        assert "1 of 28 rows have no class in 'label'" in capsys.readouterr().out
        by_number = {
            int(name.split("/")[1][:-4]): cell for name, cell in zip(rows.image, cells, strict=True)
        }
        sizes = {}
        for part in ("train", "validation", "test"):
            split = getattr(data, part)
            batches = list(split.evaluation_batches(4).as_numpy_iterator())
            labels = np.concatenate([each for _, each in batches])
            expected = [
                [float(name in by_number[number]) for name in data.class_names]
                for number in values(split)
            ]
            np.testing.assert_array_equal(labels, np.array(expected))
            assert labels.dtype == np.float32
            np.testing.assert_array_equal(split.class_counts(3), labels.sum(0))
            sizes[part] = len(labels)
        assert sizes == {"train": 14, "validation": 5, "test": 9}
        _, labels = next(data.train.training_batches(6, 1, 0).as_numpy_iterator())
        assert labels.shape == (6, 3) and labels.dtype == np.float32

    def test_csv_lists_and_numbers_give_the_same_fingerprint(self, folder, rows, cells):
        first, second = (self.opened(folder, rows, cells, form) for form in ("csv", "lists"))
        assert first.fingerprint == second.fingerprint and first.card == second.card
        rows.write(folder / "a.parquet", label=[[12], [], [3, 12]] + 25 * [[0]])
        data = labelled(folder, "a.parquet")
        assert data.class_names == ["0", "3", "12"]

    def test_another_order_of_classes_in_a_row_is_the_same(self, folder, rows, cells):
        first = self.opened(folder, rows, cells, "lists").fingerprint
        turned = [cell[::-1] for cell in cells]
        assert self.opened(folder, rows, turned, "lists").fingerprint == first

    def test_rows_of_several_classes_cannot_be_mixed_or_weighted(self, folder, rows, cells):
        split = self.opened(folder, rows, cells, "lists").train
        for given in (
            {"num_classes": 3},
            {"class_weights": [1, 2, 3]},
            {"mixing": ("mixup", 0.2), "num_classes": 3},
        ):
            with pytest.raises(ValueError, match=r"several classes cannot be .*\(None, 3\)"):
                split.training_batches(4, 1, 0, **given)

    @pytest.mark.parametrize(
        "cell, named",
        [
            ("cat||dog", "'dog'] in 'label': expected non-empty classes"),
            ("cat|", "''] in 'label': expected non-empty classes"),
            ("cat| dog", "' dog'] in 'label': a class starts or ends with a space"),
            ("cat|dog|cat", "'cat'] in 'label': a class appears twice"),
        ],
    )
    @pytest.mark.parametrize("form", ["csv", "lists"])
    def test_a_bad_cell(self, folder, rows, cells, form, cell, named):
        rows.label[14], cells[14] = cell, cell.split("|")
        with pytest.raises(DamagedDataError) as error:
            self.opened(folder, rows, cells, form)
        place = "line 16" if form == "csv" else "row group 2, row 4"
        assert f": {place}: " in str(error.value) and named in str(error.value)

    def test_bad_lists(self, folder, rows, cells):
        for cell, named in ((None, "None in"), ([None], r"\[None\] in")):
            cells[14] = cell
            rows.write(folder / "a.parquet", label=cells)
            with pytest.raises(DamagedDataError, match=rf"row group 2, row 4: {named} 'label'"):
                labelled(folder, "a.parquet")
        rows.write(folder / "a.parquet", label=[[-1]] * 28)
        with pytest.raises(DamagedDataError, match=r"row 1: \[-1\] .* non-negative integers"):
            labelled(folder, "a.parquet")
        for column, kind in ((28 * [[0.5]], "double"), (28 * [0.5], "double")):
            rows.write(folder / "a.parquet", label=column)
            with pytest.raises(DataUnavailableError, match=f"'label' is a column of {kind}"):
                labelled(folder, "a.parquet", class_separator="" if column[0] == [0.5] else "|")
        rows.write(folder / "a.parquet", label=28 * [["cat"]])
        with pytest.raises(DataUnavailableError, match=r"of lists, and class_separator='\|'"):
            labelled(folder, "a.parquet", class_separator="|")
        with pytest.raises(DataUnavailableError, match="training images have 1 classes in 'label'"):
            labelled(folder, "a.parquet")

    def test_a_test_image_of_a_class_that_training_lacks(self, folder, rows, cells):
        cells[rows.part.index("test")] = ["cat", "yak"]
        with pytest.raises(DamagedDataError, match=r"row 2: 'yak' .*no training image has"):
            self.opened(folder, rows, cells, "lists")

    def test_an_image_that_is_listed_twice(self, folder, rows, cells, capsys):
        for column in (rows.image, rows.part, cells):
            column += column[14:16]
        cells[-1] = cells[-1][::-1]
        assert self.opened(folder, rows, cells, "lists").train.examples == 19
        assert "2 of 30 rows repeat an image with the same classes" in capsys.readouterr().out
        cells[-1] = []
        with pytest.raises(DamagedDataError, match="has no class in 'label', but 'dog' in"):
            self.opened(folder, rows, cells, "lists")

    def test_a_class_without_a_readable_image(self, folder, rows, cells):
        cells = [["cat"] if cell == [] else [*{*cell} - {"emu"}] or ["cat"] for cell in cells]
        cells[0] = ["cat", "emu"]
        (folder / rows.image[0]).write_text("no image")
        with pytest.raises(DamagedDataError, match="class 'emu' in train: none of its 1 images"):
            self.opened(folder, rows, cells, "lists", unreadable_images="skip")
