"""Clicks in memory: their columns, and the histories of users. It does not import TensorFlow."""

import dataclasses
import difflib

import numpy as np

from rocket_tf.data.clicks.features import Feature
from rocket_tf.errors import DataUnavailableError

MISSING = -(2**63)  # among whole numbers that may be missing


@dataclasses.dataclass(frozen=True)
class ListColumn:
    """A column with a list of values for each example.

    Attributes:
        name: the column's name.
        kind: "history", "tags", "vector", or "weights" (of tags).
        of: the column with the values' dtype: a history's category, or the tags themselves; for
            weights, the tags. "" for a vector.
        length: number of values to keep, the first ones; a vector has exactly as many.
        missing: whether values may be missing.
    """

    name: str
    kind: str
    of: str
    length: int
    missing: bool = False

    @property
    def has_ids(self):
        """Whether values are ids, not numbers."""
        return self.kind in ("history", "tags")

    def dtype(self, dtypes):
        """The dtype of its values, from those of the columns, a dict."""
        return dtypes[self.of] if self.has_ids else "float32"

    def padding(self, is_text):
        """The value that means none, for ids that are strings or integers."""
        if self.kind == "weights":
            return 0.0
        if self.kind == "vector":
            return float("nan")
        return "" if is_text else (MISSING if self.missing else -1)


@dataclasses.dataclass(frozen=True)
class Columns:
    """The roles of the columns of a click log.

    Attributes:
        label: 0 or 1; of several labels, the first.
        user: the user, whose examples are a group of GAUC; nets read it only if it is also a
            category. Empty: there is none.
        categories: ids and other values without an order.
        numbers: finite numbers.
        history: a sequence of values of `item`, the most recent first; empty: none, or several in
            `features`.
        item: the category that the history holds.
        history_length: number of values to keep, the most recent ones.
        booster_only: columns that only the booster reads. The test part may lack all of them.
        missing: whether values may be missing. Categories are then any 64-bit integers except the
            smallest, `MISSING`, which marks a missing value and pads histories; or strings, where
            "" does. Missing numbers are NaN.
        weight: the weight of each example in losses and metrics, at least 0; empty: all the same.
        more_labels: further columns of 0 or 1, each with a separate head.

    Raises:
        ValueError: if there is a history and `item` is not a category.
    """

    label: str = "click"
    user: str = "user"
    categories: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    history: str = ""
    item: str = "item"
    history_length: int = 20
    booster_only: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    missing: bool = dataclasses.field(default=False, repr=False)
    features: tuple[Feature, ...] = dataclasses.field(default=(), repr=False)
    weight: str = dataclasses.field(default="", repr=False)
    more_labels: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    def __post_init__(self):
        if self.history and self.item not in self.categories:
            raise ValueError(
                f"the history {self.history!r} holds values of {self.item!r}, which is none of the "
                f"categories {self.categories}; add it, or name another item"
            )

    def of_test(self, present):
        """The columns of a test part: without those of `booster_only` if it has none of them.

        Args:
            present: list of the names that there are.
        """
        booster_only = set(self.booster_only)
        if not booster_only or booster_only & set(present):
            return self
        return dataclasses.replace(
            self,
            categories=tuple(name for name in self.categories if name not in booster_only),
            numbers=tuple(name for name in self.numbers if name not in booster_only),
            features=tuple(
                feature for feature in self.features if feature.name not in booster_only
            ),
            booster_only=(),
        )

    @classmethod
    def of_features(cls, features, **others):
        """The columns of features, a sequence of `Feature`s; others by name."""
        return cls(
            **others,
            categories=tuple(feature.name for feature in features if feature.kind == "category"),
            numbers=tuple(feature.name for feature in features if feature.kind == "number"),
            features=tuple(features),
        )

    @property
    def of_features_in_files(self):
        """The settings of each feature that decide how files are read; not its table's size."""
        names = ("name", "kind", "of", "length", "missing", "weights")
        return [[getattr(feature, name) for name in names] for feature in self.features]

    @property
    def labels(self):
        """Names of the columns of labels, the first one first."""
        return (self.label, *self.more_labels)

    @property
    def outputs(self):
        """The names of several labels, each with a separate head; empty for one label."""
        return self.labels if self.more_labels else ()

    @property
    def inputs(self):
        """Names of all columns but the labels, in the order of `all`."""
        return tuple(name for name in self.all if name not in self.labels)

    def may_miss(self, name):
        """Whether a column without lists may lack values."""
        return self.missing or any(
            feature.name == name and feature.missing for feature in self.features
        )

    @property
    def times(self):
        """Names of the columns of times."""
        return tuple(feature.name for feature in self.features if feature.kind == "time")

    @property
    def ids(self):
        """Names of the columns with one id for each example, each once, the user first."""
        user = (self.user,) if self.user else ()
        return tuple(dict.fromkeys((*user, *self.categories)))

    @property
    def lists(self):
        """The columns of lists, each a `ListColumn`; weights stand after their tags."""
        if self.history:
            fields = (self.history, "history", self.item, self.history_length, self.missing)
            return (ListColumn(*fields),)
        columns = []
        for feature in self.features:
            if feature.kind not in ("history", "tags", "vector"):
                continue
            of = feature.of or (feature.name if feature.kind == "tags" else "")
            columns.append(
                ListColumn(feature.name, feature.kind, of, feature.length, feature.missing)
            )
            if feature.weights is not None:
                columns.append(ListColumn(feature.weights, "weights", feature.name, feature.length))
        return tuple(columns)

    @property
    def scalars(self):
        """Names of the columns with one value for each example, each once, the labels first."""
        first = (*self.labels, self.weight) if self.weight else self.labels
        return tuple(dict.fromkeys((*first, *self.ids, *self.numbers, *self.times)))

    @property
    def all(self):
        """Names of all columns, each once, the labels first and lists last."""
        return (*self.scalars, *(column.name for column in self.lists))


