"""Compares two runtimes: made-up inputs for both, and the difference of their answers."""

import numpy as np

# Between the logits of the float32 model and its export, relative to the example's largest logit
# if that is above 1.
LARGEST_DIFFERENCE = 1e-5


# Ids for made-up inputs. Nets that mask the first as padding may have no answer for it alone.
IDS = 0, 1


def made_up_input(dtype, shape, count, made_of=IDS[0]):
    """A made-up input of the right shape and dtype, always the same.

    Args:
        dtype: NumPy's name, or "string".
        shape: tuple with `None` for sizes that may vary; those other than the batch become 1.
        count: size of the batch, if it may vary.
        made_of: the id for inputs of ids; strings hold it, and are empty for 0.

    Returns:
        Array of integers from 0 to 255 for uint8 and floats, which may be pixels; of `made_of` for
        other numbers, which may be ids, and for strings.

    Raises:
        ValueError: if the shape is unknown or that of a scalar.
    """
    if not shape:
        raise ValueError(f"an input has shape {shape}, expected one that begins with the batch")
    first, *rest = shape
    shape = [first or count, *(size or 1 for size in rest)]
    if dtype == "string":
        return np.full(shape, str(made_of).encode() if made_of else b"", object)
    if dtype == "uint8" or dtype.startswith(("float", "bfloat")):
        return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    return np.full(shape, made_of, dtype)


def difference(expected, actual):
    """The largest difference of logits, relative to their scale; NaN if only one side is NaN.

    Values that are NaN in both, or the same infinity, count as equal: a net may give them at masked
    positions. If no value is finite, nothing can be compared, and the difference is NaN.

    The scale is the example's largest logit, but at least 1: a logit near 0 may be the difference
    of large numbers, and so no more exact than these.

    Args:
        expected: logits, shape (batch, ...).
        actual: others of the same shape.
    """
    expected, actual = (np.asarray(logits, np.float64) for logits in (expected, actual))
    is_finite = np.isfinite(expected)
    if expected.size and not is_finite.any():
        return float("nan")
    axes = tuple(range(1, expected.ndim))
    finite = np.where(is_finite, expected, 0)
    scale = np.max(np.abs(finite), axis=axes, keepdims=True, initial=1)
    is_same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    differences = np.abs(np.where(is_same, 0, expected) - np.where(is_same, 0, actual))
    return float(np.max(differences / scale, initial=0))
