"""Facts about each data set before it is read: sizes, shape, classes, pixel statistics.

It does not import TensorFlow, so a configuration can be checked against them at once. The cards of
the user's own data are known only when it is read; see own_data.py.
"""

import dataclasses
from collections.abc import Mapping

from rocket_tf.data.clicks import movielens
from rocket_tf.data.clicks import simulated as simulated_clicks
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.data.clicks.feature_sets import read_features


@dataclasses.dataclass(frozen=True)
class DatasetCard:
    """The facts of a data set of images, or of clicks.

    Attributes:
        train_examples: number of training examples.
        test_examples: number of test examples.
        num_classes: number of classes; labels are 0 to num_classes - 1.
        kind: "images" or "clicks".
        multi_label: whether an image may have several classes, or none; labels are then multi-hot.
        image_shape: (height, width, channels) of images; pixels are uint8, 0 to 255.
        pixel_mean: mean of each channel over the training pixels, in units of a pixel.
        pixel_std: standard deviation of each channel, in units of a pixel.
        columns: the roles of the columns of clicks.
        request_columns: columns of clicks that are the same for all candidates of a request.
        dtypes: dict from the columns that nets read to their dtypes: "int64" or "string"; for
            numbers "float32", or "float64" or "int64" if they would lose digits.
        moments: dict from the columns of numbers to (mean, variance).
        vocabularies: dict from features of clicks to the vocabularies found in the training
            examples.
        test_lacks: the columns of clicks that the test part lacks; only the booster reads them.
        tfds_name: name in TensorFlow Datasets; empty for data that needs no download.
        train_parts: the splits that make up the training examples, each with its share of the
            examples that are held out for validation.
        source: where TensorFlow Datasets downloads it from.
    """

    train_examples: int
    test_examples: int
    num_classes: int
    kind: str = "images"
    image_shape: tuple[int, ...] = ()
    pixel_mean: tuple[float, ...] = ()
    pixel_std: tuple[float, ...] = ()
    columns: Columns | None = None
    request_columns: tuple[str, ...] = ()
    dtypes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    moments: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    vocabularies: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    test_lacks: tuple[str, ...] = ()
    tfds_name: str = ""
    train_parts: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"train": 1.0})
    source: str = ""
    multi_label: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the heads of nets on clicks with several labels; otherwise none."""
        return () if self.columns is None else self.columns.outputs


def as_json(card):
    """A card, fit for JSON."""
    return dataclasses.asdict(card)


def from_json(content):
    """A card from the result of `as_json`, after it has been through JSON.

    Raises:
        TypeError, ValueError: if it is not a card.
    """
    content = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    if content["columns"] is not None:
        columns = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content["columns"].items()
        }
        if columns.get("features"):
            columns["features"] = tuple(read_features(columns["features"]).values())
        content["columns"] = Columns(**columns)
    for facts in ("moments", "vocabularies"):
        content[facts] = {name: tuple(entry) for name, entry in content.get(facts, {}).items()}
    return DatasetCard(**content)


_CIFAR_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
# The authors' release normalizes CIFAR-10 and CIFAR-100 alike.
_CIFAR_MEAN = (125.3, 123.0, 113.9)
_CIFAR_STD = (63.0, 62.1, 66.7)

DATASETS = {
    # scikit-learn's copy of the UCI digits, 1797 images; `images/named.py` splits it.
    "digits": DatasetCard(
        train_examples=1000,
        test_examples=797,
        image_shape=(8, 8, 1),
        num_classes=10,
        pixel_mean=(77.7,),
        pixel_std=(95.7,),
    ),
    "cifar10": DatasetCard(
        train_examples=50_000,
        test_examples=10_000,
        image_shape=(32, 32, 3),
        num_classes=10,
        pixel_mean=_CIFAR_MEAN,
        pixel_std=_CIFAR_STD,
        tfds_name="cifar10",
        source=_CIFAR_SOURCE,
    ),
    "cifar100": DatasetCard(
        train_examples=50_000,
        test_examples=10_000,
        image_shape=(32, 32, 3),
        num_classes=100,
        pixel_mean=_CIFAR_MEAN,
        pixel_std=_CIFAR_STD,
        tfds_name="cifar100",
        source=_CIFAR_SOURCE,
    ),
    "svhn": DatasetCard(
        train_examples=604_388,
        test_examples=26_032,
        image_shape=(32, 32, 3),
        num_classes=10,
        pixel_mean=(111.6, 113.2, 120.6),
        pixel_std=(50.5, 51.3, 50.2),
        tfds_name="svhn_cropped",
        # Two thirds and one third, as in Sermanet et al. (2012), whom the paper follows.
        train_parts={"train": 2 / 3, "extra": 1 / 3},
        source="http://ufldl.stanford.edu/housenumbers/",
    ),
}

CLICK_CLASSES = ("no click", "click")
_CLICKS = {"num_classes": len(CLICK_CLASSES), "kind": "clicks"}
_ID, _TEXT, _NUMBER = "int64", "string", "float32"


def _movielens(ratings):
    """The card of MovieLens with a number of ratings; the last tenth is the test part."""
    test_examples = round(ratings / 10)
    return DatasetCard(
        train_examples=ratings - test_examples,
        test_examples=test_examples,
        columns=movielens.COLUMNS,
        request_columns=(
            "user_id",
            "user_gender",
            "bucketized_user_age",
            "user_occupation_label",
            "hour",
        ),
        dtypes={
            **dict.fromkeys((*movielens.COLUMNS.categories, "history"), _ID),
            "movie_genres": _TEXT,
        },
        **_CLICKS,
    )


def _simulated_clicks(impressions):
    """The card of a simulated log with a number of impressions, the last tenth for the test."""
    return DatasetCard(
        train_examples=impressions - impressions // 10,
        test_examples=impressions // 10,
        columns=simulated_clicks.COLUMNS,
        request_columns=("user", "hour", "device"),
        dtypes={
            **dict.fromkeys(("user", "item", "category", "hour", "position", "history"), _ID),
            "device": _TEXT,
            "price": _NUMBER,
        },
        moments={"price": (22.8, 147.0)},
        **_CLICKS,
    )


def with_dwell(card):
    """The card of a simulated log with a column for how long items stayed in view."""
    name, columns = simulated_clicks.DWELL, card.columns
    return dataclasses.replace(
        card,
        columns=dataclasses.replace(columns, numbers=(*columns.numbers, name)),
        dtypes={**card.dtypes, name: _NUMBER},
        moments={**card.moments, name: simulated_clicks.DWELL_MOMENTS},
    )


def with_bought(card):
    """The card of a simulated log that has a second label, whether an item was bought."""
    columns = dataclasses.replace(card.columns, more_labels=(simulated_clicks.BOUGHT,))
    return dataclasses.replace(card, columns=columns)


DATASETS |= {
    "simulated_clicks": _simulated_clicks(200_000),
    "simulated_clicks_1m": _simulated_clicks(1_000_000),
    "movielens_1m": _movielens(1_000_209),
    "movielens_100k": _movielens(100_000),
}
SIMULATED = ("simulated_clicks", "simulated_clicks_1m")
# Data sets without their own split.
SPLIT_BY_SEED = ("digits", *SIMULATED)

# Their cards are known when they are read (`own_data.py`).
LOCAL_DATASETS = {
    "npz": "images",
    "image_folder": "images",
    "tfds": "images",
    "click_log": "clicks",
}
