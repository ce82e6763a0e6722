"""The files that come with an exported net: its labels and its provenance."""

import datetime
import json
from pathlib import Path

from rocket_tf.errors import ConfigError
from rocket_tf.system import files
from rocket_tf.system.provenance import software

LABELS = "labels.txt"
PROVENANCE = "provenance.json"


def labels_of(export):
    """The path of an export's labels, one class name a line."""
    export = Path(export)
    return export / "assets" / LABELS if export.is_dir() else export.parent / LABELS


def provenance_of(export):
    """The path of an export's provenance: in a SavedModel's folder, or beside the file."""
    export = Path(export)
    return export / "assets.extra" / PROVENANCE if export.is_dir() else export.parent / PROVENANCE


def write_labels(path, class_names):
    """Writes the names of the classes, one a line."""
    files.write_text(path, "".join(f"{name}\n" for name in class_names))


def read_labels(export):
    """The names of an export's classes, a list; `None` if they have none.

    Raises:
        ConfigError: if they are not UTF-8.
    """
    path = labels_of(export)
    try:
        return files.read_text(path).splitlines() if path.exists() else None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); expected the name of a "
            "class in each line; export the net again"
        ) from None


def write_provenance(path, origin):
    """Writes an export's origin as JSON, with the time and the versions of the software."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    content = {**origin, "software": software("tensorflow", "keras"), "created": created}
    files.write_json(path, content)


def read_provenance(export):
    """The origin of an export, a dict; `None` if it has no such file.

    Raises:
        ValueError: if it is not JSON.
    """
    path = provenance_of(export)
    return json.loads(files.read_text(path)) if path.exists() else None


def comes_from(export, origin):
    """Whether an export has this origin, a dict of JSON values."""
    try:
        provenance = read_provenance(export)
    except (ValueError, RecursionError):
        return False
    origin = json.loads(files.as_json(origin))
    return isinstance(provenance, dict) and origin.items() <= provenance.items()
