"""Impressions of Parquet files in memory, in the order in which they would be streamed.

Free of TensorFlow until batches are asked for.
"""

import dataclasses
import math

from rocket_tf.data.in_memory import ArraySplit


@dataclasses.dataclass(frozen=True, eq=False)
class OrderedArrays(ArraySplit):
    """Impressions in memory, whose training batches are those of a `streamed.StreamedClicks`.

    Attributes:
        inputs, labels: as of `in_memory.ArraySplit`.
        sizes: rows in each row group that they come from.
        window: row groups whose rows are shuffled together.
        shuffle: whether anything is.
    """

    sizes: tuple[int, ...]
    window: int
    shuffle: bool

    def training_parts(self, schedule, augment, share):
        import tensorflow as tf

        from rocket_tf.data import pipeline
        from rocket_tf.data.clicks.order import WindowedOrder

        order = WindowedOrder(self.sizes, self.window, self.shuffle)
        batches = math.ceil(self.examples / schedule.batch_size)
        with tf.device("CPU:0"):
            inputs = {name: tf.constant(array) for name, array in self.inputs.items()}
            labels = tf.constant(self.labels)

        def parts_of_epoch(epoch):
            of_epoch = order.of_epoch(schedule.seed, epoch)

            def load(part):
                bounds = pipeline.bounds_of_part(part, self.examples, schedule.batch_size, share)
                rows = of_epoch.rows(*of_epoch.places(*bounds))
                own = {name: tf.gather(array, rows) for name, array in inputs.items()}
                return own, tf.gather(labels, rows)

            first = tf.where(
                epoch == schedule.first_epoch, tf.constant(schedule.first_step, tf.int64), 0
            )
            parts = tf.data.Dataset.range(first * share.own, batches * share.own)
            return parts.map(load, num_parallel_calls=tf.data.AUTOTUNE)

        return tf.data.Dataset.range(schedule.first_epoch, schedule.epochs).flat_map(parts_of_epoch)
