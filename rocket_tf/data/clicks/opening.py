"""Opens a click log: in memory, or as Parquet. It does not import TensorFlow."""

import os

from rocket_tf.data.clicks.files import Listing, is_gzipped
from rocket_tf.data.streamed import is_streamed

_GZIP = 5  # how much smaller gzip makes a log, about


def listing_of(settings, tell=print):
    """The `files.Listing` of the log of a configuration; nothing is listed yet."""
    is_cut = bool(settings["test_from"] or settings["test_fraction"])
    return Listing(settings["data_path"], settings["test_path"], is_cut, tell)


def fits_in_memory(files, settings):
    """Whether a log in CSV or TFRecord files is read into memory as it is."""
    if files.form == "Parquet" or files.test is None:
        return False
    size = sum(_size(path) for part in ("train", "test") for path in files.paths(part))
    return not is_streamed(settings["streaming"], size)


def as_parquet(files, columns, settings, tell=print):
    """The log in Parquet, into which CSV and TFRecord files are turned the first time."""
    if files.form == "Parquet":
        return files
    from rocket_tf.data.clicks import conversion

    return conversion.converted(files, columns, settings, tell)


def _size(path):
    """Bytes of a file's text, about."""
    return os.path.getsize(path) * (_GZIP if is_gzipped(path) else 1)
