"""Images and clicks for `fit` from Python, from the sources that the command trains on."""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from rocket_tf.data.interface import DataSet
from rocket_tf.data.opening import DEFAULTS, open_data

if TYPE_CHECKING:
    import tensorflow as tf

Part = Literal["train", "validation", "test"]


def image_dataset(
    source: str | os.PathLike[str] | Mapping[str, Any] | DataSet,
    part: Part = "train",
    *,
    batch_size: int = 32,
    epochs: int = 1,
    seed: int = 0,
    **augmentation: Any,
) -> "tf.data.Dataset":
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
        and int64 of shape (batch,), or, where images may have several classes, multi-hot, float32
        of shape (batch, classes); its length is known.

    Raises:
        ValueError: if there is no such part, or other parts than training shall be augmented or
            repeated.
        DamagedDataError, DataUnavailableError: if images cannot be read.

    Example:
        >>> train = image_dataset({"dataset": "digits"}, batch_size=300, epochs=2, crop_padding=1)
        >>> [len(labels) for _, labels in train]
        [300, 300, 300, 100, 300, 300, 300, 100]
    """
    _check_part(part)
    if part != "train" and (augmentation or epochs != 1):
        raise ValueError(
            f"Images of {part} come once, as they are. Received: epochs={epochs}, {augmentation}"
        )
    if not isinstance(source, DataSet):
        if not isinstance(source, Mapping):
            source = {"dataset": "image_folder", "data_path": str(source)}
        source = open_data(source)
    return _batches(getattr(source, part), part, batch_size, epochs, seed, **augmentation)


def click_dataset(
    path: str | os.PathLike[str],
    part: Part = "train",
    *,
    batch_size: int,
    epochs: int = 1,
    seed: int = 0,
    first_epoch: int = 0,
    first_step: int = 0,
    **fields: Any,
) -> "tf.data.Dataset":
    """The batches of one's own click log, in memory or streamed.

    They are those of the command with the same fields: the order of an epoch is a function of
    (seed, epoch), so that training goes on at any step as if it had not been interrupted.

    Args:
        path: the log: a folder, a file, or a URL of Parquet; as config.data_path.
        part: "train", "validation" (the latest `validation_examples` of the training examples) or
            "test". The training part is shuffled, unless `shuffle=False`.
        batch_size: examples in a batch; the last of an epoch has what remains.
        epochs: of the training part: so many epochs, one after the other; pass
            `steps_per_epoch=math.ceil(examples / batch_size)` to `fit`.
        seed: of the training part: a non-negative integer.
        first_epoch: of the training part: epochs, counted from 0, that are done.
        first_step: of the training part: batches that are done of the epoch after these.
        **fields: fields of `python -m rocket_tf.config` that say how a click log is read, such as
            `category_columns`, `number_columns`, `test_fraction` and `streaming`.

    Returns:
        `tf.data.Dataset` of `(inputs, labels)`: a dict of columns, int64, strings or numbers of
        shape (batch,), a history of shape (batch, history_length); and int64 of shape (batch,).
        With `label_columns`, labels are a dict by column, each of shape (batch, 1). With a
        `weight_column`, of `(inputs, labels, weights)`; they are float32, shape (batch,).

    Raises:
        TypeError: if there is no such field.
        ValueError: if there is no such part.
        DamagedDataError: if a file cannot be read, or has a value that its column cannot have.
        DataUnavailableError: if there is no such log, or it lacks a column.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rows = ["click,user,item", "1,4,7", "0,5,9", "0,4,8"]
        >>> for name in ("train", "test"):
        ...     _ = (folder / f"{name}.csv").write_text(chr(10).join(rows))
        >>> train = click_dataset(folder, batch_size=2)
        /...: 3 training and 3 test examples, of which 33.3% and 33.3% are clicks
        >>> [len(labels) for _, labels in train]
        [2, 1]
    """
    unknown = sorted(set(fields) - set(DEFAULTS))
    if unknown:
        raise TypeError(
            f"click_dataset: got {unknown[0]!r}, expected fields of a click log: "
            f"{', '.join(sorted(set(DEFAULTS) - {'data_path'}))}"
        )
    _check_part(part)
    data = open_data({"dataset": "click_log", "data_path": str(path), **fields})
    return _batches(
        getattr(data, part),
        part,
        batch_size,
        epochs,
        seed,
        first_epoch,
        first_step,
        weight_column=data.card.columns.weight,
        label_names=data.card.columns.outputs,
    )


def _check_part(part):
    if part not in ("train", "validation", "test"):
        raise ValueError(f"part must be 'train', 'validation' or 'test'. Received: part={part!r}")


def _batches(
    split,
    part,
    batch_size,
    epochs,
    seed,
    first_epoch=0,
    first_step=0,
    weight_column="",
    label_names=(),
    **augmentation,
):
    """Batches of a split, as `tf.data.Dataset` whose length is known."""
    import tensorflow as tf

    left = math.ceil(split.examples / batch_size)
    if part == "train":
        left = left * (epochs - first_epoch) - first_step
        batches = split.training_batches(
            batch_size,
            epochs,
            seed,
            first_epoch=first_epoch,
            first_step=first_step,
            weight_column=weight_column,
            label_names=label_names,
            **augmentation,
        )
    else:
        batches = split.evaluation_batches(
            batch_size, weight_column=weight_column, label_names=label_names
        )
    return batches.apply(tf.data.experimental.assert_cardinality(left))
