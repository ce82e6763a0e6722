"""What describes a user, an item and their context, as click-through nets take it."""

import collections
import dataclasses
import math
import numbers
import re

_OWN_FIELDS = {
    "category": ("vocabulary", "buckets", "dimension"),
    "number": ("mean", "variance"),
    "history": ("of", "length"),
}
_DTYPES = {
    "category": ("string", "int64"),
    "number": ("float32", "float64", "int64"),
    "history": ("string", "int64"),
}
_MISSING = -(2**63)  # as the data has it
_RESERVED_PREFIXES = ("shared_", "light_", "booster_")


@dataclasses.dataclass(frozen=True)
class Feature:
    """One input of a pair of click-through nets.

    Attributes:
        name: name of the input, and part of the names of its layers: a letter, then letters, digits
            and underscores, all ASCII.
        kind: `"category"` (an id), `"number"`, or `"history"` (a sequence of values of another
            category, such as the items that a user has clicked).
        dtype: of the raw values. `"string"` or `"int64"` for categories and histories; `"float32"`
            for numbers, or `"float64"` or `"int64"` where float32 would blur what makes them
            different, such as seconds since 1970. `None`: `"string"`, or `"float32"` for numbers.
        vocabulary: of a category: its known values, strings or integers by dtype, each once and
            none of them `padding`; all others share one row of the embedding table. `None`: values
            are hashed.
        buckets: of a category without vocabulary: number of hash buckets.
        dimension: of a category: width of its embedding.
        mean: of a number: what is subtracted from it, such as its mean over the training examples.
        variance: of a number: by whose root it is divided afterwards, in its unit squared.
        of: of a history: the category whose values it has, and whose embedding table it uses.
        length: of a history: values in a sequence; shorter ones are padded at the end with
            `padding`.
        missing: whether values may be missing: of a category, `""`, or -2⁶³ among integers, which
            has a row of its own; of a number, NaN, which becomes the mean, beside an indicator. A
            history has what its category has.

    Raises:
        ValueError: if a field is out of range, or belongs to another kind.

    Example:
        >>> from rocket_tf.networks import Feature
        >>> item = Feature("item", "category", dtype="int64", buckets=1000, dimension=8)
        >>> clicked = Feature("clicked", "history", dtype="int64", of="item", length=20)
        >>> clicked.padding
        -1
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

    def __post_init__(self):
        self._check_name_and_kind()
        if self.dtype is None:
            object.__setattr__(self, "dtype", _DTYPES[self.kind][0])
        if not isinstance(self.missing, bool):
            raise self._error("missing", "True or False")
        if self.dtype not in _DTYPES[self.kind]:
            raise self._error("dtype", f"one of {_DTYPES[self.kind]} for a {self.kind}")
        if self.kind == "category":
            self._check_category()
        elif self.kind == "number":
            self._check_number()
        else:
            self._check_history()

    @property
    def padding(self) -> str | int:
        """The value of none; `""`, or of integers -1, or -2⁶³ where values may be missing."""
        if self.dtype == "string":
            return ""
        return _MISSING if self.missing else -1

    @property
    def table_size(self) -> int:
        """Rows of a category's embedding table."""
        rows = self.buckets if self.vocabulary is None else len(self.vocabulary) + 1
        return rows + self.missing

    def _check_name_and_kind(self):
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z]\w*", self.name, re.ASCII):
            raise self._error("name", "a letter, then letters, digits and underscores; rename it")
        if self.name.startswith(_RESERVED_PREFIXES):
            raise self._error(
                "name",
                f"none that begins with one of {_RESERVED_PREFIXES}, as layers do; rename it",
            )
        if self.kind not in _OWN_FIELDS:
            raise self._error("kind", f"one of {tuple(_OWN_FIELDS)}")
        for field in dataclasses.fields(self):
            owners = [kind for kind, own in _OWN_FIELDS.items() if field.name in own]
            if owners and self.kind not in owners and getattr(self, field.name) != field.default:
                raise self._error(
                    field.name,
                    f"nothing for a {self.kind}: it belongs to a {owners[0]}; leave it out",
                )

    def _check_category(self):
        for field in ("buckets", "dimension"):
            self._check_positive_integer(field)
        if self.vocabulary is None:
            return
        kind, name = (str, "strings") if self.dtype == "string" else (numbers.Integral, "integers")
        if (
            not isinstance(self.vocabulary, list | tuple)
            or not self.vocabulary
            or not all(isinstance(value, kind) for value in self.vocabulary)
        ):
            raise self._error(
                "vocabulary", f"a tuple of one or more {name}, for dtype={self.dtype!r}"
            )
        # Without NumPy's scalars, which a saved model could not tell.
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
        if not math.isfinite(self.mean):
            raise self._error("mean", "a finite number")
        if not 0 < self.variance < math.inf:
            raise self._error("variance", "a number above 0; 1 leaves the scale as it is")

    def _check_history(self):
        self._check_positive_integer("length")
        if not isinstance(self.of, str):
            raise self._error("of", "the name of the category whose values it has")

    def _check_positive_integer(self, field):
        value = getattr(self, field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._error(field, "a positive integer")

    def _error(self, field, expected):
        given = repr(getattr(self, field))
        given = given if len(given) <= 80 else f"{given[:77]}..."
        return ValueError(f"Feature {self.name!r}: got {field}={given}, expected {expected}")


def check_features(features):
    """Checks that features make up the inputs of one net.

    Args:
        features: sequence of `Feature`s.

    Returns:
        Dict from their names to them, in their order.

    Raises:
        ValueError: if there are none, two have one name, or a history is not of a category among
            them with its dtype.
    """
    features = list(features)
    if not features or not all(isinstance(feature, Feature) for feature in features):
        raise ValueError(f"features must be one or more Feature objects. Received: {features!r}")
    by_name = {feature.name: feature for feature in features}
    if len(by_name) < len(features):
        raise ValueError(
            "Each feature needs a name of its own. "
            f"Received: {[feature.name for feature in features]}"
        )
    for feature in features:
        if feature.kind != "history":
            continue
        category = by_name.get(feature.of)
        if category is None or category.kind != "category":
            categories = [each.name for each in features if each.kind == "category"]
            raise ValueError(
                f"Feature {feature.name!r}: got of={feature.of!r}, expected one of the categories "
                f"{categories}"
            )
        if category.dtype != feature.dtype:
            raise ValueError(
                f"Feature {feature.name!r}: got dtype={feature.dtype!r}, expected "
                f"{category.dtype!r}, that of {category.name!r}, whose values it has"
            )
        if category.missing != feature.missing:
            raise ValueError(
                f"Feature {feature.name!r}: got missing={feature.missing}, expected "
                f"{category.missing}, that of {category.name!r}, whose values it has"
            )
    return by_name
