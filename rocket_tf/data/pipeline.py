"""The common parts of the batches of every split: order, random draws, parts, labels.

The order of an epoch depends only on (seed, epoch), and the draws of an example only on (seed,
epoch, example). Both are computed batch by batch, without a table of the whole epoch. So a run can
resume at any step at the same cost, and sees the same as an uninterrupted one.
"""

import math

import tensorflow as tf

from rocket_tf.data.images import mixing as mixing_of_images
from rocket_tf.data.images import rand_augment as rand_augmentation
from rocket_tf.data.images.augmentation import DRAWS, mirror_and_shift
from rocket_tf.data.interface import by_name
from rocket_tf.data.random_rows import uniform_rows

# Streams of random numbers from one seed.
_ORDER_STREAM = 0
_DRAWS_STREAM = 1
_RAND_AUGMENT_STREAM = 2
_MIXING_STREAM = 3
# As in `index_shuffle`: the prefix of a seed, and the number of mixing rounds.
_SEED_START, _ROUNDS = 498247692, 4
_BITS_OF_SEEDS = 40  # more than the first two streams need


def finish(
    parts,
    share,
    num_classes=None,
    batch_augmentation=None,
    class_weights=None,
    weight_column="",
    label_names=(),
):
    """Transforms the parts of batches, in the same way for all splits.

    Args:
        parts: `tf.data.Dataset` of `(inputs, labels)`.
        share: an `interface.Share`.
        num_classes: as for `interface.Split.training_batches`.
        batch_augmentation: as for `interface.Split.training_batches`.
        class_weights: as for `interface.Split.training_batches`.
        weight_column: as for `interface.Split.training_batches`.
        label_names: as for `interface.Split.training_batches`.

    Returns:
        `tf.data.Dataset` of `(inputs, labels)`, with weights if examples or classes have them.
    """
    if weight_column:
        parts = parts.map(lambda inputs, labels: _with_weights(inputs, labels, weight_column))
    if class_weights is not None:
        by_class = tf.constant(class_weights, tf.float32)
        parts = parts.map(
            lambda inputs, labels, *weights: (
                inputs,
                labels,
                math.prod(weights, start=tf.gather(by_class, labels)),
            )
        )
    if num_classes is not None:
        parts = parts.map(
            lambda inputs, labels, *weights: (inputs, tf.one_hot(labels, num_classes), *weights)
        )
    if label_names:
        parts = parts.map(
            lambda inputs, labels, *weights: (inputs, by_name(labels, label_names), *weights)
        )
    if batch_augmentation is not None:
        parts = parts.map(batch_augmentation, num_parallel_calls=tf.data.AUTOTUNE)
    return parts.prefetch(2 * share.own)


def _with_weights(inputs, labels, column):
    remaining = {name: values for name, values in inputs.items() if name != column}
    return remaining, labels, inputs[column]


def check_have_one_class(parts):
    """Raises ValueError for parts with multi-hot labels."""
    labels = parts.element_spec[1]
    if labels.shape.rank != 1:
        raise ValueError(
            "Labels of several classes cannot be mixed, weighted or made one-hot. Received: "
            f"labels of shape {labels.shape}; leave mixing, num_classes and class_weights out"
        )


def augmentation_by_example(flip, crop_padding, crop_padding_mode, rand_augment=0.0):
    """The `augment` of `interface.Split.training_parts`, or `None` without augmentation."""
    if not (flip or crop_padding or rand_augment):
        return None

    def augment(images, seed, epoch, examples):
        if flip or crop_padding:
            draws = uniform_rows(_stateless_seed(seed, epoch, _DRAWS_STREAM), examples, DRAWS)
            images = mirror_and_shift(images, draws, flip, crop_padding, crop_padding_mode)
        if rand_augment:
            stream = _stateless_seed(seed, epoch, _RAND_AUGMENT_STREAM)
            draws = uniform_rows(stream, examples, rand_augmentation.DRAWS)
            images = rand_augmentation.rand_augment(images, draws, rand_augment)
        return images

    return augment


def places_of_parts(examples, schedule, share):
    """The places of the parts of `interface.Split.training_parts`: `(epoch, begin, end)`, int64.

    Args:
        examples: number of examples.
        schedule: an `interface.Schedule`.
        share: an `interface.Share`.

    Returns:
        `tf.data.Dataset`, with an element for each part.
    """

    def places_of_epoch(epoch, parts):
        return parts.map(
            lambda part: (epoch, *bounds_of_part(part, examples, schedule.batch_size, share))
        )

    return epoch_by_epoch(examples, schedule, share, places_of_epoch)


