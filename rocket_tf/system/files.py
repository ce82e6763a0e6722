"""Files that are there whole or not at all."""

import errno
import json
import os
import shutil
import uuid
from pathlib import Path


def write_text(path, text):
    """Writes a text file in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path, content):
    """Writes a file, making its folder; a process killed meanwhile leaves the old one.

    Raises:
        OSError: if it cannot be written; it names the file, and leaves nothing.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path, content):
    """Writes what JSON can hold, as `write_bytes` does."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_version(directory, write, version=None, overwrite=False):
    """Makes a numbered folder that gets its name when all of it is written.

    Args:
        directory: the folder of the versions, made where it is missing.
        write: called with the folder to write to; if it raises, the folder is taken away.
        version: the number; `None`: one more than the highest there is.
        overwrite: whether a version that is there gives way, when the new one is whole.

    Returns:
        `pathlib.Path` of the version.

    Raises:
        FileExistsError: if the version is there, and `overwrite` is not set.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if version is not None and not overwrite:
        _check_is_new(directory / str(version))
    partial = directory / f".{uuid.uuid4().hex}.partial"
    partial.mkdir()
    try:
        write(partial)
        _flush(partial)
        if version is not None:
            return _give_name(partial, directory / str(version), overwrite)
        while True:
            try:
                return _give_name(partial, directory / str(_next_version(directory)), False)
            except FileExistsError:
                continue  # another process was faster; the next number, then
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _give_name(partial, final, overwrite):
    if not overwrite or not final.exists():
        _check_is_new(final)
        try:
            os.rename(partial, final)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                _check_is_new(final)
            raise
        return final
    replaced = partial.with_suffix(".replaced")
    os.rename(final, replaced)
    try:
        os.rename(partial, final)
    except OSError:
        os.rename(replaced, final)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    return final


def _check_is_new(final):
    if final.exists():
        raise FileExistsError(
            f"{final} is there; versions are not overwritten unless asked for: take another "
            "version, or none for the next"
        )


def is_pattern(path):
    r"""Whether TensorFlow takes a path for a pattern, and so finds no variables under it.

    It does so when it loads a SavedModel, whatever loads it: brackets hold choices for one
    character, and a backslash is left out.

    Example:
        >>> [is_pattern(path) for path in ("nets/a [1]", "nets/a*", r"C:\nets")]
        [True, False, True]
    """
    path = str(path)
    return "\\" in path or ("[" in path and "]" in path)


def size_of(path):
    """Bytes of a file, or of all files in a folder."""
    path = Path(path)
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())


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
