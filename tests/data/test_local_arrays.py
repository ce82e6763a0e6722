"""NumPy and CIFAR archives: exact values, and the messages about faulty files."""

import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from rocket_tf.data.images import cifar_archives
from rocket_tf.data.images import npz as npz_images
from rocket_tf.errors import DamagedDataError, DataUnavailableError

RANDOM = np.random.default_rng(0)


def pixels(*shape):
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


def assert_one_line(error, *fragment):
    message = str(error.value)
    assert len(message.splitlines()) == 1
    for text in fragment:
        assert text in message, message


ARRAYS = {
    "x_train": pixels(6, 5, 4, 3),
    "y_train": np.array([0, 1, 2, 2, 1, 0]),
    "x_test": pixels(2, 5, 4, 3),
    "y_test": np.array([2, 0]),
}


class TestNumPyArchive:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "data.npz"

    def read(self, path, **changes):
        arrays = {key: value for key, value in {**ARRAYS, **changes}.items() if value is not None}
        np.savez(path, **arrays)
        return npz_images.read(path)

    def refuse(self, path, *fragment, error=DataUnavailableError, **changes):
        with pytest.raises(error) as caught:
            self.read(path, **changes)
        assert_one_line(caught, f"{path}: ", *fragment)

    def test_values_are_as_written(self, path):
        data = self.read(path)
        for part, (images, labels) in (("train", data.train), ("test", data.test)):
            np.testing.assert_array_equal(images, ARRAYS[f"x_{part}"])
            np.testing.assert_array_equal(labels, ARRAYS[f"y_{part}"])
            assert images.dtype == np.uint8 and labels.dtype == np.int64
        assert data.class_names == ["0", "1", "2"] and data.skipped == []

    def test_compressed_and_given_as_text(self, path):
        np.savez_compressed(path, **ARRAYS)
        np.testing.assert_array_equal(npz_images.read(str(path)).train[0], ARRAYS["x_train"])

    def test_images_without_channels_get_one(self, path):
        grey = {key: ARRAYS[key][..., 0] for key in ("x_train", "x_test")}
        data = self.read(path, **grey)
        np.testing.assert_array_equal(data.train[0], grey["x_train"][..., None])
        np.testing.assert_array_equal(data.test[0], grey["x_test"][..., None])

    @pytest.mark.parametrize("dtype", ["int16", "int64", "uint16", "float16", "float32", ">f8"])
    def test_whole_values_of_other_types(self, path, dtype):
        data = self.read(path, x_train=ARRAYS["x_train"].astype(dtype))
        assert data.train[0].dtype == np.uint8
        np.testing.assert_array_equal(data.train[0], ARRAYS["x_train"])

    @pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64"])
    def test_labels_in_a_column_and_of_other_types(self, path, dtype):
        data = self.read(path, y_train=ARRAYS["y_train"].astype(dtype)[:, None])
        np.testing.assert_array_equal(data.train[1], ARRAYS["y_train"])
        assert data.train[1].dtype == np.int64

    @pytest.mark.parametrize("names", [["ant", "bee", "é"], [b"ant", b"bee", "é".encode()]])
    def test_class_names(self, path, names):
        data = self.read(path, class_names=np.array(names))
        assert data.class_names == ["ant", "bee", "é"]
        assert all(type(name) is str for name in data.class_names)

    def test_no_such_file(self, path):
        with pytest.raises(DataUnavailableError) as caught:
            npz_images.read(path)
        assert_one_line(caught, f"{path}: no such file", "np.savez")

    @pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({}), b"\x93NUMPY\1\0"])
    def test_not_a_zip_file(self, path, content):
        path.write_bytes(content)
        with pytest.raises(DamagedDataError) as caught:
            npz_images.read(path)
        assert_one_line(caught, f"{path}: not an .npz file", "np.savez")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_truncated(self, path, share):
        self.read(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedDataError) as caught:
            npz_images.read(path)
        assert_one_line(caught, f"{path}: its end is missing")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    @pytest.mark.parametrize("key", ["x_train", "y_test"])
    def test_flipped_bits(self, path, key, save):
        save(path, **ARRAYS)
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{key}.npy")
        content = bytearray(path.read_bytes())
        content[entry.header_offset + 30 + len(entry.filename) + entry.compress_size - 3] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(DamagedDataError) as caught:
            npz_images.read(path)
        assert_one_line(caught, f"{path}: {key}: ")

    def test_a_member_that_is_not_an_array(self, path):
        np.savez(path, **{key: array for key, array in ARRAYS.items() if key != "y_test"})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("y_test.npy", "text")
        with pytest.raises(DamagedDataError) as caught:
            npz_images.read(path)
        assert_one_line(caught, f"{path}: y_test: ")

    def test_arrays_of_objects_are_not_unpickled(self, path, tmp_path):
        bait = np.array([Bait(tmp_path / "sprung")] * 6, dtype=object)
        self.refuse(path, "y_train: an array of Python objects", y_train=bait)
        assert not (tmp_path / "sprung").exists()

    def test_missing_keys_are_named_with_those_present(self, path):
        fragment = "has no x_test, y_test; there are ['x_train', 'y_train']; expected"
        self.refuse(path, fragment, x_test=None, y_test=None)

    @pytest.mark.parametrize(
        "images, fragment",
        [
            (ARRAYS["x_train"] / np.float32(255), "float32 with values from 0."),
            (ARRAYS["x_train"] - 128.0, "float64 with values from -"),
            (ARRAYS["x_train"].astype(int) + 1, "int64 with values from 1 to 256"),
            (np.full((6, 5, 4, 3), np.nan), "float64 with values from nan"),
            (ARRAYS["x_train"].astype(complex), "complex128"),
            (ARRAYS["x_train"].astype(str), "<U3"),
        ],
        ids=["0 to 1", "negative", "above 255", "NaN", "complex", "strings"],
    )
    def test_pixels_of_other_values(self, path, images, fragment):
        self.refuse(path, "x_train: dtype", fragment, "expected pixels of 0 to 255", x_train=images)

    @pytest.mark.parametrize("shape", [(6,), (6, 60), (6, 5, 4, 3, 1), (0, 5, 4, 3), (6, 0, 4, 3)])
    def test_images_of_other_shapes(self, path, shape):
        fragment = f"x_train: shape {shape}; expected (examples, height, width) or"
        self.refuse(path, fragment, x_train=np.zeros(shape, np.uint8))

    def test_channels_first(self, path):
        channels_first = np.zeros((6, 3, 32, 32), np.uint8)
        self.refuse(path, "expected channels last: x.transpose", x_train=channels_first)

    def test_test_images_of_another_shape(self, path):
        fragment = "x_test has images of shape (5, 4, 1), but x_train of (5, 4, 3)"
        self.refuse(path, fragment, x_test=ARRAYS["x_test"][..., :1])

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_different_numbers_of_images_and_labels(self, path, part):
        fewer = ARRAYS[f"x_{part}"][:-1]
        fragment = f"x_{part} has {len(fewer)} examples, but y_{part} has {len(fewer) + 1}"
        self.refuse(path, fragment, **{f"x_{part}": fewer})

    @pytest.mark.parametrize(
        "labels",
        [np.eye(3)[[0, 1, 2, 2, 1, 0]], np.eye(3, dtype=int), np.zeros(6), np.zeros(0, int)],
        ids=["one-hot", "one-hot integers", "floats", "empty"],
    )
    def test_labels_of_other_kinds(self, path, labels):
        fragment = f"y_train: dtype {labels.dtype} and shape {labels.shape}; expected integers"
        self.refuse(path, fragment, y_train=labels)

    @pytest.mark.parametrize("labels, absent", [([1, 2] * 3, 0), ([0, 2, 2**40] * 2, 1)])
    def test_a_class_without_an_example(self, path, labels, absent):
        self.refuse(path, f"y_train has no example of class {absent}", y_train=np.array(labels))

    def test_the_last_named_class_without_an_example(self, path):
        names = np.array(["ant", "bee", "cow", "dog"])
        self.refuse(path, "no example of class 3, though there are 4", class_names=names)

    @pytest.mark.parametrize("key", ["y_train", "y_test"])
    @pytest.mark.parametrize("label", [-1, 3])
    def test_labels_out_of_range(self, path, key, label):
        labels = ARRAYS[key].copy()
        labels[1] = label
        names = np.array(["ant", "bee", "cow"])
        fragment = f"{key}: example 2 of {len(labels)} has label {label}, expected 0 to 2"
        self.refuse(path, fragment, class_names=names, **{key: labels})

    def test_negative_labels_alone(self, path):
        self.refuse(path, "y_train: example 1 of 6 has label -1", y_train=np.full(6, -1))

    @pytest.mark.parametrize(
        "names, fragment",
        [
            (np.arange(3), "class_names: dtype int64 and shape (3,); expected strings"),
            (np.array("ant"), "shape ()"),
            (np.array([], str), "shape (0,)"),
            (np.array(["ant", "", "bee"]), "'' cannot name a class"),
            (np.array(["ant", "b\nee", "cow"]), r"'b\nee' cannot name a class"),
            (np.array([b"ant", b"\xff", b"cow"]), "cannot name a class"),
            (np.array(["ant", "bee", "ant"]), "2 classes have the name 'ant'"),
        ],
    )
    def test_invalid_class_names(self, path, names, fragment):
        self.refuse(path, fragment, class_names=names)


