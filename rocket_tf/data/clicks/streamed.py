"""A split of a large click log: batches from row groups that threads read ahead of training.

It imports TensorFlow only when batches are made.
"""

import concurrent.futures
import math
import threading

import numpy as np

from rocket_tf.data.clicks import row_groups
from rocket_tf.data.clicks.windows import joined
from rocket_tf.data.interface import Split

_THREADS = 2  # that read row groups; each holds one


class StreamedClicks(Split):
    """Impressions in Parquet files, of which two windows of row groups are in memory at a time.

    Args:
        rows: `row_groups.Rows` of their files.
        pieces: list of `row_groups.Piece`, in the order of files.
        window: row groups whose rows are shuffled together.
        shuffle: whether to shuffle; `False`: training keeps the order of files.
    """

    def __init__(self, rows, pieces, window, shuffle=True):
        self._rows, self._pieces = rows, [piece for piece in pieces if piece.rows]
        self._window, self._shuffle = window, shuffle
        self._examples = sum(piece.rows for piece in self._pieces)

    @property
    def examples(self):
        return self._examples

    def training_parts(self, schedule, augment, share):
        from rocket_tf.data import pipeline

        order = self._order(self._shuffle)
        reader = _Reader(self, order, schedule.seed, schedule.epochs)

        def parts_of_epoch(epoch, parts):
            return self._load(reader, schedule.batch_size, share, epoch, parts)

        return pipeline.epoch_by_epoch(self.examples, schedule, share, parts_of_epoch)

    def evaluation_parts(self, batch_size, share):
        import tensorflow as tf

        reader = _Reader(self, self._order(shuffle=False), seed=0, epochs=1)
        parts = tf.data.Dataset.range(math.ceil(self.examples / batch_size) * share.own)
        return self._load(reader, batch_size, share, tf.constant(0, tf.int64), parts)

    def _order(self, shuffle):
        from rocket_tf.data.clicks.order import WindowedOrder

        return WindowedOrder([piece.rows for piece in self._pieces], self._window, shuffle)

    def _load(self, reader, batch_size, share, epoch, parts):
        """`tf.data.Dataset` of the parts of an epoch that have some numbers, in their order."""
        import tensorflow as tf

        from rocket_tf.data import pipeline

        order = reader.order.of_epoch(reader.seed, epoch)

        def places(part):
            bounds = pipeline.bounds_of_part(part, self.examples, batch_size, share)
            return order.places(*bounds)

        columns = self._rows.columns
        names = columns.inputs
        dtypes = [tf.as_dtype(self._rows.dtype_of(name)) for name in names]
        widths = self._widths

        def load(windows, offsets):
            *arrays, labels = tf.numpy_function(
                lambda *places: reader.take(names, *places),
                [epoch, windows, offsets],
                [*dtypes, tf.int64],
            )
            for name, array in zip(names, arrays, strict=True):
                array.set_shape([None, widths[name]] if name in widths else [None])
            labels.set_shape([None, len(columns.outputs)] if columns.outputs else [None])
            return dict(zip(names, arrays, strict=True)), labels

        # One by one, so that windows follow in order; other threads read them.
        return parts.map(places, num_parallel_calls=tf.data.AUTOTUNE).map(load)

    @property
    def _widths(self):
        """Values in a row of the columns of lists."""
        return {column.name: column.length for column in self._rows.columns.lists}

    def load_window(self, numbers):
        """The columns of some pieces, one piece after the other.

        Args:
            numbers: the pieces' numbers.
        """
        pieces = [self._pieces[number] for number in numbers]
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
            loaded = threads.map(self._rows.read, pieces)
            return joined(loaded, sum(piece.rows for piece in pieces))

    def take(self, columns, names, offsets):
        """Rows of a window's columns, a list of arrays; the labels come last."""
        log_columns = self._rows.columns
        widths = self._widths
        arrays = [row_groups.take(columns[name], offsets, widths.get(name)) for name in names]
        return [*arrays, columns[log_columns.label][offsets]]


class _Reader:
    """Windows of one pipeline: the one that batches are taken of, and the next, read ahead."""

    def __init__(self, split, order, seed, epochs):
        self._split, self.order, self.seed, self._epochs = split, order, seed, epochs
        self._groups = {}  # of the epoch at hand and the next: the row groups in their order
        self._windows = {}  # futures by (epoch, window)
        self._lock = threading.Lock()
        self._ahead = concurrent.futures.ThreadPoolExecutor(1)

    def take(self, names, epoch, windows, offsets):
        """The rows at places of an epoch, as `StreamedClicks.take` gives them."""
        epoch = int(epoch)
        if not len(windows):
            any_window = self._columns(epoch, 0) if not self._windows else self._any_window()
            return self._split.take(any_window, names, offsets)
        unique_windows = list(dict.fromkeys(windows.tolist()))
        parts = []
        for window in unique_windows:
            columns = self._columns(epoch, window)
            parts.append(self._split.take(columns, names, offsets[windows == window]))
        if len(parts) == 1:
            return parts[0]
        # Rows of one window need not be adjacent.
        inverse = np.argsort(np.concatenate([np.flatnonzero(windows == w) for w in unique_windows]))
        return [np.concatenate(arrays)[inverse] for arrays in zip(*parts, strict=True)]

    def _any_window(self):
        with self._lock:
            future = next(iter(self._windows.values()))
        return future.result()

    def _columns(self, epoch, window):
        """The columns of a window; starts to read the next one, and drops others."""
        key = (epoch, window)
        with self._lock:
            next_key = (epoch, window + 1) if window + 1 < self.order.windows else (epoch + 1, 0)
            for stale_key in [
                other_key for other_key in self._windows if other_key not in (key, next_key)
            ]:
                del self._windows[stale_key]
            for wanted_key in (key, next_key):
                if wanted_key not in self._windows and wanted_key[0] < self._epochs:
                    numbers = self._numbers(*wanted_key)
                    self._windows[wanted_key] = self._ahead.submit(self._split.load_window, numbers)
            future = self._windows[key]
        try:
            return future.result()
        except BaseException:
            with self._lock:
                self._windows.pop(key, None)  # a file that is put back is read again
            raise

    def _numbers(self, epoch, window):
        """The pieces of a window."""
        import tensorflow as tf

        if epoch not in self._groups:
            order = self.order.of_epoch(self.seed, tf.constant(epoch, tf.int64))
            self._groups = {n: groups for n, groups in self._groups.items() if n >= epoch - 1}
            self._groups[epoch] = order.groups.numpy()
        width = self.order.window
        return self._groups[epoch][window * width : (window + 1) * width]
