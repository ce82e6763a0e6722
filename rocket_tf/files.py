"""Files that are there whole or not at all."""

import contextlib
import json
import os
import shutil
from pathlib import Path


def write_text(path, text):
    """Writes a text file in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path, content):
    """Writes a file, making its folder; a process killed meanwhile leaves the old one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path, content):
    """Writes what JSON can hold, as `write_bytes` does."""
    write_text(path, json.dumps(content, indent=2) + "\n")


@contextlib.contextmanager
def new_version(directory, version=None, overwrite=False):
    """Makes a numbered folder that gets its name when all of it is written.

    Args:
        directory: the folder of the versions, made where it is missing.
        version: the number; `None`: one more than the highest there is.
        overwrite: whether a version that is there gives way, when the new one is whole.

    Yields:
        `(partial, final)`: the folder to write to, and what it will be called. It is taken away if
        the body raises.

    Raises:
        FileExistsError: if the version is there, and `overwrite` is not set.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / str(_next_version(directory) if version is None else version)
    if final.exists() and not overwrite:
        raise FileExistsError(
            f"{final} is there; versions are not overwritten unless asked for: take another "
            "version, or none for the next"
        )
    partial = directory / f".{final.name}.{os.getpid()}.partial"
    replaced = directory / f".{final.name}.{os.getpid()}.replaced"
    try:
        partial.mkdir()
        yield partial, final
        _flush(partial)
        if final.exists():
            os.rename(final, replaced)
        os.rename(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def newest_version(directory):
    """The folder with the highest number in a folder of versions, or `None`.

    Args:
        directory: the folder; it need not exist.
    """
    folders = Path(directory).glob("[0-9]*")
    versions = [path for path in folders if path.name.isdecimal() and path.is_dir()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _next_version(directory):
    newest = newest_version(directory)
    return 1 if newest is None else int(newest.name) + 1


def _flush(folder):
    """Waits until all files of a folder are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
