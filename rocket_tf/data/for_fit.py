"""Images and clicks for `fit` in Python, from the same sources as in the command."""

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

    As in a run of the command, the order of an epoch depends only on (seed, epoch), and the
    augmentation of an image only on (seed, epoch, image).

    Args:
        source: the path of a folder, as for `dataset=image_folder`; or a mapping from fields to
            values, as for `open_data`, such as `{"dataset": "tfds", "tfds_name": "beans",
            "image_size": 96, "streaming": "always"}`; or an open `DataSet`.
        part: "train", "validation" or "test". Training images are shuffled; the others come once,
            in order.
        batch_size: images in a batch; the last batch of an epoch has the rest.
        epochs: for training images, the number of epochs, one after the other. Pass
            `steps_per_epoch=len(dataset) // epochs` to `fit`; every epoch has its own order.
        seed: a non-negative integer.
        **augmentation: for training images, as in `Split.training_batches`: flip, crop_padding, ...

    Returns:
        `tf.data.Dataset` of known length with elements `(images, labels)`. Images are uint8 of
        shape (batch, height, width, channels). Labels are int64 of shape (batch,), or for images
        with several classes multi-hot, float32 of shape (batch, classes).

    Raises:
        ValueError: if the part does not exist, or if a part other than training is augmented or
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
            f"Images of the {part} part come once and are not augmented. Received: "
            f"epochs={epochs}, {augmentation}"
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
    """The batches of your own click log, in memory or streamed.

    They are those of the command with the same fields. The order of an epoch is a function of
    (seed, epoch), so training can go on at any step as if it had not been interrupted.

    Args:
        path: the log: a folder, a file, or a URL of Parquet, as in config.data_path.
        part: "train", "validation" (the latest `validation_examples` of the training examples) or
            "test". The training part is shuffled, unless `shuffle=False`.
        batch_size: examples in a batch; the last batch of an epoch has the rest.
        epochs: for the training part, the number of epochs, one after the other; pass
            `steps_per_epoch=math.ceil(examples / batch_size)` to `fit`.
        seed: for the training part, a non-negative integer.
        first_epoch: for the training part, the number of epochs already done.
        first_step: for the training part, the number of batches already done in the next epoch.
        **fields: fields of `python -m rocket_tf.config` that say how a click log is read, such as
            `category_columns`, `number_columns`, `test_fraction` and `streaming`.

    Returns:
        `tf.data.Dataset` of `(inputs, labels)`. Inputs are a dict of columns: int64, strings or
        numbers of shape (batch,), a history of shape (batch, history_length). Labels are int64 of
        shape (batch,); with `label_columns`, a dict by column, each of shape (batch, 1). With a
        `weight_column`, elements are `(inputs, labels, weights)`; weights are float32 of shape
        (batch,).

    Raises:
        TypeError: if a field does not exist.
        ValueError: if the part does not exist.
        DamagedDataError: if a file cannot be read, or has an invalid value.
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
    """Batches of a split, as a `tf.data.Dataset` of known length."""
    import tensorflow as tf

    remaining = math.ceil(split.examples / batch_size)
    if part == "train":
        remaining = remaining * (epochs - first_epoch) - first_step
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
    return batches.apply(tf.data.experimental.assert_cardinality(remaining))
