"""A cache, in the user's cache folder, for facts about data that take long to compute."""

import contextlib
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from rocket_tf.system import files


def folder():
    """The folder: $ROCKET_TF_CACHE, or `rocket_tf` in $XDG_CACHE_HOME or in ~/.cache."""
    configured = os.environ.get("ROCKET_TF_CACHE")
    return Path(
        configured or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "rocket_tf")
    )


def load(kind, key):
    """Loads the arrays of `save`.

    Args:
        kind: the kind of facts, the first part of the file's name.
        key: what they depend on, a value that JSON can hold.

    Returns:
        Dict of arrays, or `None` if there is nothing that can be read.
    """
    try:
        with np.load(_path(kind, key)) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def save(kind, key, **arrays):
    """Keeps arrays, except arrays of Python objects; on failure, it keeps nothing."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    # The disk may be full or the folder read-only: the facts are then computed again.
    with contextlib.suppress(OSError):
        files.write_bytes(_path(kind, key), content.getvalue())


def _path(kind, key):
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return folder().expanduser() / f"{kind}-{digest}.npz"
