"""Reads files without waiting, and writes them completely or not at all."""

import contextlib
import errno
import fcntl
import glob
import json
import math
import os
import shutil
import stat
import uuid
from pathlib import Path


class NotRegularError(OSError):
    """A pipe, a device or a socket where a file is expected; reading it might never end."""

    def __init__(self, path):
        super().__init__(errno.EINVAL, "is not a regular file (but, say, a pipe)", str(path))


def open_regular(path):
    """Opens a file to read its bytes, without waiting for a pipe.

    Raises:
        NotRegularError: if it is a pipe, a device or a socket.
        OSError: if it cannot be opened.
    """
    file = open(path, "rb", opener=_open_nonblocking)  # noqa: SIM115 - for the caller to close
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotRegularError(path)
    except BaseException:
        file.close()
        raise
    return file


def _open_nonblocking(path, flags):
    try:
        return os.open(path, flags | os.O_NONBLOCK)  # otherwise, it would wait for a pipe's writer
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a missing device
            raise NotRegularError(path) from error
        raise


def check_regular(path):
    """Raises NotRegularError for a pipe, a device or a socket, before a library waits for it."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise NotRegularError(path)


def read_bytes(path):
    """A file's content; raises like `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_text(path):
    """The text of a UTF-8 file; raises like `open_regular`, and UnicodeDecodeError."""
    return read_bytes(path).decode()


def write_text(path, text):
    """Writes a UTF-8 text file like `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path, content):
    """Writes a file and makes its folder; if the process is killed meanwhile, the old file stays.

    Raises:
        OSError: if it cannot be written. The error names the file; no partial file is left.
    """
    path = Path(path)
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_partial(path.parent, f".{glob.escape(path.name)}.*.partial")
        partial, descriptor = _new_partial(path.parent, f".{path.name}.", _make_file)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def as_json(content, **options):
    """JSON text.

    JSON has only finite numbers: NaN and infinities become null.

    Args:
        content: a value that JSON can hold, with any floats.
        **options: options of `json.dumps`.

    Example:
        >>> as_json({"loss": float("nan"), "steps": (1, 2.5)})
        '{"loss": null, "steps": [1, 2.5]}'
    """
    return json.dumps(_with_finite_numbers(content), allow_nan=False, **options)


def _with_finite_numbers(content):
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _with_finite_numbers(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_with_finite_numbers(value) for value in content]
    return content


def write_json(path, content):
    """Writes a JSON file, with `as_json` and `write_bytes`."""
    write_text(path, as_json(content, indent=2) + "\n")


def clear_partial(folder, pattern=".*.partial"):
    """Removes half-written files of killed processes from a folder, not from its subfolders.

    Files that are being written stay, since their writers hold locks. A version that was about to
    be replaced gets its name back, unless the new one has it.

    Args:
        folder: the folder; it need not exist.
        pattern: pattern of the names.
    """
    folder = Path(folder)
    for path in [*folder.glob(pattern), *folder.glob(".*.replaced")]:
        # Another process may be faster, or the file system may have no locks.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(path)
            finally:
                os.close(descriptor)


def _clear(path):
    number = path.name.split(".")[-2]
    if path.suffix == ".replaced" and number.isdecimal() and not path.with_name(number).exists():
        os.rename(path, path.with_name(number))
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _new_partial(folder, prefix, make):
    """A new file or folder, locked by its writer: its path, and a descriptor of it."""
    while True:
        partial = folder / f"{prefix}{uuid.uuid4().hex}.partial"
        descriptor = make(partial)
        with contextlib.suppress(OSError):  # of file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():  # else removed as a leftover before it was locked
            return partial, descriptor
        os.close(descriptor)


def _make_file(path):
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _make_folder(path):
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def write_version(directory, write, version=None, overwrite=False):
    """Makes a numbered folder that gets its name when all of it is written.

    Args:
        directory: the folder of the versions, made if it is missing.
        write: called with the folder to write to; if it raises, the folder is removed.
        version: the number; `None`: one more than the highest.
        overwrite: whether to replace an existing version when the new one is complete.

    Returns:
        `pathlib.Path` of the version.

    Raises:
        FileExistsError: if the version exists and `overwrite` is not set.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if version is not None and not overwrite:
        _check_is_new(directory / str(version))
    clear_partial(directory)
    partial, descriptor = _new_partial(directory, ".", _make_folder)
    try:
        write(partial)
        _flush(partial)
        if version is not None:
            return _rename(partial, directory / str(version), overwrite)
        while True:
            try:
                return _rename(partial, directory / str(_next_version(directory)), False)
            except FileExistsError:
                continue  # another process was faster: try the next number
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)


def _rename(partial, final, overwrite):
    if not overwrite or not final.exists():
        _check_is_new(final)
        try:
            os.rename(partial, final)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                _check_is_new(final)
            raise
        return final
    replaced = partial.with_suffix(f".{final.name}.replaced")
    descriptor = os.open(final, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(final, replaced)
        try:
            os.rename(partial, final)
        except OSError:
            os.rename(replaced, final)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        os.close(descriptor)
    return final


def _check_is_new(final):
    if final.exists():
        raise FileExistsError(
            f"{final} exists; versions are overwritten only with overwrite=True: pass another "
            "version, or none for the next"
        )


def is_pattern(path):
    r"""Whether TensorFlow reads a path as a pattern, and so finds no variables under it.

    It does so whenever it loads a SavedModel: brackets are choices for one character, and a
    backslash is dropped.

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
