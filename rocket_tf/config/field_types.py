"""What a field is, and the kinds of values that fields take. It does not import TensorFlow."""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

from rocket_tf.config.read_by import EVERY_RUN, Reader


@dataclasses.dataclass(frozen=True)
class Field:
    """One option of a run.

    Attributes:
        default: its value where a configuration does not set it; its type is the field's type.
        meaning: what it does, with the unit of its values.
        expected: in words, the values it takes.
        accepts: the same as a predicate.
        before: its value in runs that are older than the field; `None`: the default.
        read_by: the runs that read it.
        changes_results: whether runs that differ in it may compute something else.
    """

    default: Any
    meaning: str
    expected: str
    accepts: Callable[[Any], bool]
    before: Any = None
    read_by: Reader = EVERY_RUN
    changes_results: bool = True


def integer(default, meaning, minimum, **kwargs):
    """A whole number."""
    return Field(
        default,
        meaning,
        f"a whole number from {minimum} to 2**31 - 1",
        lambda value: minimum <= value < 2**31,
        **kwargs,
    )


def number(default, meaning, expected, accepts, **kwargs):
    """A number."""
    return Field(
        default, meaning, expected, lambda value: _is_finite(value) and accepts(value), **kwargs
    )


def path(default, meaning, **kwargs):
    """A path, or nothing."""
    return Field(default, meaning, "a path", _is_path, **kwargs)


def non_negative(default, meaning, **kwargs):
    """A number of at least 0."""
    return number(default, meaning, "a number of at least 0", lambda value: value >= 0, **kwargs)


def positive(default, meaning, **kwargs):
    """A number above 0."""
    return number(default, meaning, "a number above 0", lambda value: value > 0, **kwargs)


def choice(default, meaning, *choices, **kwargs):
    """One of some names."""
    listed = ", ".join(choice or "''" for choice in choices)
    return Field(default, meaning, "one of " + listed, lambda value: value in choices, **kwargs)


def name(default, meaning, may_be_empty=False, **kwargs):
    """A name."""
    return Field(
        default,
        meaning,
        "a name" + (", or nothing" if may_be_empty else ""),
        lambda value: _is_name(value) or (may_be_empty and value == ""),
        **kwargs,
    )


def names(default, meaning, **kwargs):
    """Names, a tuple."""
    return Field(
        default,
        meaning,
        "different names with commas between",
        are_names,
        **kwargs,
    )


def sizes(default, meaning, **kwargs):
    """Sizes, a tuple."""
    return Field(
        default,
        meaning,
        "whole numbers from 1 to 2**31 - 1, such as (200, 80)",
        lambda values: len(values) > 0 and all(map(_is_size, values)),
        **kwargs,
    )


def switch(default, meaning, **kwargs):
    """True or False."""
    return Field(default, meaning, "True or False", lambda value: True, **kwargs)


def are_names(values):
    """Whether these are different names."""
    return all(map(_is_name, values)) and len(set(values)) == len(values)


def _is_name(value):
    return isinstance(value, str) and value.isprintable() and value.strip() == value != ""


def _is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _is_finite(value):
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _is_path(value):
    try:
        path = os.fsencode(value)
    except UnicodeEncodeError:
        return False
    # Longer ones are refused by every file system.
    return (
        b"\0" not in path and len(path) < 4096 and all(len(part) < 256 for part in path.split(b"/"))
    )


def is_depth(value):
    """Whether a wide residual net may have this depth: 6n + 4 layers."""
    return 10 <= value < 2**31 and (value - 4) % 6 == 0


def is_light_depth(value):
    """Whether a light net may, in any layout."""
    return value == 0 or (6 <= value < 2**31 and value % 2 == 0)


def is_weight(value):
    """Whether this is a finite number of at least 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value >= 0 and _is_finite(value)


def are_weights(values):
    """Whether these are weights of classes, or none."""
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        for value in values
    )


def are_drops(values):
    """Whether these are increasing fractions of a training."""
    return all(isinstance(value, int | float) and 0 < value < 1 for value in values) and list(
        values
    ) == sorted(set(values))
