"""Data whose card a run has kept: its nets are built, and its test examples read, without the rest.

Free of TensorFlow until batches are asked for.
"""

import functools

from rocket_tf.data import opening, own_data
from rocket_tf.data.interface import DataSet


class KnownDataSet(DataSet):
    """One's own data, of which nothing is read until a split is used.

    Where the data is a folder of images, the test part is read without the training part.

    Args:
        mapping: as of `opening.open_data`.
        card: the data's `catalog.DatasetCard`.
        class_names: names of the classes.
        check: function that takes a fingerprint, or part of one, once something is read, and
            raises an error if it is not that of the data which was known.
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
