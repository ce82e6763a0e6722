"""What the batches of every split have in common: order, draws, parts, labels.

The order of an epoch depends on (seed, epoch), the draws of an example on (seed, epoch, example).
Both are computed batch by batch, without a table of the whole epoch: a run that resumes at any step
sees what an uninterrupted one would have seen, at the same cost.
"""

import tensorflow as tf

from rocket_tf.data.images.augmentation import DRAWS, mirror_and_shift
from rocket_tf.data.random_rows import uniform_rows

# Two streams of random numbers from one seed.
_ORDER_STREAM = 0
_DRAWS_STREAM = 1


def finish(parts, share, num_classes=None, batch_augmentation=None):
    """What is done to the parts of batches of any split.

    Args:
        parts: `tf.data.Dataset` of `(inputs, labels)`.
        share: an `interface.Share`.
        num_classes: as of `interface.Split.training_batches`.
        batch_augmentation: as of `interface.Split.training_batches`.

    Returns:
        `tf.data.Dataset` of `(inputs, labels)`.
    """
    if num_classes is not None:
        parts = parts.map(lambda inputs, labels: (inputs, tf.one_hot(labels, num_classes)))
    if batch_augmentation is not None:
        parts = parts.map(batch_augmentation, num_parallel_calls=tf.data.AUTOTUNE)
    return parts.prefetch(2 * share.own)


def augmentation_by_example(flip, crop_padding, crop_padding_mode):
    """The `augment` of `interface.Split.training_parts`, or `None` where nothing is augmented."""
    if not (flip or crop_padding):
        return None

    def augment(images, seed, epoch, examples):
        draws = uniform_rows(_stateless_seed(seed, epoch, _DRAWS_STREAM), examples, DRAWS)
        return mirror_and_shift(images, draws, flip, crop_padding, crop_padding_mode)

    return augment


def shuffled(begin, end, examples, seed, epoch):
    """The examples at places `begin` to `end` - 1 of an epoch's order.

    Args:
        begin: int64.
        end: int64.
        examples: how many there are.
        seed: a non-negative integer.
        epoch: int64, counted from 0.

    Returns:
        int64, shape (end - begin,). All places of an epoch together have each example once.
    """
    # A part may be empty, which `index_shuffle` refuses: so one place more, which is dropped.
    places = tf.minimum(tf.range(begin, end + 1), examples - 1)
    return tf.random.experimental.index_shuffle(
        places,
        seed=order_seed(seed, epoch),
        max_index=tf.constant(examples - 1, tf.int64),
    )[:-1]


def order_seed(seed, epoch):
    """The seed of an epoch's order, int64 of shape (2,); its second number is the epoch."""
    return _stateless_seed(seed, epoch, _ORDER_STREAM)


def bounds_of_part(part, examples, batch_size, share):
    """Where a part of a batch begins and ends among the examples of an epoch.

    Args:
        part: int64, the number of the part among the worker's of the epoch.
        examples: how many there are.
        batch_size: examples in a batch.
        share: an `interface.Share`.

    Returns:
        `(begin, end)`, int64.
    """
    batch, replica = part // share.own, share.worker * share.own + part % share.own
    start = batch * batch_size
    size = tf.minimum(tf.constant(batch_size, tf.int64), examples - start)
    each, rest = size // share.replicas, size % share.replicas
    begin = start + replica * each + tf.minimum(replica, rest)
    return begin, begin + each + tf.cast(replica < rest, tf.int64)


def distribute(make_dataset, strategy):
    """The dataset for `fit`: a part of each batch to each replica.

    Args:
        make_dataset: function with arguments `replicas`, `worker` and `workers`, such as a split's
            `training_batches`, that gives a `tf.data.Dataset`.
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


def _stateless_seed(seed, epoch, stream):
    return tf.stack([tf.constant(seed * 2 + stream, tf.int64), epoch])
