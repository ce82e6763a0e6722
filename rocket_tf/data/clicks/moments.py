"""Means and variances of columns of numbers, in one pass, and how numbers enter nets."""

import numpy as np

# With fewer bits than these within a standard deviation, float32 would blur a number.
_BITS = 10
_FLOAT32_BITS = 24
# Whole numbers beyond it lose their last digits in float32.
_LARGEST_WHOLE = 2.0**_FLOAT32_BITS
_EXACT = 2**53
# Deviations beyond which float32 or Keras's layer would not scale a number.
_SMALLEST, _LARGEST = 1e-6, 1e15


class Moments:
    """The moments of numbers that come in pieces.

    Sums are in `numpy.longdouble`, so pieces of any size give the same result, except for rare last
    digits.

    Example:
        >>> moments = Moments()
        >>> for piece in (np.array([1.0, 2.0]), np.array([6.0])):
        ...     moments.add(piece)
        >>> moments.mean, round(moments.variance, 6)
        (3.0, 4.666667)
    """

    def __init__(self):
        self._number, self._mean, self._squares = 0, np.longdouble(0), np.longdouble(0)
        self._largest = 0.0
        self._base = 0  # a whole number among whole numbers, from which these are counted

    def add(self, values):
        """Adds an array of numbers; NaN is left out."""
        if values.dtype.kind == "f":
            values = values[~np.isnan(values)]
        if not len(values):
            return
        if values.dtype.kind == "i" and not self._number:
            self._base = int(values[0])
        self._largest = max(self._largest, float(np.abs(values.astype(np.float64)).max()))
        values = values.astype(np.longdouble) - np.longdouble(self._base)
        number, mean = len(values), values.mean()
        squares = np.square(values - mean).sum()
        total, delta = self._number + number, mean - self._mean
        self._mean += delta * number / total
        self._squares += squares + delta * delta * self._number * number / total
        self._number = total

    @property
    def mean(self):
        """The mean; an integer if float64 would lose some of its digits."""
        mean = float(self._base + self._mean)
        return mean if abs(mean) < _EXACT else self._base + int(np.rint(self._mean))

    @property
    def variance(self):
        """The variance; 1 if all numbers are the same, because they have no scale."""
        return float(self._squares / max(self._number, 1)) or 1.0

    @property
    def largest(self):
        """The largest absolute value."""
        return self._largest

    @property
    def fits_float32(self):
        """Whether float32 keeps the differences of these numbers."""
        deviation = float(np.sqrt(self._squares / max(self._number, 1)))
        if not deviation:
            return True
        resolution = self._largest * 2.0 ** (_BITS - _FLOAT32_BITS)
        return _SMALLEST <= deviation <= _LARGEST and resolution <= deviation


class NumberFacts:
    """What a net needs to know about a column of numbers, from its training values."""

    def __init__(self):
        self._exact, self._rounded, self._are_integers = Moments(), Moments(), True

    def add(self, values):
        """Adds an array, int64 or float64."""
        self._exact.add(values)
        with np.errstate(over="ignore"):
            self._rounded.add(values.astype(np.float32))
        self._are_integers &= values.dtype.kind == "i"

    @property
    def dtype(self):
        """The dtype for nets: "float32" if that keeps the differences of the numbers."""
        if self._are_integers and self._exact.largest > _LARGEST_WHOLE:
            return "int64"
        return "float32" if self._exact.fits_float32 else "float64"

    @property
    def moments(self):
        """Mean and variance of the values in that dtype."""
        moments = self._rounded if self.dtype == "float32" else self._exact
        return moments.mean, moments.variance


def moments_of(values):
    """Mean and variance of an array."""
    moments = Moments()
    moments.add(values)
    return moments.mean, moments.variance
