"""The order in which rows of a large click log are trained on, computed batch by batch.

Row groups are permuted by (seed, epoch). A number of consecutive ones form a *window*, and the rows
of a window are permuted together. If all row groups form one window, these keep their order, and
the rows have the order that `pipeline.shuffled` gives to examples in memory.
"""

import numpy as np
import tensorflow as tf

from rocket_tf.data import pipeline

_ORDER_OF_GROUPS = -1  # its number among an epoch's permutations; windows have those from 0 on


class WindowedOrder:
    """An order of rows in row groups.

    Args:
        sizes: rows in each row group, in the order of files.
        window: row groups whose rows are shuffled together.
        shuffle: whether to shuffle; `False`: rows keep their order, and windows are row groups.

    Example:
        >>> order = WindowedOrder([3, 1, 4], window=2)
        >>> epoch = order.of_epoch(seed=0, epoch=tf.constant(5, tf.int64))
        >>> sorted(epoch.rows(*epoch.places(0, 8)).numpy().tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(self, sizes, window, shuffle=True):
        self.sizes = np.asarray(sizes, np.int64)
        self.shuffle = shuffle
        self.window = window if shuffle else 1
        self.windows = -(-len(self.sizes) // self.window)

    def of_epoch(self, seed, epoch):
        """The order of one epoch, an `EpochOrder`.

        Args:
            seed: a non-negative integer.
            epoch: int64, counted from 0.
        """
        return EpochOrder(self, seed, epoch)


class EpochOrder:
    """The order of one epoch: tables with an entry for each row group, none for each row.

    Attributes:
        groups: int64, shape (groups,): the row groups in the epoch's order; window i has those from
            i times `window` on.
    """

    def __init__(self, order, seed, epoch):
        self._order, self._seed, self._epoch = order, seed, epoch
        number = len(order.sizes)
        in_file_order = tf.range(number, dtype=tf.int64)
        self.groups = in_file_order
        if order.shuffle and order.windows > 1:
            self.groups = self._permuted(
                in_file_order, tf.constant(number, tf.int64), _ORDER_OF_GROUPS
            )
        # Rows before each row group, in the epoch's order and in that of files.
        self._group_starts = _sums_before(tf.gather(order.sizes, self.groups))
        self._in_files = tf.gather(_sums_before(order.sizes)[:-1], self.groups)
        self._window_starts = tf.gather(
            self._group_starts,
            tf.minimum(tf.range(order.windows + 1, dtype=tf.int64) * order.window, number),
        )

    def places(self, begin, end):
        """Where the rows `begin` to `end` - 1 of the epoch are.

        Args:
            begin: int64.
            end: int64.

        Returns:
            `(windows, offsets)`, int64 of shape (end - begin,): the window of each row, and the row
            among those of the window's row groups, one after the other.
        """
        positions = tf.range(begin, end)
        positions = tf.cast(positions, tf.int64)
        windows = (
            tf.searchsorted(self._window_starts, positions, side="right", out_type=tf.int64) - 1
        )
        starts = tf.gather(self._window_starts, windows)
        offsets = positions - starts
        if self._order.shuffle:
            sizes = tf.gather(self._window_starts, windows + 1) - starts
            offsets = self._permuted(offsets, sizes, windows)
        return windows, offsets

    def rows(self, windows, offsets):
        """The same rows by their numbers in the order of files, int64."""
        positions = tf.gather(self._window_starts, windows) + offsets
        groups = tf.searchsorted(self._group_starts, positions, side="right", out_type=tf.int64) - 1
        return positions - tf.gather(self._group_starts, groups) + tf.gather(self._in_files, groups)

    def _permuted(self, positions, sizes, number):
        return pipeline.permuted(positions, sizes, self._seed, self._epoch, number)


def _sums_before(sizes):
    """The sums of the sizes before each, and of all."""
    return tf.concat([[0], tf.cumsum(tf.cast(sizes, tf.int64))], axis=0)
