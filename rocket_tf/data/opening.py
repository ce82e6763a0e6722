"""Opens the data that a configuration names. It does not import TensorFlow."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from rocket_tf.data import own_data
from rocket_tf.data.catalog import (
    CLICK_CLASSES,
    DATASETS,
    LOCAL_DATASETS,
    SIMULATED,
    with_bought,
    with_dwell,
)
from rocket_tf.data.clicks import movielens
from rocket_tf.data.clicks import opening as click_opening
from rocket_tf.data.clicks import simulated as simulated_clicks
from rocket_tf.data.clicks.feature_sets import plain
from rocket_tf.data.clicks.log import ParquetClicks, ParquetLog
from rocket_tf.data.images import named as images
from rocket_tf.data.in_memory import assemble
from rocket_tf.data.interface import DataSet, DelegatingDataSet

# Fields that choose which of the examples are used.
_CUT = {"train_examples": 0, "validation_examples": 0}
# The fields that are read besides the data set's name, with their defaults.
DEFAULTS = {
    **_CUT,
    "split_seed": 0,
    "simulated_dwell": "off",
    "simulated_bought": False,
    **own_data.DEFAULTS,
}


def open_data(mapping: Mapping[str, Any]) -> DataSet:
    """Opens the data that a configuration names.

    The data sets of the catalog open at once. Their examples are read, and first downloaded if they
    are missing, when a split is first used. Your own data is read now.

    Args:
        mapping: dict from fields to values, such as a configuration: "dataset", a name in
            `catalog.DATASETS` or `catalog.LOCAL_DATASETS`, and any of `DEFAULTS`; others are
            ignored. `python -m rocket_tf.config` describes the fields.

    Returns:
        An `interface.DataSet`, with `in_memory.ArraySplit`s as splits, or `streamed.StreamedSplit`s
        for streamed images.

    Raises:
        KeyError: if there is no such data set.
        DamagedDataError: if it is your own data, and damaged.
        DataUnavailableError: if it is your own data, and cannot be read.

    Example:
        >>> data = open_data({"dataset": "digits", "train_examples": 100})
        >>> data.card.image_shape
        (8, 8, 1)
        >>> data.train.examples, data.test.examples
        (100, 797)
    """
    settings = settings_of(mapping)
    return open_listed(settings, listing_of(settings))


def listing_of(settings):
    """The `clicks.files.Listing` of a click log of the user's; `None` for other data.

    Args:
        settings: as from `settings_of`.
    """
    return click_opening.listing_of(settings) if settings["dataset"] == "click_log" else None


def open_listed(settings, listing):
    """Opens data whose files may be listed already.

    Args:
        settings: as from `settings_of`.
        listing: as from `listing_of`.

    Returns:
        A `DataSet`, as from `open_data`, which also describes the errors.
    """
    if listing is not None:
        return _open_clicks(settings, listing)
    if settings["dataset"] in LOCAL_DATASETS:
        return _OwnDataSet(settings, own_data.read(settings))
    return _CatalogDataSet(settings)


class _InMemoryDataSet(DelegatingDataSet):
    """Examples in memory, read by `_read` when a split is first used."""

    fingerprint = None

    def __init__(self, settings, card):
        self._settings = settings
        self._card = card

    @property
    def card(self):
        return self._card

    def load(self):
        self.inner  # noqa: B018 - reads the examples

    def reopen(self, mapping):
        return self if settings_of(mapping) == self._settings else open_data(mapping)

    @functools.cached_property
    def inner(self):
        cut = (self._settings[name] for name in _CUT)
        return self._read(*cut)


class _CatalogDataSet(_InMemoryDataSet):
    def __init__(self, settings):
        card = DATASETS[settings["dataset"]]
        if card.kind == "clicks":
            if settings["simulated_dwell"] != "off":
                card = with_dwell(card)
            if settings["simulated_bought"]:
                card = with_bought(card)
            columns = dataclasses.replace(
                card.columns,
                history_length=settings["history_length"],
                booster_only=settings["booster_only"],
            )
            card = dataclasses.replace(card, columns=columns)
        super().__init__(settings, card)

    def _read(self, *cut):
        dataset, data_dir, split_seed, history_length = (
            self._settings[name] for name in ("dataset", "data_dir", "split_seed", "history_length")
        )
        if self.card.kind == "images":
            return images.load(dataset, data_dir, *cut, split_seed)
        if dataset in SIMULATED:
            impressions = self.card.train_examples + self.card.test_examples
            clicks, _ = simulated_clicks.simulate(
                impressions,
                seed=split_seed,
                history_length=history_length,
                dwell=self._settings["simulated_dwell"],
                bought=self._settings["simulated_bought"],
            )
        else:
            version = dataset.removeprefix("movielens_")
            clicks = movielens.read(version, data_dir, history_length)
        train, test = ((part.inputs, part.labels) for part in (clicks.train, clicks.test))
        return assemble(dataset, self.card, [train], test, list(CLICK_CLASSES), *cut)


class _OwnDataSet(_InMemoryDataSet):
    def __init__(self, settings, content):
        super().__init__(settings, content.card)
        self._content = content

    @property
    def fingerprint(self):
        return self._content.fingerprint

    def reopen(self, mapping):
        settings = settings_of(mapping)
        if not have_one_source(settings, self._settings):
            return open_data(mapping)
        return self if settings == self._settings else _OwnDataSet(settings, self._content)

    def _read(self, *cut):
        content = self._content
        return assemble(
            self._settings["dataset"],
            content.card,
            [content.train],
            content.test,
            content.class_names,
            *cut,
            make_split=content.split,
        )


def _open_clicks(settings, listing):
    """The user's click log: CSV and TFRecord in memory, or converted to Parquet."""
    columns = own_data.columns_of(settings)
    files = listing.both_parts
    if click_opening.fits_in_memory(files, settings):
        return _OwnDataSet(settings, own_data.read_clicks(files, columns, settings))
    log = ParquetLog(settings, columns, click_opening.as_parquet(files, columns, settings))
    return ParquetClicks(settings, log, _reopened)


def _reopened(data, mapping):
    settings = settings_of(mapping)
    if not have_one_source(settings, data.settings):
        return open_data(mapping)
    return data.with_settings(settings)


def settings_of(mapping):
    """The fields of a configuration that are read, with lists (from JSON) as tuples."""
    settings = {name: mapping.get(name, value) for name, value in DEFAULTS.items()}
    settings["dataset"] = mapping["dataset"]
    settings["image_size"] = settings["image_size"] or DEFAULTS["image_size"]
    settings["features"] = plain(settings["features"])
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }


def have_one_source(first, second):
    """Whether two configurations read the same data of the user."""
    return _source_settings(settings_of(first)) == _source_settings(settings_of(second))


def _source_settings(settings):
    """The settings that decide what is read of the user's own data."""
    unread = {"data_dir"} if settings["dataset"] != "tfds" else set()
    return [settings[name] for name in ("dataset", *own_data.DEFAULTS) if name not in unread]
