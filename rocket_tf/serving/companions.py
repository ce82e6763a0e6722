"""The files that come with an exported net: its labels, and where it comes from."""

import datetime
import json
from pathlib import Path

from rocket_tf.system import files
from rocket_tf.system.provenance import software

LABELS = "labels.txt"
PROVENANCE = "provenance.json"


def labels_of(export):
    """Where the labels of an export are, a class name a line: a SavedModel's folder, or a file."""
    export = Path(export)
    return export / "assets" / LABELS if export.is_dir() else export.parent / LABELS


def provenance_of(export):
    """Where an export's origin is written: in a SavedModel's folder, or beside the file."""
    export = Path(export)
    return export / "assets.extra" / PROVENANCE if export.is_dir() else export.parent / PROVENANCE


def write_labels(path, class_names):
    """Writes the names of the classes, a line each."""
    files.write_text(path, "".join(f"{name}\n" for name in class_names))


def read_labels(export):
    """The names of an export's classes, a list; `None` where they have none."""
    path = labels_of(export)
    return path.read_text("utf-8").splitlines() if path.exists() else None


def write_provenance(path, origin):
    """Writes the origin of an export as JSON, with versions of the software and the time."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    content = {**origin, "software": software("tensorflow", "keras"), "created": created}
    files.write_json(path, content)


def read_provenance(export):
    """The origin of an export, a dict; `None` where none is written.

    Raises:
        ValueError: if it is no JSON.
    """
    path = provenance_of(export)
    return json.loads(path.read_text()) if path.exists() else None


def comes_from(export, origin):
    """Whether an export has this origin, a dict that JSON can hold."""
    try:
        read = read_provenance(export)
    except ValueError:
        return False
    origin = json.loads(json.dumps(origin))
    return isinstance(read, dict) and origin.items() <= read.items()
