"""tf.data pipelines over examples in memory, whose randomness is a function of its place.

The order of an epoch depends on (seed, epoch), the draws of an example on (seed, epoch, example).
So a run that resumes sees what an uninterrupted one would have seen, and N replicas together see
the examples that one device would have seen.
"""

import math

import tensorflow as tf

from rocket_tf.data.images.augmentation import DRAWS, mirror_and_shift

# Two streams of random numbers from one seed.
_ORDER_STREAM = 0
_DRAWS_STREAM = 1


def training_dataset(
    inputs,
    labels,
    batch_size,
    epochs,
    seed,
    *,
    first_epoch=0,
    first_step=0,
    flip=False,
    crop_padding=0,
    crop_padding_mode="symmetric",
    batch_augmentation=None,
    num_classes=None,
    replicas=1,
    worker=0,
    workers=1,
):
    """The batches of epochs `first_epoch` to `epochs` - 1, one after the other.

    Args:
        inputs: images, uint8 of shape (examples, height, width, channels); or a dict of arrays
            whose first axis is that of the examples.
        labels: int64, shape (examples,).
        batch_size: examples in a batch, over all replicas together; the last batch of an epoch has
            what remains.
        epochs: epochs of the whole training.
        seed: a non-negative integer.
        first_epoch: epochs, counted from 0, that are done.
        first_step: batches that are done of the epoch after these.
        flip: images only, as in `augmentation.mirror_and_shift`.
        crop_padding: likewise, in pixels.
        crop_padding_mode: likewise, "symmetric" or "reflect".
        batch_augmentation: `f(inputs, labels) -> (inputs, labels)` on batches, or `None`.
        num_classes: labels become one-hot, float32, of so many classes; `None`: they stay.
        replicas: into how many parts a batch is split, as evenly as can be; each part is an
            element of the dataset.
        worker: which worker's parts the dataset has, counted from 0.
        workers: among how many workers the replicas are divided, each having as many.

    Returns:
        `tf.data.Dataset` of `(inputs, labels)`.
    """
    examples = len(labels)
    batches = math.ceil(examples / batch_size)
    own = replicas // workers
    # On the host, whichever device trains.
    with tf.device("CPU:0"):
        inputs, labels = tf.nest.map_structure(tf.constant, (inputs, labels))

    def epoch_dataset(epoch):
        order = tf.random.experimental.index_shuffle(
            tf.range(examples, dtype=tf.int64),
            seed=_stateless_seed(seed, epoch, _ORDER_STREAM),
            max_index=tf.constant(examples - 1, tf.int64),
        )
        draws = tf.random.stateless_uniform(
            [examples, DRAWS], seed=_stateless_seed(seed, epoch, _DRAWS_STREAM)
        )

        def load_part(part):
            bounds = _bounds(part // own, worker * own + part % own, examples, batch_size, replicas)
            chosen = order[slice(*bounds)]
            batch = tf.nest.map_structure(lambda array: tf.gather(array, chosen), inputs)
            if flip or crop_padding:
                batch = mirror_and_shift(
                    batch, tf.gather(draws, chosen), flip, crop_padding, crop_padding_mode
                )
            batch_labels = tf.gather(labels, chosen)
            if num_classes is not None:
                batch_labels = tf.one_hot(batch_labels, num_classes)
            return batch, batch_labels

        first_batch = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
        dataset = tf.data.Dataset.range(first_batch * own, batches * own)
        return dataset.map(load_part, num_parallel_calls=tf.data.AUTOTUNE)

    dataset = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_dataset)
    if batch_augmentation is not None:
        dataset = dataset.map(batch_augmentation, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(2 * own)


def evaluation_dataset(
    inputs, labels, batch_size, *, num_classes=None, replicas=1, worker=0, workers=1
):
    """The examples in their order, once; arguments and elements as in `training_dataset`."""
    examples = len(labels)
    own = replicas // workers
    with tf.device("CPU:0"):
        inputs, labels = tf.nest.map_structure(tf.constant, (inputs, labels))

    def load_part(part):
        bounds = _bounds(part // own, worker * own + part % own, examples, batch_size, replicas)
        chosen = slice(*bounds)
        batch_labels = labels[chosen]
        if num_classes is not None:
            batch_labels = tf.one_hot(batch_labels, num_classes)
        return tf.nest.map_structure(lambda array: array[chosen], inputs), batch_labels

    dataset = tf.data.Dataset.range(math.ceil(examples / batch_size) * own)
    return dataset.map(load_part).prefetch(2 * own)


def distribute(make_dataset, strategy):
    """The dataset for `fit`: a part of each batch to each replica, as the pipelines split them.

    Args:
        make_dataset: function with arguments `replicas`, `worker` and `workers`, as above.
        strategy: a `tf.distribute` strategy.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return make_dataset(replicas=1, worker=0, workers=1)
    return strategy.distribute_datasets_from_function(
        lambda context: make_dataset(
            replicas=replicas,
            worker=context.input_pipeline_id,
            workers=context.num_input_pipelines,
        )
    )


def _bounds(batch, replica, examples, batch_size, replicas):
    """Where a replica's part of a batch begins and ends among the examples of an epoch."""
    start = batch * batch_size
    size = tf.minimum(tf.constant(batch_size, tf.int64), examples - start)
    each, rest = size // replicas, size % replicas
    begin = start + replica * each + tf.minimum(replica, rest)
    return begin, begin + each + tf.cast(replica < rest, tf.int64)


def _stateless_seed(seed, epoch, stream):
    return tf.stack([tf.constant(seed * 2 + stream, tf.int64), epoch])
