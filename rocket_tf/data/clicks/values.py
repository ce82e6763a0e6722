"""Checks the values of a click log's columns, and converts them for the nets.

It does not import TensorFlow.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.errors import DamagedDataError

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WHOLE = r"^(0|-?[1-9][0-9]*)$"
# Integers in another spelling, which are different ids as strings.
_ALMOST_WHOLE = r"^\s*[+-]?[0-9]+(\.0*)?\s*$"


def is_text(kind):
    """Whether an Arrow type is a type of strings."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def labels(array, name, where):
    """The labels, checked.

    Args:
        array: Arrow array of numbers or strings.
        name: its column, for messages.
        where: function from a row of the array to its file, and its line or record.

    Returns:
        int64 array of 0 and 1.

    Raises:
        DamagedDataError: if there is another value.
    """
    values = _to_float64(array)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DamagedDataError(
            f"{where(row)}: label {_shown(array, row)} in {name!r}; expected 0 or 1"
        )
    return values.astype(np.int64)


def all_labels(arrays, names, where):
    """The labels of examples, checked, of several columns side by side.

    Args:
        arrays: dict from columns to Arrow arrays.
        names: of the columns of labels.
        where: as for `labels`.

    Returns:
        int64 array, shape (rows,), or, of several columns, (rows, columns).

    Raises:
        DamagedDataError: as `labels`.
    """
    label_columns = [labels(arrays[name], name, where) for name in names]
    return label_columns[0] if len(label_columns) == 1 else np.stack(label_columns, axis=1)


