"""Impressions of Parquet files in memory, in the order in which they would be streamed.

It imports TensorFlow only when batches are made.
"""

import dataclasses

from rocket_tf.data.in_memory import ArraySplit


@dataclasses.dataclass(frozen=True, eq=False)
class OrderedArrays(ArraySplit):
    """Impressions in memory with the training batches of a `streamed.StreamedClicks`.

    Attributes:
        inputs, labels: as in `in_memory.ArraySplit`.
        sizes: rows in each row group that they come from.
        window: row groups whose rows are shuffled together.
        shuffle: whether to shuffle.
    """

    sizes: tuple[int, ...]
    window: int
    shuffle: bool

    def training_parts(self, schedule, augment, share):
        import tensorflow as tf

        from rocket_tf.data import indexed_batches, pipeline
        from rocket_tf.data.clicks.order import WindowedOrder

        order = WindowedOrder(self.sizes, self.window, self.shuffle)
        inputs, labels = map(indexed_batches.on_host, (self.inputs, self.labels))

        def parts_of_epoch(epoch, parts):
            epoch_order = order.of_epoch(schedule.seed, epoch)

            def load(part):
                bounds = pipeline.bounds_of_part(part, self.examples, schedule.batch_size, share)
                rows = epoch_order.rows(*epoch_order.places(*bounds))
                part_inputs = {name: tf.gather(array, rows) for name, array in inputs.items()}
                return part_inputs, tf.gather(labels, rows)

            return parts.map(load, num_parallel_calls=tf.data.AUTOTUNE)

        return pipeline.epoch_by_epoch(self.examples, schedule, share, parts_of_epoch)
