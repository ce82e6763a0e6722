"""Locks: only one process trains in a folder at a time, and none while others read it."""

import contextlib
import fcntl
import os
import socket

from rocket_tf.errors import ConfigError


@contextlib.contextmanager
def owned(folder):
    """Keeps other processes from training in a folder, and from reading it.

    The lock ends with the process, however that ends; its file stays.

    Args:
        folder: a `pathlib.Path` of an existing folder.

    Raises:
        ConfigError: if another process trains in it, or reads it.
    """
    with _owner(folder).open("a+") as file:
        _lock(folder, file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def undisturbed(folder):
    """Keeps other processes from training in a folder; others may read it, too.

    If no process has trained there, or the file system has no locks, there is no lock.

    Args:
        folder: a `pathlib.Path`.

    Raises:
        ConfigError: if another process trains in it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context(_owner(folder).open("r"))
            _lock(folder, file, fcntl.LOCK_SH)
        yield


def _owner(folder):
    return folder / ".owner"


def _lock(folder, file, kind):
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ConfigError(
            f"--workdir: {folder} is in use by {file.read() or 'another process'}; wait for its "
            "end, stop it, or name another folder"
        ) from None
