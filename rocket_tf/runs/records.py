"""Reads and checks the JSON files of a run, which may be edited or damaged."""

import errno
import json
import math

from rocket_tf import config as options
from rocket_tf.errors import ConfigError
from rocket_tf.system import files

_WAY_OUT = "expected the JSON that a run wrote; start the run anew in another folder"
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_NETS = ("light", "booster", "teacher")
# The types of a summary's values; some may be missing.
_WHOLE = ("seed", "epochs", "epoch", "train_examples", "test_examples")
_TEXTS = ("method", "export")


class Record(dict):
    """A JSON object from a file; if a key is missing, the error names the file."""

    def __init__(self, content, path, place=""):
        super().__init__(content)
        self._file, self._place = path, place

    def __missing__(self, key):
        raise damaged(self._file, f"it has no {self._place}{key}")


def damaged(path, reason):
    """The `ConfigError` for a file of a run that is damaged."""
    return ConfigError(f"--workdir: {path} is damaged ({reason}); {_WAY_OUT}")


def read_object(path):
    """The JSON object in a file, a `Record`; `None` if there is no file.

    Raises:
        ConfigError: if it holds anything else.
        OSError: if it cannot be read.
    """
    try:
        content = _object(files.read_bytes(path))
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return None
    except ValueError as error:
        raise damaged(path, error) from None
    return Record(content, path)


def read_config(path):
    """The configuration in a file, with older fields; `None` if there is no file.

    Raises:
        ConfigError: if it is damaged, or a field that its run reads has an invalid value.
    """
    content = read_object(path)
    return None if content is None else checked_config(content, path)


def checked_config(content, path):
    """A configuration that a file holds, with older fields.

    Args:
        content: content of the file.
        path: path of the file, for the message.

    Raises:
        ConfigError: like `read_config`.
    """
    if not isinstance(content, dict):
        raise damaged(path, f"its config is a {type(content).__name__}, not an object")
    config = options.with_older_fields(content)
    problem = options.problem_of_values(config)
    if problem:
        raise damaged(path, problem)
    return config


def read_summary(path):
    """The summary in a file, a `Record`; `None` if there is no file.

    Raises:
        ConfigError: if it is damaged, or a value is of the wrong type.
    """
    summary = read_object(path)
    if summary is None:
        return None
    for key, value in summary.items():
        if key in _WHOLE and type(value) is not int:
            raise damaged(path, f"{key} is {_shown(value)}, not a whole number")
        if key in _TEXTS and not isinstance(value, str):
            raise damaged(path, f"{key} is {_shown(value)}, not a string")
        if key in (*_NETS, "versions"):
            if not isinstance(value, dict):
                raise damaged(path, f"{key} is {_shown(value)}, not an object")
            summary[key] = Record(value, path, f"{key}.")
        if key in _NETS:
            _check_figures(path, value)
        if key == "before":
            _check_before(path, value)
    return summary


def _check_before(path, value):
    by_net = value if isinstance(value, dict) else {}
    if not by_net or not all(isinstance(figures, dict) for figures in by_net.values()):
        raise damaged(path, f"before is {_shown(value)}, not an object of figures by net")
    for figures in by_net.values():
        _check_figures(path, figures)


def _check_figures(path, figures):
    for key, value in figures.items():
        if key == "errors_by_class" and isinstance(value, list):
            continue  # a study adds it
        if key == "labels" and isinstance(value, dict):
            for label, label_figures in value.items():
                if not isinstance(label_figures, dict):
                    raise damaged(path, f"{key}.{label} is {_shown(label_figures)}, not an object")
                _check_figures(path, label_figures)
            continue
        # An AUC may be NaN, and multiply-adds may be unknown.
        may_lack = not (key.endswith("_error") or key == "parameters")
        if not (_is_number(value) or (value is None and may_lack)):
            raise damaged(path, f"{key} is {_shown(value)}, not a number")


def read_metrics(path):
    """The metrics of all finished epochs: a list of `Record`s, with NaN for null.

    An incomplete last line is left out: a process was killed while writing it.

    Raises:
        ConfigError: if another line is damaged.
    """
    try:
        content = files.read_bytes(path)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return []
    lines, records = content.split(b"\n"), []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(_metrics(_object(line), path, number))
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"}"):
                break
            raise damaged(path, f"line {number}: {error}") from None
    return records


def _metrics(line, path, number):
    for key, value in line.items():
        if not (_is_number(value) or value is None):
            raise ValueError(f"{key} is {_shown(value)}, not a number")
    if type(line.get("epoch")) is not int:
        raise ValueError("it has no epoch")
    line = {key: math.nan if value is None else value for key, value in line.items()}
    return Record(line, path, f"line {number}: ")


def _object(content):
    try:
        parsed = json.loads(content.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"it holds {type(parsed).__name__}, not an object")
    return parsed


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value):
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