class Bait:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


FORMS = ["cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary"]
ARCHIVES = {
    "cifar-10-batches-py": "cifar-10-python.tar.gz",
    "cifar-10-batches-bin": "cifar-10-binary.tar.gz",
    "cifar-100-python": "cifar-100-python.tar.gz",
    "cifar-100-binary": "cifar-100-binary.tar.gz",
}


class Cifar:
    """A small stand-in for CIFAR in one of its forms, with 4 records in each file."""

    def __init__(self, form):
        self.form = form
        self.dataset = "cifar100" if "100" in form else "cifar10"
        self.classes = 100 if "100" in form else 10
        self.is_pickled = form.endswith(("py", "python"))
        suffix = "" if self.is_pickled else ".bin"
        if self.classes == 10:
            self.train = [f"data_batch_{number}{suffix}" for number in range(1, 6)]
            self.test = f"test_batch{suffix}"
            self.meta = "batches.meta" if self.is_pickled else "batches.meta.txt"
        else:
            self.train, self.test = [f"train{suffix}"], f"test{suffix}"
            self.meta = "meta" if self.is_pickled else "fine_label_names.txt"
        self.names = [f"kind_{label}" for label in range(self.classes)]
        self.files, self.images, self.labels = {}, {}, {}
        for name in (*self.train, self.test):
            self.images[name] = pixels(4, 32, 32, 3)
            self.labels[name] = RANDOM.integers(0, self.classes, 4)
            self.files[name] = self.records(self.images[name], self.labels[name])
        self.files[self.meta] = self.class_names(self.names)

    def records(self, images, labels, changes=()):
        """The content of a file; `changes` replaces entries of a pickle, by key."""
        rows = np.array([[image[..., channel].ravel() for channel in range(3)] for image in images])
        rows = rows.astype(np.uint8).reshape(len(images), 3072)
        coarse = (np.array(labels) + 7) % 20
        if self.is_pickled:
            key = b"labels" if self.classes == 10 else b"fine_labels"
            batch = {b"data": rows, key: [int(label) for label in labels]}
            batch |= {b"batch_label": b"a batch", b"filenames": [b"a.png"] * len(rows), b"": b""}
            batch |= {b"coarse_labels": coarse.tolist()} if self.classes == 100 else {}
            batch |= {name.encode(): value for name, value in dict(changes).items()}
            return pickle.dumps(batch, 2)
        columns = [coarse, labels] if self.classes == 100 else [labels]
        return np.concatenate([np.array(columns).T, rows], 1).astype(np.uint8).tobytes()

    def class_names(self, names):
        if not self.is_pickled:
            return "".join(f"{name}\n" for name in [*names, ""]).encode()
        key = b"label_names" if self.classes == 10 else b"fine_label_names"
        encoded = [name.encode() for name in names]
        return pickle.dumps({key: encoded, b"num_cases_per_batch": 4}, 2)

    def write_folder(self, parent):
        (parent / self.form).mkdir()
        for name, content in self.files.items():
            (parent / self.form / name).write_bytes(content)
        return parent / self.form

    def write_archive(self, parent):
        path = parent / ARCHIVES[self.form]
        with tarfile.open(path, "w:gz") as archive:
            # Like the originals, the archive has another file and is not in order.
            for name, content in [("readme.html", b"text"), *reversed(self.files.items())]:
                info = tarfile.TarInfo(f"{self.form}/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    def assert_equal(self, data):
        for names, (images, labels) in ((self.train, data.train), ([self.test], data.test)):
            np.testing.assert_array_equal(images, np.concatenate([self.images[n] for n in names]))
            np.testing.assert_array_equal(labels, np.concatenate([self.labels[n] for n in names]))
            assert images.dtype == np.uint8 and labels.dtype == np.int64
            assert images.flags["C_CONTIGUOUS"]
        assert data.class_names == self.names and data.skipped == []


@pytest.fixture(params=FORMS)
def cifar(request):
    return Cifar(request.param)


@pytest.fixture(params=["cifar-10-batches-py", "cifar-100-python"])
def pickled(request):
    return Cifar(request.param)


def refuse(cifar, parent, name, *fragment):
    """Asserts the message about a damaged file, in a folder and in an archive."""
    for write in (cifar.write_folder, cifar.write_archive):
        place = write(parent)
        with pytest.raises(DamagedDataError) as caught:
            cifar_archives.read(place, cifar.dataset)
        assert_one_line(caught, f"{place}: {name}: ", *fragment)


class TestCifar:
    @pytest.mark.parametrize("write", [Cifar.write_folder, Cifar.write_archive])
    def test_values_are_as_written(self, cifar, tmp_path, write):
        place = write(cifar, tmp_path)
        assert cifar_archives.find(tmp_path, cifar.dataset) == place
        cifar.assert_equal(cifar_archives.read(str(tmp_path), cifar.dataset))
        # The data folder or archive itself can be given, too.
        assert cifar_archives.find(place, cifar.dataset) == place
        cifar.assert_equal(cifar_archives.read(place, cifar.dataset))

    @pytest.mark.parametrize("packed", [False, True])
    def test_files_of_many_gigabytes_are_refused_without_reading_them(
        self, cifar, tmp_path, packed
    ):
        place = cifar.write_folder(tmp_path)
        names = sorted(path.name for path in place.iterdir())
        for name in names:
            os.truncate(place / name, 40 << 30)  # a sparse file, which takes no space on the disk
        if packed:
            form = next(
                f for f in cifar_archives._ARCHIVES[cifar.dataset] if f.folder == place.name
            )
            command = ["tar", "-S", "-czf", tmp_path / form.archive, "-C", tmp_path, place.name]
            subprocess.run(command, check=True)
            shutil.rmtree(place)
        with pytest.raises(DamagedDataError, match=f"has {40 << 30} bytes, but no file of CIFAR"):
            cifar_archives.read(tmp_path, cifar.dataset)

    def test_another_data_set_is_not_found(self, cifar, tmp_path):
        place = cifar.write_folder(tmp_path)
        cifar.write_archive(tmp_path)
        other = {"cifar10": "cifar100", "cifar100": "cifar10"}[cifar.dataset]
        for folder in (tmp_path, place, tmp_path / "nowhere"):
            assert cifar_archives.find(folder, other) is None
        with pytest.raises(DataUnavailableError) as caught:
            cifar_archives.read(tmp_path, other)
        assert_one_line(
            caught, f"{tmp_path}: does not contain {other}; expected one of ", "kriz/cifar.html"
        )

    def test_data_sets_without_such_archives_are_not_found(self, cifar, tmp_path):
        cifar.write_folder(tmp_path)
        assert cifar_archives.find(tmp_path, "svhn") is None

    def test_a_neighbouring_folder_is_not_found(self, cifar, tmp_path):
        cifar.write_folder(tmp_path)
        (tmp_path / "empty").mkdir()
        assert cifar_archives.find(tmp_path / "empty", cifar.dataset) is None

    def test_the_unpacked_folder_comes_first(self, cifar, tmp_path):
        (tmp_path / ARCHIVES[cifar.form]).write_bytes(b"")
        cifar.write_folder(tmp_path)
        cifar.assert_equal(cifar_archives.read(tmp_path, cifar.dataset))

    def test_missing_files(self, cifar, tmp_path):
        del cifar.files[cifar.train[-1]]
        refuse(cifar, tmp_path, cifar.train[-1], "missing")

    @pytest.mark.parametrize("label", [255, 100])
    def test_labels_out_of_range(self, cifar, tmp_path, label):
        labels = cifar.labels[cifar.test].copy()
        labels[2] = label
        cifar.files[cifar.test] = cifar.records(cifar.images[cifar.test], labels)
        fragment = f"record 3 of 4 has label {label}, expected 0 to {cifar.classes - 1}"
        refuse(cifar, tmp_path, cifar.test, fragment)

    @pytest.mark.parametrize("length", [0, 1, 3000, -1])
    def test_files_that_are_cut_off(self, cifar, tmp_path, length):
        cifar.files[cifar.test] = cifar.files[cifar.test][:length]
        fragment = "pickle" if cifar.is_pickled else "record size" if length else "no records"
        refuse(cifar, tmp_path, cifar.test, fragment)

    def test_files_without_records(self, cifar, tmp_path):
        cifar.files[cifar.test] = cifar.records(pixels(0, 32, 32, 3), np.zeros(0, int))
        refuse(cifar, tmp_path, cifar.test, "has no records")

    @pytest.mark.parametrize("change", [lambda names: names[:-1], lambda names: [*names, "more"]])
    def test_too_few_or_too_many_class_names(self, cifar, tmp_path, change):
        names = change(cifar.names)
        cifar.files[cifar.meta] = cifar.class_names(names)
        fragment = f"{len(names)} class names, expected {cifar.classes}"
        refuse(cifar, tmp_path, cifar.meta, fragment)

    def test_class_names_that_are_not_unicode(self, cifar, tmp_path):
        content = cifar.files[cifar.meta]
        cifar.files[cifar.meta] = content.replace(b"kind_0", b"\xff\xff\xff\xff\xff\xff")
        if cifar.files[cifar.meta] == content:
            pytest.skip("this pickle has them in another form")
        refuse(cifar, tmp_path, cifar.meta)

    @pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.999])
    def test_truncated_archives(self, cifar, tmp_path, share):
        path = cifar.write_archive(tmp_path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedDataError) as caught:
            cifar_archives.read(tmp_path, cifar.dataset)
        assert_one_line(caught, f"{path}: ", "download it again")

    @pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
    def test_flipped_bits_of_archives(self, cifar, tmp_path, share):
        path = cifar.write_archive(tmp_path)
        content = bytearray(path.read_bytes())
        content[int(len(content) * share)] ^= 0x10
        path.write_bytes(content)
        with pytest.raises(DamagedDataError) as caught:
            cifar_archives.read(tmp_path, cifar.dataset)
        assert_one_line(caught, f"{path}: ", "download it again")


