"""Click logs as `tf.data.Dataset`s, for `fit` from Python."""

import math

from rocket_tf.data.opening import DEFAULTS, open_data


def click_dataset(
    path, part="train", *, batch_size, epochs=1, seed=0, first_epoch=0, first_step=0, **fields
):
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
    if part not in ("train", "validation", "test"):
        raise ValueError(f"part must be 'train', 'validation' or 'test'. Received: part={part!r}")
    data = open_data({"dataset": "click_log", "data_path": str(path), **fields})
    if part != "train":
        return getattr(data, part).evaluation_batches(batch_size)
    steps = math.ceil(data.train.examples / batch_size)
    batches = data.train.training_batches(
        batch_size, epochs, seed, first_epoch=first_epoch, first_step=first_step
    )
    import tensorflow as tf

    left = (epochs - first_epoch) * steps - first_step
    return batches.apply(tf.data.experimental.assert_cardinality(left))