def weights(array, name, where):
    """Weights of examples, checked; arguments as for `labels`.

    Returns:
        float32 array.

    Raises:
        DamagedDataError: if one is negative, missing, or not a finite number of 32 bits.
    """
    values = _to_float64(array)
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    wrong = ~(np.isfinite(result) & (result >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DamagedDataError(
            f"{where(row)}: {_shown(array, row)} in {name!r}; expected a weight: a finite number "
            "of at least 0"
        )
    return result


def as_texts(array):
    """Values, or lists of them, as strings with 64-bit offsets, which allow more than 2 GiB."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array.cast(pa.large_list(pa.large_string()))
    return array.cast(pa.large_string())


def missing_in(array, is_number=False):
    """Which values are missing: null, NaN, or blank strings; for numbers, also the string nan.

    Args:
        array: Arrow array.
        is_number: whether its values are numbers.

    Returns:
        Arrow array of booleans.
    """
    missing = compute.is_null(array, nan_is_null=True)
    if not is_text(array.type):
        return missing
    blank = r"^\s*([nN][aA][nN]\s*)?$" if is_number else r"^\s*$"
    return compute.or_(
        missing, compute.fill_null(compute.match_substring_regex(array, blank), True)
    )


def present(array):
    """The values that are not missing."""
    return array.filter(compute.invert(missing_in(array)))


def marked(array, whole, name, where):
    """A category with missing values, which are marked.

    Args:
        array: Arrow array of integers, floats that are whole, or strings.
        whole: whether its values become int64, with `MISSING` for missing ones; else strings, with
            "".
        name: as for `labels`.
        where: as for `labels`.

    Returns:
        Arrow array.

    Raises:
        DamagedDataError: if one is the mark, or a float is not whole.
    """
    array = compute.if_else(missing_in(array), pa.scalar(None, array.type), array)
    if not whole:
        return compute.fill_null(as_texts(array), "")
    try:
        array = array.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DamagedDataError(
            f"{where(0).rpartition(',')[0] or where(0)}: {name!r} has values that are not whole "
            f"numbers of 64 bits: {error}"
        ) from error
    index = compute.index(array, pa.scalar(MISSING, pa.int64())).as_py()
    if index >= 0:
        raise DamagedDataError(
            f"{where(index)}: {MISSING} in {name!r}; expected a larger number: this one stands for "
            "values that are missing"
        )
    return compute.fill_null(array, MISSING)


def numbers(array, name, where, missing=False):
    """Numbers, checked; arguments as for `labels`.

    Args:
        array: as for `labels`.
        name: as for `labels`.
        where: as for `labels`.
        missing: whether values may be missing, which are NaN then.

    Returns:
        int64 array of whole numbers alone, or float64; where they may be missing, float64.

    Raises:
        DamagedDataError: if one is not finite, or beyond 32 bits.
    """
    values = _to_float64(array)
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(values.astype(np.float32))
    if missing:
        wrong &= ~missing_in(array, is_number=True).to_numpy(zero_copy_only=False)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DamagedDataError(
            f"{where(row)}: {_shown(array, row)} in {name!r}; expected a finite number of 32 bits"
        )
    if missing:
        return values
    are_whole = is_whole(array) if is_text(array.type) else pa.types.is_integer(array.type)
    if are_whole and len(array):
        return array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def times(array, name, where, missing=False):
    """Seconds since 1970, checked; arguments as for `numbers`.

    Returns:
        int64 array; where they may be missing, `MISSING` stands for none.

    Raises:
        DamagedDataError: if one is not a whole number of 64 bits.
    """
    if is_text(array.type):
        fits = compute.fill_null(compute.match_substring_regex(array, _WHOLE), False)
    else:
        fits = compute.is_valid(array)
    if missing:
        fits = compute.or_(fits, missing_in(array))
    index = compute.index(fits, False).as_py()
    if index >= 0:
        raise DamagedDataError(
            f"{where(index)}: {_shown(array, index)} in {name!r}; expected whole seconds since 1970"
        )
    return marked(array, True, name, where).to_numpy(zero_copy_only=False)


def is_whole(array):
    """Whether all values are whole numbers of 64 bits, without leading zeros."""
    if not is_text(array.type):
        return True
    if not compute.all(compute.match_substring_regex(array, _WHOLE), min_count=0).as_py():
        return False
    try:
        array.cast(pa.int64())
    except pa.ArrowInvalid:  # too large
        return False
    return True


def spellings(array):
    """How many values are whole numbers, how many look so (17.0, " 17", 017), and one of these.

    Args:
        array: Arrow array of strings.

    Returns:
        `(whole, almost, example)`.
    """
    whole = compute.match_substring_regex(array, _WHOLE)
    almost = compute.and_not(compute.match_substring_regex(array, _ALMOST_WHOLE), whole)
    index = compute.index(almost, True).as_py()
    counts = (compute.sum(matches, min_count=0).as_py() for matches in (whole, almost))
    return (*counts, array[index].as_py() if index >= 0 else None)


def check_category(array, name, where, written=None):
    """Checks the values of a category: whole numbers from 0 on, or strings that are not empty.

    Args:
        array: Arrow array, int64 or strings.
        name: as for `labels`.
        where: as for `labels`.
        written: the values as the file has them, for messages.

    Raises:
        DamagedDataError: for the first that is neither.
    """
    if is_text(array.type):
        blank = compute.match_substring_regex(compute.fill_null(array, ""), r"^\s*$")
        expected = "a value that is not empty"
    else:
        blank = compute.fill_null(compute.less(array, 0), True)
        expected = "a number from 0 on, or text"
    index = compute.index(blank, True).as_py()
    if index >= 0:
        raise DamagedDataError(
            f"{where(index)}: {_shown(array if written is None else written, index)} in {name!r}; "
            f"expected {expected}"
        )


def as_objects(array):
    """Texts as NumPy has them, each once in memory, however often it is there."""
    encoded = array.dictionary_encode()
    texts = np.array([*encoded.dictionary.to_pylist(), ""], object)[:-1]
    return texts[encoded.indices.to_numpy(zero_copy_only=False)]


def padded(values, starts, lengths, width, padding):
    """Lists as the rows of a table, their first values, padded at the end.

    Args:
        values: array of all lists' values, numbers or objects that are strings.
        starts: int64, shape (rows,): where each list begins.
        lengths: int64, shape (rows,).
        width: values in a row of the table.
        padding: what fills the end of a row.

    Returns:
        Array of shape (rows, width).
    """
    values = np.append(values, np.array([padding], values.dtype))
    positions = np.arange(width)
    last = len(values) - 1
    return values[np.where(positions < lengths[:, None], starts[:, None] + positions, last)]


def _to_float64(array):
    """As float64; NaN for other strings than numbers, and for missing values."""
    if is_text(array.type):
        is_number = compute.match_substring_regex(array, _NUMBER)
        array = compute.if_else(is_number, array, "nan")
    # Of whole numbers above 2⁵³, the nearest.
    array = compute.fill_null(array.cast(pa.float64(), safe=False), np.nan)
    return array.to_numpy(zero_copy_only=False)


def _shown(array, row):
    return repr(array[row].as_py())
