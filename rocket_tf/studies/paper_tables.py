"""The tables of the paper, and what to run for each of their cells. It does not import TensorFlow.

Figures: Zhou et al., AAAI 2018 (arXiv 1708.04106 v3), Tables 1 to 4; test errors in per cent,
medians of three seeds.
"""

import dataclasses
from collections.abc import Mapping

from rocket_tf.config import bundled as ready_configs
from rocket_tf.config import methods
from rocket_tf.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table: the test error of a net with a method.

    Attributes:
        method: key of `methods.METHODS`.
        net: "light" or "booster".
    """

    method: str
    net: str = "light"

    @property
    def title(self):
        """Its name in tables."""
        if self.net == "booster" and self.method != "booster":
            return f"booster in {methods.METHODS[self.method].title}"
        return methods.METHODS[self.method].title


@dataclasses.dataclass(frozen=True)
class Row:
    """One pair of nets on one data set.

    Attributes:
        key: short name, unique in the table.
        title: the nets, in words.
        dataset: name of the data set and of its configuration.
        settings: fields in which the pair differs from that configuration.
        paper: the paper's figures, by column.
        excluded: columns that are not defined for this pair.
    """

    key: str
    title: str
    dataset: str
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    paper: Mapping[Column, float] = dataclasses.field(default_factory=dict)
    excluded: tuple[Column, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: columns, of which the first is the base, and rows.

    Attributes:
        name: its name on the command line.
        title: its title.
        columns, rows: its columns and rows.
        other_datasets: data sets besides the paper's for which its rows are meant.
        seeds: default number of seeds.
        varied: fields that follow the seed, besides `seed` itself.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    other_datasets: tuple[str, ...] = ()
    seeds: int = 3
    varied: tuple[str, ...] = ()

    def on(self, dataset):
        """The table's rows on one data set, with the paper's figures if there are any.

        Raises:
            ConfigError: if the table is not meant for that data set.
        """
        datasets = dict.fromkeys(row.dataset for row in self.rows)
        if dataset in datasets:
            rows = [row for row in self.rows if row.dataset == dataset]
        elif dataset in self.other_datasets:
            rows = [dataclasses.replace(row, dataset=dataset, paper={}) for row in self.rows]
        else:
            raise ConfigError(
                f"--dataset: got {dataset!r} with table {self.name}, expected one of "
                f"{', '.join([*datasets, *self.other_datasets])}"
            )
        return dataclasses.replace(self, rows=tuple(rows))

    def with_rows(self, keys):
        """The table with only some of its rows, by their keys."""
        return dataclasses.replace(self, rows=tuple(row for row in self.rows if row.key in keys))


LIGHT, AT, KD, ROCKET, ROCKET_KD = map(Column, ("light", "at", "kd", "rocket", "rocket_kd"))
BOOSTER = Column("booster", "booster")
BOOSTER_IN_ROCKET = Column("rocket", "booster")
NO_BLOCK, NO_SHARING, NO_SHARING_BUT_STEM, NO_JOINT = map(
    Column,
    (
        "rocket_no_gradient_block",
        "rocket_no_sharing",
        "rocket_no_sharing_but_stem",
        "no_joint_training",
    ),
)
SOFTMAX_MSE, KD_HINT = map(Column, ("rocket_softmax_mse", "rocket_kd_hint"))
STANDARDIZED_KD, DKD, DIST, MUTUAL = map(
    Column, ("rocket_standardized_kd", "rocket_dkd", "rocket_dist", "rocket_mutual")
)

_INTERVAL = {"layout": "interval", "light_depth": 16, "booster_depth": 40, "width": 1}
_BOTTOM = {
    "layout": "bottom",
    "light_depth": 0,
    "booster_depth": 40,
    "width": 1,
    # As in configs/cifar10_bottom.py.
    "learning_rate_drops": (0.345, 0.645, 0.945),
    "booster_learning_rate_drops": (0.295, 0.595, 0.795),
}
_INTERVAL_TITLE = "WRN-16-1 in WRN-40-1, interval"
_BOTTOM_TITLE = "WRN-16-1 in WRN-40-1, bottom"


def _figures(columns, *values):
    return {
        column: value for column, value in zip(columns, values, strict=True) if value is not None
    }


def _interval_row(columns, *figures):
    return Row("interval", _INTERVAL_TITLE, "cifar10", _INTERVAL, paper=_figures(columns, *figures))


def _bottom_row(columns, *figures, excluded=()):
    return Row(
        "bottom",
        _BOTTOM_TITLE,
        "cifar10",
        _BOTTOM,
        paper=_figures(columns, *figures),
        excluded=excluded,
    )


_COLUMNS_1 = (LIGHT, AT, KD, ROCKET, ROCKET_KD, BOOSTER_IN_ROCKET, BOOSTER)
# The paper's figure for "no sharing" is shown for the nets that share nothing, as in its text; the
# authors' release shares the stem.
_COLUMNS_2 = (LIGHT, NO_BLOCK, NO_SHARING, NO_SHARING_BUT_STEM, NO_JOINT, ROCKET)
_COLUMNS_3 = (ROCKET, SOFTMAX_MSE, KD_HINT)
_COLUMNS_4 = (LIGHT, AT, KD, ROCKET, ROCKET_KD)
_DIGITS = Row("interval", "WRN-10-1 in WRN-28-1, interval", "digits")

TABLES = {
    "1": Table(
        name="1",
        other_datasets=("cifar100",),
        title="Table 1: light nets by every method, beside their boosters",
        columns=_COLUMNS_1,
        rows=(
            _interval_row(_COLUMNS_1, 8.77, 8.25, 8.39, 7.87, 7.52, 6.64, 6.58),
            Row(
                "interval_wide",
                "WRN-16-2 in WRN-40-2, interval",
                "cifar10",
                {**_INTERVAL, "width": 2},
                paper=_figures(_COLUMNS_1, 6.31, 5.85, 6.08, 5.67, 5.64, 5.20, 5.23),
            ),
            _bottom_row(_COLUMNS_1, 8.69, None, 8.34, 7.85, 7.51, 7.27, 6.58, excluded=(AT,)),
        ),
    ),
    "2": Table(
        name="2",
        other_datasets=("cifar100",),
        title="Table 2: what each part of the rocket gives",
        columns=_COLUMNS_2,
        rows=(
            _interval_row(_COLUMNS_2, 8.77, 8.50, 8.06, None, 8.04, 7.87),
            _bottom_row(_COLUMNS_2, 8.69, 8.30, 8.23, None, 8.23, 7.85),
        ),
    ),
    "3": Table(
        name="3",
        other_datasets=("cifar100",),
        title="Table 3: hint losses",
        columns=_COLUMNS_3,
        rows=(
            _interval_row(_COLUMNS_3, 7.87, 8.32, 7.98),
            _bottom_row(_COLUMNS_3, 7.85, 8.36, 8.26),
        ),
    ),
    "4": Table(
        name="4",
        title="Table 4: other data sets",
        columns=_COLUMNS_4,
        rows=(
            Row(
                "svhn",
                _INTERVAL_TITLE,
                "svhn",
                _INTERVAL,
                paper=_figures(_COLUMNS_4, 3.58, 2.99, 2.31, 2.29, 2.20),
            ),
            Row(
                "cifar100",
                _INTERVAL_TITLE,
                "cifar100",
                _INTERVAL,
                paper=_figures(_COLUMNS_4, 43.7, 34.1, 36.4, 33.3, 33.0),
            ),
        ),
    ),
    "figure4": Table(
        name="figure4",
        other_datasets=("cifar100",),
        title="Figure 4: light nets that are the lowest layers of a booster of constant width",
        columns=(LIGHT, KD, ROCKET, BOOSTER),
        rows=tuple(
            Row(
                f"lowest_{depth}",
                f"the lowest {depth} layers of 40",
                "cifar10",
                {"layout": "constant", "light_depth": depth, "booster_depth": 40, "width": 1},
            )
            for depth in (10, 12, 14, 16, 18)
        ),
    ),
    "digits": Table(
        name="digits",
        title="All methods on scikit-learn's digits, each seed with a split of its own",
        columns=(
            LIGHT,
            AT,
            KD,
            ROCKET,
            ROCKET_KD,
            NO_BLOCK,
            NO_SHARING,
            NO_SHARING_BUT_STEM,
            NO_JOINT,
            SOFTMAX_MSE,
            KD_HINT,
            BOOSTER_IN_ROCKET,
            BOOSTER,
        ),
        rows=(_DIGITS,),
        seeds=4,
        varied=("split_seed",),
    ),
    "digits_hints": Table(
        name="digits_hints",
        title="Newer hints on scikit-learn's digits, each seed with a split of its own",
        columns=(LIGHT, ROCKET, STANDARDIZED_KD, DKD, DIST, MUTUAL),
        rows=(_DIGITS,),
        seeds=4,
        varied=("split_seed",),
    ),
}


def config_of(row, method, settings):
    """The configuration of a cell.

    Args:
        row: a `Row`.
        method: key of `methods.METHODS`.
        settings: other fields, such as a smaller budget.
    """
    config = ready_configs.load(row.dataset, method)
    config.update({**row.settings, **settings})
    return config