class TestPickles:
    def change(self, cifar, **changes):
        images, labels = cifar.images[cifar.test], cifar.labels[cifar.test]
        cifar.files[cifar.test] = cifar.records(images, labels, changes)

    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_other_protocols_and_text_as_keys(self, pickled, tmp_path, protocol):
        for name, content in pickled.files.items():
            batch = pickle.loads(content)
            batch = {key.decode(): value for key, value in batch.items()}
            pickled.files[name] = pickle.dumps(batch, protocol)
        pickled.write_folder(tmp_path)
        pickled.assert_equal(cifar_archives.read(tmp_path, pickled.dataset))

    def test_as_python_2_with_an_old_numpy_wrote_them(self, pickled, tmp_path):
        """Python 2 wrote keys, dtype and pixels as str: SHORT_BINSTRING and BINSTRING."""
        name = pickled.test
        rows = pickled.images[name].transpose(0, 3, 1, 2).tobytes()
        key = b"labels" if pickled.classes == 10 else b"fine_labels"

        def short(text):
            return b"U" + bytes([len(text)]) + text

        labels = b"".join(b"K" + bytes([label]) for label in pickled.labels[name])
        dtype = b"cnumpy\ndtype\n" + short(b"u1") + b"K\0K\1\x87R"
        dtype += b"(K\3" + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + short(b"b")
        array += b"\x87R(K\1K\4M\0\x0c\x86" + dtype + b"\x89"
        array += b"T" + len(rows).to_bytes(4, "little") + rows + b"tb"
        pickled.files[name] = (
            b"\x80\2}(" + short(b"data") + array + short(key) + b"](" + labels + b"eu."
        )
        pickled.write_folder(tmp_path)
        pickled.assert_equal(cifar_archives.read(tmp_path, pickled.dataset))

    def test_arrays_in_fortran_order(self, pickled, tmp_path):
        rows = pickled.images[pickled.test].transpose(0, 3, 1, 2).reshape(4, -1)
        self.change(pickled, data=np.asfortranarray(rows))
        pickled.write_folder(tmp_path)
        pickled.assert_equal(cifar_archives.read(tmp_path, pickled.dataset))

    def test_malicious_pickles_are_refused_and_not_run(self, pickled, tmp_path):
        self.change(pickled, batch_label=Bait(tmp_path / "sprung"))
        refuse(pickled, tmp_path, pickled.test, f"names '{os.mkdir.__module__}.mkdir', ")
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        "asked",
        ["os\nsystem", "builtins\neval", "builtins\ngetattr", "numpy\nload", "codecs\nopen"],
    )
    def test_names_that_arrays_do_not_need_are_refused(self, pickled, tmp_path, asked):
        pickled.files[pickled.meta] = f"c{asked}\n.".encode()
        refuse(pickled, tmp_path, pickled.meta, f"names '{asked.replace(chr(10), '.')}', ")

    def test_persistent_objects_are_refused(self, pickled, tmp_path):
        pickled.files[pickled.meta] = b"Pthing\n."
        refuse(pickled, tmp_path, pickled.meta, "names a persistent object")

    @pytest.mark.parametrize(
        "data, fragment",
        [
            (pixels(4, 3071), "images of shape (4, 3071), expected (records, 3072)"),
            (pixels(4 * 3072), "images of shape (12288,)"),
            (pixels(3, 3072), "3 images, but 4 labels"),
            (pixels(4, 3072).astype(np.int64), "dtype i8, expected u1"),
            (np.array([{}, []], dtype=object), "dtype O8, expected u1"),
            ("text", "images are a "),
            (None, "images are a NoneType"),
        ],
    )
    def test_images_of_other_kinds(self, pickled, tmp_path, data, fragment):
        self.change(pickled, data=data)
        refuse(pickled, tmp_path, pickled.test, fragment)

    @pytest.mark.parametrize(
        "labels, fragment",
        [
            ([0, 1, 2], "4 images, but 3 labels"),
            ([0, 1, 2, 3.0], "is not a list of integers"),
            ([0, 1, 2, None], "is not a list of integers"),
            ("text", "is not a list of integers"),
            ([0, 1, 2, -1], "record 4 of 4 has label -1"),
            ([0, 1, 2, 2**70], f"record 4 of 4 has label {2**70}"),
        ],
    )
    def test_labels_of_other_kinds(self, pickled, tmp_path, labels, fragment):
        key = "labels" if pickled.classes == 10 else "fine_labels"
        self.change(pickled, **{key: labels})
        refuse(pickled, tmp_path, pickled.test, fragment)

    @pytest.mark.parametrize("key", ["data", "labels"])
    def test_missing_keys(self, pickled, tmp_path, key):
        key = key if key == "data" or pickled.classes == 10 else "fine_labels"
        batch = pickle.loads(pickled.files[pickled.test])
        del batch[key.encode()]
        pickled.files[pickled.test] = pickle.dumps(batch, 2)
        refuse(pickled, tmp_path, pickled.test, f"has no {key!r}")

    def test_not_a_dictionary(self, pickled, tmp_path):
        pickled.files[pickled.test] = pickle.dumps([1, 2], 2)
        refuse(pickled, tmp_path, pickled.test, "contains a list, expected a dict")


def test_readers_do_not_import_tensorflow():
    program = (
        "import sys; sys.orig_argv = ['python', '-m', 'rocket_tf.main', '']\n"
        "from rocket_tf.data.images import cifar_archives, folder, npz\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
