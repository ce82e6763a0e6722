"""Data with the card that a run has kept, so that the training part need not be read.

Also open data under the card of a run. It imports TensorFlow only when batches are made.
"""

import functools

from rocket_tf.data import opening, own_data
from rocket_tf.data.interface import DelegatingDataSet


class KnownDataSet(DelegatingDataSet):
    """The user's own data, of which nothing is read until a split is used.

    If possible, the test part is read without the training part (`own_data.read_test`).

    Args:
        mapping: as for `opening.open_data`.
        card: the data's `catalog.DatasetCard`.
        class_names: names of the classes.
        check: function that takes a fingerprint, or a part of one, after reading, and raises an
            error if it is not that of the known data.
        kept: the fingerprint of the known data, a dict.
    """

    def __init__(self, mapping, card, class_names, check, kept):
        self._mapping = dict(mapping)
        self._card = card
        self._class_names = class_names
        self._check = check
        self._kept = kept
        self._listing = functools.cache(self._list)
        self._open = functools.cache(self._open_all)

    @property
    def card(self):
        return self._card

    @property
    def class_names(self):
        return self._class_names

    # Known from the start, or compared as soon as something is read.
    fingerprint = None

    @functools.cached_property
    def test(self):
        settings = opening.settings_of(self._mapping)
        part = own_data.read_test(
            settings, self._card, self._class_names, self._kept, self._listing()
        )
        if part is None:
            return self.inner.test
        split, fingerprint = part
        self._check(fingerprint)
        return split

    def load(self):
        """Reads nothing."""

    def reopen(self, mapping):
        if not opening.have_one_source(mapping, self._mapping):
            return opening.open_data(mapping)
        if opening.settings_of(mapping) == opening.settings_of(self._mapping):
            return self
        other = KnownDataSet(mapping, self._card, self._class_names, self._check, self._kept)
        # So that it is listed and read once.
        other._listing, other._open = self._listing, self._open
        return other

    @functools.cached_property
    def inner(self):
        return self._open().reopen(self._mapping)

    def _list(self):
        return opening.listing_of(opening.settings_of(self._mapping))

    def _open_all(self):
        data = opening.open_listed(opening.settings_of(self._mapping), self._listing())
        self._check(data.fingerprint)
        return data


class WithCard(DelegatingDataSet):
    """A data set under another card, from which nets are built differently.

    Args:
        data: an open `DataSet`.
        card: a `catalog.DatasetCard` of the same examples.
    """

    def __init__(self, data, card):
        self._inner = data
        self._card = card

    @property
    def inner(self):
        return self._inner

    @property
    def card(self):
        return self._card

    def reopen(self, mapping):
        other = self.inner.reopen(mapping)
        if other is self.inner:
            return self
        is_same = other.fingerprint == self.inner.fingerprint
        return WithCard(other, self._card) if is_same else other
