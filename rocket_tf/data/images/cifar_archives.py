"""Reads CIFAR-10 and CIFAR-100 from their authors' archives, without importing TensorFlow.

Archives and a description of their formats: https://www.cs.toronto.edu/~kriz/cifar.html
"""

import dataclasses
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from rocket_tf.data.images import cifar_pickles
from rocket_tf.data.local_files import LocalImages, check_class_names, reason_of
from rocket_tf.errors import DamagedDataError, DataUnavailableError
from rocket_tf.system import files

_SHAPE = (3, 32, 32)  # shape of an image in a record: channels first
_PIXELS = 3 * 32 * 32
# The largest file of any format, CIFAR-100's pickle of training examples, has 155 MB.
_MOST_BYTES = 2**28
_MOST_BEHIND = 2**20  # of an archive's end, which is of zeros


@dataclasses.dataclass(frozen=True)
class _Archive:
    """One format of one data set.

    Attributes:
        folder: name of the folder in the archive.
        archive: name of the archive.
        train, test: names of the files with examples, in order.
        names: name of the file with class names.
        num_classes: number of classes.
        labels_key, names_key: keys of labels and class names in pickles; empty: binary files.
        label_bytes: bytes before the pixels in a record of a binary file; the last is the label.
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    names: str
    num_classes: int
    labels_key: str = ""
    names_key: str = ""
    label_bytes: int = 0


_ARCHIVES = {
    "cifar10": (
        _Archive(
            folder="cifar-10-batches-py",
            archive="cifar-10-python.tar.gz",
            train=tuple(f"data_batch_{number}" for number in range(1, 6)),
            test="test_batch",
            names="batches.meta",
            num_classes=10,
            labels_key="labels",
            names_key="label_names",
        ),
        _Archive(
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            test="test_batch.bin",
            names="batches.meta.txt",
            num_classes=10,
            label_bytes=1,
        ),
    ),
    "cifar100": (
        _Archive(
            folder="cifar-100-python",
            archive="cifar-100-python.tar.gz",
            train=("train",),
            test="test",
            names="meta",
            num_classes=100,
            labels_key="fine_labels",
            names_key="fine_label_names",
        ),
        _Archive(
            folder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            train=("train.bin",),
            test="test.bin",
            names="fine_label_names.txt",
            num_classes=100,
            label_bytes=2,
        ),
    ),
}


def find(folder, dataset):
    """Finds a data set in a folder: unpacked, or else as an archive.

    Args:
        folder: the folder that holds the data set, or the unpacked folder or archive itself.
        dataset: "cifar10" or "cifar100"; nothing is found for other names.

    Returns:
        A `Path`, or `None`.
    """
    found = _find(folder, dataset)
    return found and found[0]


def read(folder, dataset):
    """Reads CIFAR-10, or CIFAR-100 with its 100 fine labels, into memory.

    Args:
        folder: as for `find`.
        dataset: "cifar10" or "cifar100".

    Returns:
        `LocalImages` with images of shape (examples, 32, 32, 3), in the archive's order, which is
        the same for pickles and binary files.

    Raises:
        DamagedDataError: if a file is missing, truncated, or does not contain what CIFAR's does.
        DataUnavailableError: if the folder does not contain the data set.
    """
    found = _find(folder, dataset)
    if found is None:
        names = [name for form in _ARCHIVES[dataset] for name in (form.folder, form.archive)]
        raise DataUnavailableError(
            f"{folder}: does not contain {dataset}; expected one of {', '.join(names)} from "
            "https://www.cs.toronto.edu/~kriz/cifar.html"
        )
    path, form = found
    contents = _read_files(path, form)
    class_names = _class_names(f"{path}: {form.names}", contents[form.names], form)
    train = [_examples(f"{path}: {name}", contents.pop(name), form) for name in form.train]
    return LocalImages(
        train=tuple(np.concatenate(arrays) for arrays in zip(*train, strict=True)),
        test=_examples(f"{path}: {form.test}", contents[form.test], form),
        class_names=class_names,
    )


def _find(folder, dataset):
    """The path and the format of a data set, or `None`."""
    folder = Path(folder).expanduser()
    for form in _ARCHIVES.get(dataset, ()):
        for parent in (folder, folder.parent):
            unpacked, archive = parent / form.folder, parent / form.archive
            if unpacked.is_dir() and folder in (parent, unpacked):
                return unpacked, form
            if archive.is_file() and folder in (parent, archive):
                return archive, form
    return None


def _read_files(path, form):
    """The content of a format's files, by name."""
    wanted = (*form.train, form.test, form.names)
    contents = {}
    if path.is_dir():
        for name in wanted:
            try:
                with files.open_regular(path / name) as file:
                    _check_size(f"{path}: {name}", os.fstat(file.fileno()).st_size)
                    contents[name] = file.read()
            except FileNotFoundError:
                break
            except OSError as error:
                raise DamagedDataError(f"{path}: {name}: {reason_of(error)}") from error
    else:
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    _check_size(f"{path}: {member.name!a}", member.size)
                    name = PurePosixPath(member.name).name
                    if member.isfile() and name in wanted:
                        contents[name] = archive.extractfile(member).read()
                # Read to the very end, where the checksum is.
                if len(archive.fileobj.read(_MOST_BEHIND)) == _MOST_BEHIND:
                    raise DamagedDataError(f"{path}: has data after its end; download it again")
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise DamagedDataError(f"{path}: {reason_of(error)}; download it again") from error
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise DamagedDataError(f"{path}: {missing[0]}: missing; download the archive again")
    return contents


