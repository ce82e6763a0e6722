"""Batches of examples that are loaded by number, as tf.data pipelines."""

import math

import tensorflow as tf

from rocket_tf.data import pipeline


def training_parts(load, labels, schedule, augment, share, parallel=tf.data.AUTOTUNE):
    """Implements `interface.Split.training_parts`.

    Args:
        load: function from examples' numbers, int64 of shape (batch,), to their inputs.
        labels: int64, shape (examples,).
        schedule: as there.
        augment: as there.
        share: as there.
        parallel: number of parts that are loaded at once.

    Returns:
        As there.
    """
    examples, batch_size, seed = len(labels), schedule.batch_size, schedule.seed
    labels = on_host(labels)

    def parts_of_epoch(epoch, parts):
        def load_part(part):
            begin, end = pipeline.bounds_of_part(part, examples, batch_size, share)
            chosen = pipeline.shuffled(begin, end, examples, seed, epoch, schedule.order)
            batch = load(chosen)
            if augment is not None:
                batch = augment(batch, seed, epoch, chosen)
            return batch, tf.gather(labels, chosen)

        return parts.map(load_part, num_parallel_calls=parallel)

    return pipeline.epoch_by_epoch(examples, schedule, share, parts_of_epoch)


def evaluation_parts(load_range, labels, batch_size, share, parallel=None):
    """Implements `interface.Split.evaluation_parts`; arguments as above.

    Args:
        load_range: function from `(begin, end)`, int64, to the inputs of examples `begin` to
            `end` - 1.
        labels: as above.
        batch_size: as there.
        share: as there.
        parallel: as above; `None`: one at a time.
    """
    examples = len(labels)
    labels = on_host(labels)

    def load_part(part):
        begin, end = pipeline.bounds_of_part(part, examples, batch_size, share)
        return load_range(begin, end), labels[begin:end]

    parts = tf.data.Dataset.range(math.ceil(examples / batch_size) * share.own)
    return parts.map(load_part, num_parallel_calls=parallel)


def on_host(arrays):
    """Arrays, or dicts of them, as tensors on the host, regardless of the training device."""
    with tf.device("CPU:0"):
        return tf.nest.map_structure(tf.constant, arrays)