@dataclasses.dataclass(frozen=True)
class ClickExamples:
    """Impressions, in the order of time.

    Attributes:
        inputs: dict from columns to arrays with examples along the first axis. Categories and the
            user: shape (examples,), int64 from 0 on if all values of both parts are integers,
            otherwise strings (dtype object). Numbers: float32, shape (examples,). Times: int64,
            shape (examples,). Histories and tags: dtype of their categories, shape (examples,
            length), padded at the end with -1 or "". Weights and vectors: float32.
        labels: int64, shape (examples,); 1 for a click, else 0. For several labels, shape
            (examples, labels), one column each.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class ClickData:
    """Training and test examples of clicks.

    Attributes:
        train, test: `ClickExamples`.
        vocabularies: dict from features with counted values to tuples of values.
    """

    train: ClickExamples
    test: ClickExamples
    vocabularies: dict[str, tuple] = dataclasses.field(default_factory=dict)


def check_columns(source, wanted, present):
    """Checks that columns exist.

    Args:
        source: where they should be, for the message.
        wanted: names of the required columns.
        present: list of the existing names.

    Raises:
        DataUnavailableError: for the first missing one; it names the existing ones.
    """
    for name in wanted:
        if name not in present:
            near = difflib.get_close_matches(name, present, n=1)
            raise DataUnavailableError(
                f"{source} has no column {name!r}; there are {', '.join(map(repr, present))}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )


def split(inputs, labels, test_fraction):
    """`ClickData` whose test examples are the last ones.

    Args:
        inputs: as for `ClickExamples`, in the order of time.
        labels: the same.
        test_fraction: share of the test examples, between 0 and 1; there is at least one of each.

    Returns:
        `ClickData`.
    """
    examples = len(labels)
    first = min(max(examples - round(examples * test_fraction), 1), examples - 1)
    return ClickData(
        *(
            ClickExamples({name: array[part] for name, array in inputs.items()}, labels[part])
            for part in (slice(first), slice(first, None))
        )
    )


def histories(users, items, clicked, times, length):
    """The items that each user had clicked before each example.

    Args:
        users: shape (examples,), integers or strings.
        items: the same.
        clicked: boolean, or 0 and 1, shape (examples,).
        times: numbers of shape (examples,), in any order.
        length: number of items to keep.

    Returns:
        Array of the items' dtype, shape (examples, length): the items that the same user clicked at
        strictly earlier times, the most recent first; at equal times, the last in the arrays first.
        Integers are padded at the end with -1, and strings with "".
    """
    users, items, clicked = np.asarray(users), np.asarray(items), np.asarray(clicked, bool)
    positions = np.arange(len(items))
    _, users = np.unique(users, return_inverse=True)
    order = np.lexsort((times, users))
    users, times, clicked = users[order], np.asarray(times)[order], clicked[order]
    clicks = items[order][clicked]
    # The number of clicks before each example, in this order.
    clicks_before = np.cumsum(clicked) - clicked
    new_user = np.append(True, users[1:] != users[:-1])[: len(items)]
    new_time = new_user | np.append(True, times[1:] != times[:-1])[: len(items)]
    first = clicks_before[np.maximum.accumulate(np.where(new_user, positions, 0))]
    end = clicks_before[np.maximum.accumulate(np.where(new_time, positions, 0))]
    padded = np.append(clicks, np.array([padding_of(items)], items.dtype))
    result = np.empty((len(items), length), items.dtype)
    for index in range(length):
        chosen = end - 1 - index
        result[order, index] = padded[np.where(chosen >= first, chosen, len(clicks))]
    return result


def padding_of(items):
    """The padding of a history of such items, -1 or "", by the array's dtype."""
    return -1 if items.dtype.kind in "iu" else ""
