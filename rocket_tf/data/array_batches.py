"""The batches of examples in memory, as tf.data pipelines."""

import math

import tensorflow as tf

from rocket_tf.data import pipeline


def training_parts(inputs, labels, schedule, augment, share):
    """Examples in memory as `interface.Split.training_parts`.

    Args:
        inputs: an array, or a dict of arrays, whose first axis is that of the examples.
        labels: int64, shape (examples,).
        schedule: as there.
        augment: as there.
        share: as there.

    Returns:
        As there.
    """
    examples, batch_size, seed = len(labels), schedule.batch_size, schedule.seed
    batches = math.ceil(examples / batch_size)
    inputs, labels = _on_host(inputs, labels)

    def parts_of_epoch(epoch):
        def load_part(part):
            begin, end = pipeline.bounds_of_part(part, examples, batch_size, share)
            chosen = pipeline.shuffled(begin, end, examples, seed, epoch)
            batch = tf.nest.map_structure(lambda array: tf.gather(array, chosen), inputs)
            if augment is not None:
                batch = augment(batch, seed, epoch, chosen)
            return batch, tf.gather(labels, chosen)

        first_batch = tf.where(
            epoch == schedule.first_epoch, tf.constant(schedule.first_step, tf.int64), 0
        )
        parts = tf.data.Dataset.range(first_batch * share.own, batches * share.own)
        return parts.map(load_part, num_parallel_calls=tf.data.AUTOTUNE)

    return tf.data.Dataset.range(schedule.first_epoch, schedule.epochs).flat_map(parts_of_epoch)


def evaluation_parts(inputs, labels, batch_size, share):
    """Examples in memory as `interface.Split.evaluation_parts`; arguments as above."""
    examples = len(labels)
    inputs, labels = _on_host(inputs, labels)

    def load_part(part):
        chosen = slice(*pipeline.bounds_of_part(part, examples, batch_size, share))
        return tf.nest.map_structure(lambda array: array[chosen], inputs), labels[chosen]

    return tf.data.Dataset.range(math.ceil(examples / batch_size) * share.own).map(load_part)


def _on_host(inputs, labels):
    """Examples as tensors on the host, whichever device trains."""
    with tf.device("CPU:0"):
        return tf.nest.map_structure(tf.constant, (inputs, labels))