def _check_size(source, size):
    """Refuses a file that is too large for CIFAR before it is read into memory."""
    if size > _MOST_BYTES:
        raise DamagedDataError(
            f"{source}: has {size} bytes, but no file of CIFAR has more than {_MOST_BYTES}; "
            "download the archive again from its authors"
        )


def _class_names(source, content, form):
    if form.names_key:
        names = cifar_pickles.read(source, content).get(form.names_key)
        names = names if isinstance(names, list) else []
    else:
        names = content.split()
    try:
        names = [name.decode() if isinstance(name, bytes) else name for name in names]
    except UnicodeDecodeError as error:
        raise DamagedDataError(f"{source}: {reason_of(error)}") from error
    if len(names) != form.num_classes or not all(isinstance(name, str) for name in names):
        raise DamagedDataError(f"{source}: {len(names)} class names, expected {form.num_classes}")
    check_class_names(source, names)
    return names


def _examples(source, content, form):
    """Images, uint8 of shape (examples, 32, 32, 3), and int64 labels of a file."""
    parse = _parse_pickle if form.labels_key else _parse_binary
    rows, labels = parse(source, content, form)
    if len(labels) == 0:
        raise DamagedDataError(f"{source}: has no records")
    outside = np.flatnonzero((labels < 0) | (labels >= form.num_classes))
    if len(outside):
        raise DamagedDataError(
            f"{source}: record {outside[0] + 1} of {len(labels)} has label {labels[outside[0]]}, "
            f"expected 0 to {form.num_classes - 1}"
        )
    images = rows.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.int64)


def _parse_pickle(source, content, form):
    batch = cifar_pickles.read(source, content)
    missing = [key for key in ("data", form.labels_key) if key not in batch]
    if missing:
        raise DamagedDataError(f"{source}: has no {missing[0]!r}")
    rows = cifar_pickles.to_array(source, batch["data"])
    if rows.ndim != 2 or rows.shape[1] != _PIXELS:
        raise DamagedDataError(
            f"{source}: images of shape {rows.shape}, expected (records, {_PIXELS})"
        )
    labels = batch[form.labels_key]
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise DamagedDataError(f"{source}: {form.labels_key!r} is not a list of integers")
    if len(labels) != len(rows):
        raise DamagedDataError(f"{source}: {len(rows)} images, but {len(labels)} labels")
    return rows, np.array(labels)


def _parse_binary(source, content, form):
    size = form.label_bytes + _PIXELS
    if len(content) % size:
        raise DamagedDataError(
            f"{source}: {len(content)} bytes, not a multiple of the record size, {size}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return records[:, form.label_bytes :], records[:, form.label_bytes - 1].astype(np.int64)
