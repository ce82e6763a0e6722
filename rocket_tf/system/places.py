"""Checks that a path can name a folder, before anything is written there."""

import errno
import os
import stat
from pathlib import Path

from rocket_tf.errors import ConfigError

# File systems allow 255 bytes; temporary files and suffixes need some of them.
_LONGEST_NAME = 200
_SHOWN = 200  # characters of a path that a message shows


def check_folder(flag, path):
    """Checks that a path can name a folder, which need not exist.

    Args:
        flag: the option with the path, such as "--workdir".
        path: the path.

    Raises:
        ConfigError: if it is a file, is under one, is too long, or is not UTF-8.
    """
    path = Path(path)
    text = str(path)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigError(
            f"{flag}: got {shown!a}, expected a path in UTF-8, which TensorFlow requires; name "
            "another"
        )
    for ancestor in (path, *path.parents):
        try:
            is_folder = stat.S_ISDIR(ancestor.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
                raise
            raise ConfigError(
                f"{flag}: got {shown}, expected the path of a folder ({error.strerror}); name "
                "another"
            ) from None
        if not is_folder:
            where = "" if ancestor == path else f", and {shown} would lie under it"
            raise ConfigError(
                f"{flag}: {ancestor} is a file{where}, expected a folder; name another"
            )
        return


def check_file(flag, path):
    """Checks that a path can name a file; neither the file nor its folder need exist.

    Raises:
        ConfigError: like `check_folder`, for its folder.
    """
    path = Path(path)
    check_folder(flag, path.parent)
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise ConfigError(f"{flag}: got {path.name[:_SHOWN]}…, expected a shorter name")
