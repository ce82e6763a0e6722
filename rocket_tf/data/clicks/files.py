"""Finds the files of a click log in a folder, and the part of each.

It does not import TensorFlow.
"""

import dataclasses
import functools
import re

from rocket_tf.data.clicks.storage import is_remote, storage_of
from rocket_tf.errors import DataUnavailableError

EXPECTED = (
    "train* and test* (CSV, also .csv.gz; TFRecord; Parquet; or folders of these), or one Parquet "
    "log with test_path, test_from or test_fraction"
)
_FORMS = {
    "CSV": r"\.csv(\.gz)?$",
    "TFRecord": r"\.tfrecords?[^/]*$",
    "Parquet": r"\.(parquet|pq)$",
}
# Files that may hold impressions, but in forms that are not read.
_DATA = (
    r"\.(csv|tsv|txt|parquet|pq|orc|avro|arrow|feather|jsonl?|ndjson)\b[^/]*$"
    r"|\.(gz|zip|zst|bz2|xz|lz4|snappy)$"
)


@dataclasses.dataclass(frozen=True)
class LogFiles:
    """The files of a click log.

    Attributes:
        form: "CSV", "TFRecord" or "Parquet".
        storage: their storage.
        train: their names in it, in order; of all examples if `test` is `None`.
        test_storage: the storage of the test part.
        test: names in it, or `None`: the test part is cut from `train`.
    """

    form: str
    storage: object
    train: list
    test_storage: object
    test: list | None

    def paths(self, part):
        """The full paths, or URLs, of the files of "train" or "test"."""
        storage, names = {
            "train": (self.storage, self.train),
            "test": (self.test_storage, self.test or []),
        }[part]
        return [storage.path(name) for name in names]


class Listing:
    """The names below a log's paths, each listed once, when it is first needed.

    The files of a part are in the order of their paths. The name of a file, or of its topmost
    folder, begins with "train" or "test", its part.

    Args:
        path: a file, a folder, or a URL of one.
        test_path: the same for the test part, if that is elsewhere.
        is_cut: whether the test part is cut from all examples, by a column or as the last ones.
        tell: called with a line about files that are not read.
    """

    def __init__(self, path, test_path="", is_cut=False, tell=print):
        self._path, self._test_path = path, test_path
        self._is_cut, self._tell = is_cut, tell

    @functools.cached_property
    def both_parts(self):
        """The files of both parts, `LogFiles`.

        Raises:
            DataUnavailableError: if there are none, if a part is missing, if they have several
                forms, or if the name of one is almost right.
        """
        storage = self._storage
        if not storage.exists():
            kind = "file or folder" if self._is_cut or self._test_path else "folder"
            raise DataUnavailableError(
                f"{storage.root}: no such {kind}; expected one with {EXPECTED}"
            )
        names = self._names
        if self._test_path:
            test_storage = self._test_storage
            if not test_storage.exists():
                raise DataUnavailableError(
                    f"config.test_path: {test_storage.root} is neither a file nor a folder"
                )
            test = self._test_names
            form, train = _one_form(storage, names)
            test_form, test = _one_form(test_storage, test)
            if form != test_form:
                raise DataUnavailableError(
                    f"{test_storage.root}: is in {test_form}, but the training part in {form}; "
                    "give both the same form"
                )
            return _checked(LogFiles(form, storage, train, test_storage, test))
        if self._is_cut:
            form, train = _one_form(storage, names)
            return _checked(LogFiles(form, storage, train, storage, None))
        by_part = {part: _of_part(part, names) for part in ("train", "test")}
        forms = [form for form in _FORMS if any(by_part[part].get(form) for part in by_part)]
        if len(forms) > 1:
            raise DataUnavailableError(
                f"{storage.root}: has both {' and '.join(forms)} files; expected {EXPECTED}, so "
                "move one form elsewhere"
            )
        for part in ("train", "test"):
            if not forms or not by_part[part].get(forms[0]):
                raise DataUnavailableError(_missing_part(storage, part))
        (form,) = forms
        ignored = [
            name for form_names in names.values() for name in form_names if _part(name) is None
        ]
        if ignored:
            listed = _listed(ignored)
            self._tell(f"{storage.root}: not read, being neither train* nor test*: {listed}")
        train, test = (by_part[part][form] for part in ("train", "test"))
        return _checked(LogFiles(form, storage, train, storage, test))

    @functools.cached_property
    def test_part(self):
        """The files of the test part alone, `LogFiles` whose `train` is empty.

        There may be none of the training part.

        Raises:
            DataUnavailableError: as for `both_parts`.
        """
        storage = self._test_storage
        if not storage.exists():
            raise DataUnavailableError(
                f"{storage.root}: no such file or folder; expected one with test examples"
            )
        names = self._test_names
        by_form = names if self._test_path else _of_part("test", names)
        if not any(by_form.values()):
            raise DataUnavailableError(_missing_part(storage, "test"))
        form, test = _one_form(storage, by_form)
        return _checked(LogFiles(form, storage, [], storage, test))

    @functools.cached_property
    def _storage(self):
        return storage_of(self._path)

    @functools.cached_property
    def _test_storage(self):
        return storage_of(self._test_path) if self._test_path else self._storage

    @functools.cached_property
    def _names(self):
        whole_log = self._is_cut or bool(self._test_path)
        return _sorted_by_form(self._storage, self._tell, whole_log)

    @functools.cached_property
    def _test_names(self):
        if not self._test_path:
            return self._names
        return _sorted_by_form(self._test_storage, self._tell, whole_log=True)


