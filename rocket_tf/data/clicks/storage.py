"""The storage of a click log: the local disk or, for Parquet, URLs that fsspec opens.

It does not import TensorFlow.
"""

import os
from pathlib import Path

from rocket_tf.errors import DataUnavailableError


def is_remote(path):
    """Whether a path is a URL, such as s3://bucket/log."""
    return "://" in str(path)


def storage_of(path):
    """The storage of a path, which lists and opens files.

    Args:
        path: a file, a folder, or a URL of one.

    Returns:
        `LocalStorage` or `RemoteStorage`.

    Raises:
        DataUnavailableError: if it is a URL that fsspec cannot open.
    """
    return RemoteStorage(path) if is_remote(path) else LocalStorage(path)


class LocalStorage:
    """A local file or folder.

    Attributes:
        root: its path.
        is_file: whether it is a file.
    """

    def __init__(self, path):
        self.root = Path(path).expanduser()
        self.is_file = self.root.is_file()

    def exists(self):
        return self.root.exists()

    def names(self):
        """Sorted paths of all files below the folder, without hidden files and Spark's marks.

        Folders that are links are followed.

        Raises:
            DataUnavailableError: if a folder cannot be read, or a link leads to it a second time.
        """

        def refuse(error):
            raise DataUnavailableError(f"{error.filename}: cannot be read: {error.strerror}")

        names, seen = [], set()
        for folder, folders, files in os.walk(self.root, onerror=refuse, followlinks=True):
            real_path = os.path.realpath(folder)
            if real_path in seen:
                raise DataUnavailableError(
                    f"{folder}: links to a folder that is already read; remove the link"
                )
            seen.add(real_path)
            folders[:] = [name for name in folders if _is_shown(name)]
            names += [
                (Path(folder) / name).relative_to(self.root).as_posix()
                for name in files
                if _is_shown(name)
            ]
        return sorted(names)

    def path(self, name):
        return str(self.root / name) if name else str(self.root)

    def open(self, name):
        return open(self.path(name), "rb")


class RemoteStorage:
    """A file or a folder at a URL, by fsspec; attributes and methods as in `LocalStorage`."""

    def __init__(self, path):
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise DataUnavailableError(
                f"{path}: URLs are read by fsspec, which is not installed; install "
                "rocket_tf[remote], or copy the files"
            ) from error
        try:
            self._system, self._root = url_to_fs(str(path))
            self.is_file = self._system.isfile(self._root)
        except Exception as error:  # each protocol has its own
            raise DataUnavailableError(
                f"{path}: cannot be opened: {type(error).__name__}: "
                f"{''.join(str(error).splitlines()[:1])}; check the URL, or copy the files"
            ) from error
        self.root = str(path).rstrip("/")

    def exists(self):
        return self._system.exists(self._root)

    def names(self):
        start = self._root.rstrip("/") + "/"
        names = [path.removeprefix(start) for path in self._system.find(self._root)]
        return sorted(name for name in names if all(map(_is_shown, name.split("/"))))

    def path(self, name):
        return f"{self.root}/{name}" if name else self.root

    def open(self, name):
        return self._system.open(self._root.rstrip("/") + "/" + name if name else self._root, "rb")


def _is_shown(name):
    return not name.startswith((".", "_"))
