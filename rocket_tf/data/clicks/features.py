"""Features of a user, an item and their context, the inputs of click nets.

It does not import TensorFlow.
"""

import collections
import dataclasses
import math
import numbers
import re

_TABLE = ("vocabulary", "min_count", "integers", "buckets", "dimension")
_OWN_FIELDS = {
    "category": (*_TABLE, "served_as"),
    "number": ("mean", "variance", "served_as"),
    "history": ("of", "length"),
    "tags": (*_TABLE, "length", "pooling", "weights"),
    "vector": ("length",),
    "time": ("dimension",),
}
DTYPES = {
    "category": ("string", "int64"),
    "number": ("float32", "float64", "int64"),
    "history": ("string", "int64"),
    "tags": ("string", "int64"),
    "vector": ("float32",),
    "time": ("int64",),
}
_LISTS = ("history", "tags", "vector")
_WITH_TABLE = ("category", "tags")
_POOLINGS = ("mean", "sum")
_MISSING = -(2**63)  # as the data has it
_RESERVED_PREFIXES = ("shared_", "light_", "booster_")


@dataclasses.dataclass(frozen=True)
class Feature:
    """One input of a pair of click-through nets.

    Attributes:
        name: name of the input, and part of the names of its layers: a letter, then letters, digits
            and underscores, all ASCII.
        kind: `"category"` (an id), `"number"`, `"history"` (a sequence of values of another
            category, such as the items that a user has clicked), `"tags"` (a category with any
            number of values at once), `"vector"` (a list of numbers of fixed length, used
            unchanged) or `"time"` (seconds since 1970, UTC, with an embedding each for the hour and
            the weekday).
        dtype: dtype of the raw values. `"string"` or `"int64"` for categories, tags and histories;
            `"int64"` for times; `"float32"` for vectors and numbers. Numbers that would lose digits
            in float32, such as seconds since 1970, may be `"float64"` or `"int64"`. `None`:
            `"float32"` or `"int64"` if there is no other; for ids `"int64"` if other fields hold
            integers, else `"string"`.
        vocabulary: for ids: the known values, strings or integers by dtype, each once and none of
            them `padding`; all others share one row of the embedding table, the first. `None`:
            values are hashed, unless `min_count` or `integers` is given.
        buckets: for ids: number of hash buckets, or with `integers`, of known values.
        dimension: for ids: width of an embedding; for a time: of each of its two.
        mean: for a number: the value to subtract, such as the mean over the training examples.
        variance: for a number: it is then divided by the root of this, in its unit squared.
        of: for a history: the category of its values, whose embedding table it uses.
        length: for lists: values in a sequence; shorter ones are padded at the end with `padding`.
            For a vector: how many numbers it has.
        missing: whether values may be missing. A missing id is `""`, or -2⁶³ among integers, and
            has a separate row, the last. Tags are missing if there is none. A missing number is NaN
            and becomes the mean, with an indicator. A missing vector is NaN in every element and
            becomes zeros, with an indicator. A missing time is -2⁶³ and has separate embeddings. A
            history has the setting of its category.
        min_count: for ids: at least 1: the vocabulary has the values that occur in at least this
            many training examples. The command builds it; `click_pair` needs `vocabulary`. 0: off.
        integers: for ids: whether 0 to `buckets` - 1 are row numbers of the table; all others share
            one more row, number `buckets`.
        pooling: for tags: `"mean"` or `"sum"` of their embeddings.
        weights: for tags: name of another input with a weight of at least 0 for each tag, for a
            weighted mean or sum. `None`: all have the same weight.
        served_as: for a category or a number: the fixed value that an export uses instead of an
            input, for instance for the position at which an item was shown. `None`: it is an input.

    Raises:
        ValueError: if a field is out of range, or belongs to another kind.

    Example:
        >>> from rocket_tf.networks import Feature
        >>> item = Feature("item", "category", dtype="int64", buckets=1000, dimension=8)
        >>> clicked = Feature("clicked", "history", dtype="int64", of="item", length=20)
        >>> clicked.padding
        -1
        >>> Feature("genres", "tags", vocabulary=("crime", "drama"), length=5).table_size
        3
    """

    name: str
    kind: str
    dtype: str | None = None
    vocabulary: tuple | None = None
    buckets: int = 10_000
    dimension: int = 16
    mean: float = 0.0
    variance: float = 1.0
    of: str | None = None
    length: int = 0
    missing: bool = False
    min_count: int = 0
    integers: bool = False
    pooling: str = "mean"
    weights: str | None = None
    served_as: str | int | float | None = None

    def __post_init__(self):
        self._check_name_and_kind()
        if self.dtype is None:
            object.__setattr__(self, "dtype", self.default_dtype)
        for field in ("missing", "integers"):
            if not isinstance(getattr(self, field), bool):
                raise self._error(field, "True or False")
        if self.dtype not in DTYPES[self.kind]:
            raise self._error("dtype", f"one of {DTYPES[self.kind]} for {self._a_kind()}")
        if self.kind in _WITH_TABLE:
            self._check_table()
        if self.kind == "number":
            self._check_number()
        if self.kind in _LISTS:
            self._check_positive_integer("length")
        if self.kind == "history" and not isinstance(self.of, str):
            raise self._error("of", "the name of the category whose values it has")
        if self.kind == "tags":
            self._check_tags()
        if self.kind == "time":
            self._check_positive_integer("dimension")
        if self.served_as is not None:
            self._check_served_as()

    @property
    def default_dtype(self) -> str:
        """The default dtype."""
        if self.kind in _WITH_TABLE:
            vocabulary = self.vocabulary if isinstance(self.vocabulary, list | tuple) else ()
            if self.integers or _is_whole(self.served_as) or any(map(_is_whole, vocabulary[:1])):
                return "int64"
        return DTYPES[self.kind][0]

    @property
    def padding(self) -> str | int | float:
        """The value of none: `""`; of integers -1, or -2⁶³ where values may be missing.

        Of vectors, NaN.
        """
        if self.kind == "vector":
            return math.nan
        if self.dtype == "string":
            return ""
        return _MISSING if self.missing else -1

    @property
    def table_size(self) -> int:
        """Rows of the embedding table, of ids and times."""
        if self.kind == "time":
            return 24 + 7 + 2 * self.missing  # hours, weekdays
        rows = self.buckets + self.integers
        if self.vocabulary is not None:
            rows = len(self.vocabulary) + 1
        return rows + self.missing

    def _check_name_and_kind(self):
        for field in ("name", "weights"):
            name = getattr(self, field)
            if name is None and field == "weights":
                continue
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                raise self._error(
                    field, "a letter, then letters, digits and underscores; rename it"
                )
            if name.startswith(_RESERVED_PREFIXES):
                raise self._error(
                    field,
                    f"none that begins with one of {_RESERVED_PREFIXES}, as layers do; rename it",
                )
        if self.kind not in _OWN_FIELDS:
            raise self._error("kind", f"one of {tuple(_OWN_FIELDS)}")
        for field in dataclasses.fields(self):
            owners = [kind for kind, fields in _OWN_FIELDS.items() if field.name in fields]
            if owners and self.kind not in owners and getattr(self, field.name) != field.default:
                belongs = " or ".join(map(_with_article, owners))
                raise self._error(
                    field.name,
                    f"nothing for {self._a_kind()}: it belongs to {belongs}; leave it out",
                )

    def _a_kind(self):
        return _with_article(self.kind)

    def _check_table(self):
        for field in ("buckets", "dimension"):
            self._check_positive_integer(field)
        if not _is_whole(self.min_count) or self.min_count < 0:
            raise self._error("min_count", "a whole number from 0 on; 0 builds no vocabulary")
        ways = {
            "vocabulary": self.vocabulary is not None,
            "min_count": self.min_count > 0,
            "integers": self.integers,
        }
        given = [way for way, is_given in ways.items() if is_given]
        if len(given) > 1:
            raise self._error(given[1], f"nothing beside {given[0]}: values have one way to rows")
        if self.integers and self.dtype != "int64":
            raise self._error("dtype", "'int64' with integers=True: strings are not row numbers")
        if self.min_count and self.buckets != type(self).buckets:
            raise self._error(
                "buckets", "nothing beside min_count: the vocabulary says how many rows there are"
            )
        if self.vocabulary is not None:
            self._check_vocabulary()

    def _check_vocabulary(self):
        kind, name = (str, "strings") if self.dtype == "string" else (numbers.Integral, "integers")
        if (
            not isinstance(self.vocabulary, list | tuple)
            or not self.vocabulary
            or not all(isinstance(value, kind) for value in self.vocabulary)
        ):
            raise self._error(
                "vocabulary", f"a tuple of one or more {name}, for dtype={self.dtype!r}"
            )
        # Without NumPy's scalars, which a saved model could not represent.
        values = tuple((str if kind is str else int)(value) for value in self.vocabulary)
        if len(set(values)) < len(values):
            counts = collections.Counter(values)
            twice = [value for value in counts if counts[value] > 1][:5]
            raise self._error("vocabulary", f"each value once; take out the repeated {twice}")
        if self.padding in values:
            raise self._error(
                "vocabulary", f"no {self.padding!r}, which stands for no value; take it out"
            )
        object.__setattr__(self, "vocabulary", values)

    def _check_number(self):
        if self.missing and self.dtype == "int64":
            raise self._error("dtype", "float32 or float64 with missing=True: integers have no NaN")
        if not _is_finite(self.mean):
            raise self._error("mean", "a finite number")
        if not _is_finite(self.variance) or self.variance <= 0:
            raise self._error("variance", "a number above 0; 1 leaves the scale as it is")

    def _check_tags(self):
        if self.pooling not in _POOLINGS:
            raise self._error("pooling", f"one of {_POOLINGS}")
        if self.weights == self.name:
            raise self._error("weights", "another name: each input has its own")

    def _check_served_as(self):
        value = self.served_as
        if self.dtype == "string":
            fits, expected = isinstance(value, str), "a text"
        elif self.dtype == "int64":
            fits, expected = _is_whole(value) and -(2**63) <= value < 2**63, "a whole number"
        else:
            fits, expected = _is_finite(value), "a finite number"
        if not fits:
            raise self._error("served_as", f"{expected}, for dtype={self.dtype!r}")

    def _check_positive_integer(self, field):
        value = getattr(self, field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._error(field, "a positive integer")

    def _error(self, field, expected):
        value = repr(getattr(self, field))
        value = value if len(value) <= 80 else f"{value[:77]}..."
        return ValueError(f"Feature {self.name!r}: got {field}={value}, expected {expected}")


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_finite(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _with_article(kind):
    return "tags" if kind == "tags" else f"a {kind}"