def is_gzipped(path):
    """Whether a file is compressed by gzip, by its name."""
    return str(path).lower().endswith(".gz")


def _sorted_by_form(storage, tell, whole_log):
    """Dict from forms to the names with each form."""
    if storage.is_file:
        form = _form(str(storage.root))
        if form is None:
            raise DataUnavailableError(
                f"{storage.root}: the name of a file of a click log ends with .parquet, .csv, "
                ".csv.gz or .tfrecord; rename it, or name its folder"
            )
        if not whole_log:
            raise DataUnavailableError(
                f"{storage.root}: is one file, without a test part; say which that is, by "
                "config.test_path, test_from or test_fraction"
            )
        return {form: [""]}
    names = storage.names()
    by_form = {form: [n for n in names if _form(n) == form] for form in _FORMS}
    unknown = [name for name in names if _form(name) is None]
    misnamed = [
        n for n in unknown if (whole_log or _part(n)) and re.search(_DATA, n, re.IGNORECASE)
    ]
    if misnamed:
        raise DataUnavailableError(
            f"{storage.path(misnamed[0])}: would be skipped because of its name; expected .csv, "
            ".csv.gz, .tfrecord or .parquet, so convert or rename it, or move it elsewhere"
        )
    similar = [n for n in unknown if _part(n) or re.search(_DATA, n, re.IGNORECASE)]
    if similar and any(by_form.values()):
        tell(f"{storage.root}: not read: {_listed(similar)}")
    return by_form


def _of_part(part, by_form):
    return {form: [n for n in names if _part(n) == part] for form, names in by_form.items()}


def _one_form(storage, by_form):
    present = {form: names for form, names in by_form.items() if names}
    if len(present) != 1:
        problem = (
            f"has both {' and '.join(present)} files" if present else "has no file of a click log"
        )
        raise DataUnavailableError(f"{storage.root}: {problem}; expected those of one form")
    return next(iter(present.items()))


def _checked(files):
    """The files; only Parquet may be at a URL."""
    for storage in (files.storage, files.test_storage):
        if is_remote(storage.root) and files.form != "Parquet":
            raise DataUnavailableError(
                f"{storage.root}: only Parquet is read from URLs, and this is {files.form}; copy "
                "the files to a folder"
            )
    return files


def _form(name):
    for form, pattern in _FORMS.items():
        if re.search(pattern, name, re.IGNORECASE):
            return form
    return None


def _part(name):
    top = name.split("/")[0].lower()
    return next((part for part in ("train", "test") if top.startswith(part)), None)


def _missing_part(storage, part):
    names = storage.names()
    return (
        f"{storage.root}: no files of {part} examples; expected {EXPECTED}; there are: "
        f"{_listed(names) if names else 'none'}"
    )


def _listed(names):
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
