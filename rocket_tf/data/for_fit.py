"""Images for `fit` from Python, from the sources that the command trains on."""

import math
from collections.abc import Mapping

from rocket_tf.data.interface import DataSet
from rocket_tf.data.opening import open_data


def image_dataset(source, part="train", *, batch_size=32, epochs=1, seed=0, **augmentation):
    """Images in batches, as a `tf.data.Dataset`, in memory or streamed.

    The order of an epoch depends on (seed, epoch), and the augmentation of an image on (seed,
    epoch, image), as in a run of the command.

    Args:
        source: the path of a folder, as `dataset=image_folder` reads it; or a mapping from fields
            to values, as `open_data` takes it, such as `{"dataset": "tfds", "tfds_name": "beans",
            "image_size": 96, "streaming": "always"}`; or a `DataSet` that is open already.
        part: "train", "validation" or "test". Training images are shuffled; the others come once,
            in their order.
        batch_size: images in a batch; the last one of an epoch has what remains.
        epochs: of training images, so many epochs, one after the other. `fit` then takes
            `steps_per_epoch=len(dataset) // epochs`, and sees every epoch in an order of its own.
        seed: a non-negative integer.
        **augmentation: of training images, as of `Split.training_batches`: flip, crop_padding, ...

    Returns:
        `tf.data.Dataset` of `(images, labels)`, uint8 of shape (batch, height, width, channels),
        and int64 of shape (batch,); its length is known.

    Raises:
        ValueError: if there is no such part, or other parts than training shall be augmented or
            repeated.
        DamagedDataError, DataUnavailableError: if images cannot be read.

    Example:
        >>> train = image_dataset({"dataset": "digits"}, batch_size=300, epochs=2, crop_padding=1)
        >>> [len(labels) for _, labels in train]
        [300, 300, 300, 100, 300, 300, 300, 100]
    """
    import tensorflow as tf

    if part not in ("train", "validation", "test"):
        raise ValueError(f'part is "train", "validation" or "test". Received: {part!r}')
    if part != "train" and (augmentation or epochs != 1):
        raise ValueError(
            f"Images of {part} come once, as they are. Received: epochs={epochs}, {augmentation}"
        )
    if not isinstance(source, DataSet):
        is_mapping = isinstance(source, Mapping)
        source = open_data(
            source if is_mapping else {"dataset": "image_folder", "data_path": str(source)}
        )
    split = getattr(source, part)
    if part == "train":
        batches = split.training_batches(batch_size, epochs, seed, **augmentation)
    else:
        batches = split.evaluation_batches(batch_size)
    steps = epochs * math.ceil(split.examples / batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(steps))
