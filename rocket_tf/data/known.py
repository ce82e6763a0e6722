"""Data with a card that a run has kept: nets are built, and test examples read, without the rest.

Also open data under the card of a run. It imports TensorFlow only when batches are made.
"""

import functools

from rocket_tf.data import opening, own_data
from rocket_tf.data.interface import DataSet


class KnownDataSet(DataSet):
    """The user's own data, of which nothing is read until a split is used.

    For a folder of images, the test part is read without the training part.

    Args:
        mapping: as for `opening.open_data`.
        card: the data's `catalog.DatasetCard`.
        class_names: names of the classes.
        check: function that takes a fingerprint, or a part of one, after reading, and raises an
            error if it is not that of the known data.
    """

    def __init__(self, mapping, card, class_names, check):
        self._mapping = dict(mapping)
        self._card = card
        self._class_names = class_names
        self._check = check
        self._open = functools.cache(self._open_all)

    @property
    def card(self):
        return self._card

    @property
    def class_names(self):
        return self._class_names

    @property
    def train(self):
        return self._whole.train

    @property
    def validation(self):
        return self._whole.validation

    @functools.cached_property
    def test(self):
        part = own_data.read_test(opening.settings_of(self._mapping), self._class_names)
        if part is None:
            return self._whole.test
        split, fingerprint = part
        self._check(fingerprint)
        return split

    def reopen(self, mapping):
        if not opening.have_one_source(mapping, self._mapping):
            return opening.open_data(mapping)
        if opening.settings_of(mapping) == opening.settings_of(self._mapping):
            return self
        other = KnownDataSet(mapping, self._card, self._class_names, self._check)
        other._open = self._open  # so that it is read once
        return other

    @functools.cached_property
    def _whole(self):
        return self._open().reopen(self._mapping)

    def _open_all(self):
        data = opening.open_data(self._mapping)
        self._check(data.fingerprint)
        return data


class WithCard(DataSet):
    """A data set under another card, from which nets are built differently.

    Args:
        data: an open `DataSet`.
        card: a `catalog.DatasetCard` of the same examples.
    """

    def __init__(self, data, card):
        self._data = data
        self._card = card

    @property
    def card(self):
        return self._card

    @property
    def class_names(self):
        return self._data.class_names

    @property
    def fingerprint(self):
        return self._data.fingerprint

    @property
    def train(self):
        return self._data.train

    @property
    def validation(self):
        return self._data.validation

    @property
    def test(self):
        return self._data.test

    def load(self):
        self._data.load()

    def reopen(self, mapping):
        other = self._data.reopen(mapping)
        if other is self._data:
            return self
        is_same = other.fingerprint == self._data.fingerprint
        return WithCard(other, self._card) if is_same else other