def mix(parts, partners, places, mixing, seed, num_classes):
    """Mixes each example with its partner; the share is a function of (seed, epoch, place).

    Args:
        parts: `tf.data.Dataset` of `(images, labels)`.
        partners: the same, with as many examples.
        places: as `places_of_parts` gives them.
        mixing: as for `interface.Split.training_batches`.
        seed: a non-negative integer.
        num_classes: number of classes of the one-hot labels.

    Returns:
        `tf.data.Dataset` of `(images, labels)`, float32.
    """
    kind, alpha = mixing
    function = getattr(mixing_of_images, kind)

    def mixed(part, partner, place):
        epoch, begin, end = place
        stream = _stateless_seed(seed, epoch, _MIXING_STREAM)
        draws = uniform_rows(stream, tf.range(begin, end), mixing_of_images.DRAWS)
        labels = [tf.one_hot(example[1], num_classes) for example in (part, partner)]
        return function(part[0], partner[0], *labels, draws, alpha)

    together = tf.data.Dataset.zip((parts, partners, places))
    return together.map(mixed, num_parallel_calls=tf.data.AUTOTUNE)


def shuffled(begin, end, examples, seed, epoch, order=0):
    """The examples at places `begin` to `end` - 1 of an epoch's order.

    Args:
        begin: int64.
        end: int64.
        examples: number of examples.
        seed: a non-negative integer.
        epoch: int64, counted from 0.
        order: which of the epoch's orders, as in `interface.Schedule`.

    Returns:
        int64, shape (end - begin,). All places of an epoch together have each example once.
    """
    return permuted(tf.range(begin, end), tf.constant(examples, tf.int64), seed, epoch, order)


def permuted(places, sizes, seed, epoch, number=0):
    """Places after a permutation, each computed independently.

    Args:
        places: int64, shape (places,), from 0 on.
        sizes: int64, the number of places in the permutation; one number, or one for each place.
        seed: a non-negative integer.
        epoch: int64, counted from 0.
        number: which permutation of this seed and epoch, in the same form as `sizes`. Number 0 is
            that of `tf.random.experimental.index_shuffle`.

    Returns:
        int64, shape (places,).
    """
    # The operation reads 16 bits of each number, so each number has its own place in the seed.
    order, epoch = tf.unstack(_stateless_seed(seed, epoch, _ORDER_STREAM))
    numbers = [_SEED_START + tf.cast(number, tf.int64), order, epoch]
    if sizes.shape.rank:
        numbers = [tf.broadcast_to(values, tf.shape(places)) for values in numbers]
        sizes = tf.pad(sizes, [[0, 1]], constant_values=1)
    seeds = tf.stack(numbers, axis=-1)
    if seeds.shape.rank > 1:
        seeds = tf.pad(seeds, [[0, 1], [0, 0]])
    # It refuses an empty list, so one more place is added and dropped.
    return tf.raw_ops.RandomIndexShuffle(
        index=tf.pad(places, [[0, 1]]), seed=seeds, max_index=sizes - 1, rounds=_ROUNDS
    )[:-1]


def epoch_by_epoch(examples, schedule, share, parts_of_epoch):
    """The remaining parts of all epochs, one epoch after the other.

    Args:
        examples: number of examples.
        schedule: an `interface.Schedule`.
        share: an `interface.Share`.
        parts_of_epoch: function from an epoch, int64, and a `tf.data.Dataset` of the numbers of the
            worker's remaining parts in it, to a `tf.data.Dataset` of these parts.

    Returns:
        `tf.data.Dataset`.
    """
    batches = math.ceil(examples / schedule.batch_size)

    def of_epoch(epoch):
        first = tf.where(
            epoch == schedule.first_epoch, tf.constant(schedule.first_step, tf.int64), 0
        )
        remaining = tf.data.Dataset.range(first * share.own, batches * share.own)
        return parts_of_epoch(epoch, remaining)

    return tf.data.Dataset.range(schedule.first_epoch, schedule.epochs).flat_map(of_epoch)


def bounds_of_part(part, examples, batch_size, share):
    """Where a part of a batch begins and ends among the examples of an epoch.

    Args:
        part: int64, the number of the part among the worker's parts of the epoch.
        examples: number of examples.
        batch_size: examples in a batch.
        share: an `interface.Share`.

    Returns:
        `(begin, end)`, int64.
    """
    batch, replica = part // share.own, share.worker * share.own + part % share.own
    start = batch * batch_size
    size = tf.minimum(tf.constant(batch_size, tf.int64), examples - start)
    per_replica, rest = size // share.replicas, size % share.replicas
    begin = start + replica * per_replica + tf.minimum(replica, rest)
    return begin, begin + per_replica + tf.cast(replica < rest, tf.int64)


def distribute(make_dataset, strategy):
    """The dataset for `fit`, with a part of each batch for each replica.

    Args:
        make_dataset: function with arguments `replicas`, `worker` and `workers`, such as a split's
            `training_batches`, that returns a `tf.data.Dataset`.
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
    stream_seed = seed * 2 + stream if stream < 2 else seed + (stream << _BITS_OF_SEEDS)
    return tf.stack([tf.constant(stream_seed, tf.int64), epoch])
