"""The provenance of a file: software versions, this package's revision, and the machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import rocket_tf


def software(*packages):
    """Versions of packages and of rocket_tf, with the revision of a clone.

    Args:
        packages: names of installed packages.

    Returns:
        Dict from names to versions. In a clone, `revision` is the commit, with "+changes" if files
        differ from it.
    """
    versions = {package: importlib.metadata.version(package) for package in packages}
    versions["rocket_tf"] = rocket_tf.__version__
    revision = _revision()
    return versions | ({"revision": revision} if revision else {})


def machine():
    """The properties of a machine that affect speed."""
    return {"processors": os.cpu_count(), "architecture": platform.machine()}


def _revision():
    source = Path(__file__).resolve()
    try:
        # Fails outside a clone, and if this package is only installed inside one.
        _git(source.parent, "ls-files", "--error-unmatch", source.name)
        commit = _git(source.parent, "rev-parse", "HEAD")
        changed = _git(source.parent, "status", "--porcelain", "--untracked-files=no", ".")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+changes" if changed else "")


def _git(folder, *arguments):
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
