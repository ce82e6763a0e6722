"""Image data sets in TensorFlow Datasets' form; and which file is damaged, where one is."""

import os
import re
from pathlib import Path

import requests

from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.errors import DamagedDataError, DataUnavailableError

_SECONDS_TO_ANSWER = 10
_INFO = "dataset_info.json"


def read(dataset, data_dir="", train_examples=0):
    """Reads a data set, downloading it first where it is missing.

    Args:
        dataset: a name in `catalog.DATASETS`, of data that TensorFlow Datasets has.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        train_examples: the first so many training examples; 0: all.

    Returns:
        `(train, test, class_names)`: a list with uint8 images and int64 labels of each part of the
        training examples; those of the test examples; a list.

    Raises:
        DamagedDataError, DataUnavailableError: as `images.load`.
    """
    card = DATASETS[dataset]
    builder = _prepared_builder(dataset, data_dir)
    try:
        parts = _first_examples(builder, card.train_parts, train_examples)
        train, (test,) = (
            [_read_split(builder, card, split) for split in splits] for splits in (parts, ["test"])
        )
    except Exception as error:  # TFDS raises whatever its reader raises
        damage = _find_damage(builder, card)
        if damage is None:
            raise DataUnavailableError(
                f"{dataset}: {builder.data_path} cannot be read, though every record of it can: "
                f"{_reason(error)}"
            ) from error
        raise DamagedDataError(
            f"{dataset}: {damage}. {_ways_out_of_damage(builder.data_path)}"
        ) from error
    return train, test, list(builder.info.features["label"].names)


def _prepared_builder(dataset, data_dir):
    """The builder of a data set that is on this machine, downloaded first where it is missing."""
    import tensorflow_datasets as tfds

    card = DATASETS[dataset]
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    # The file to name if TFDS fails: it reads this one first, and without it finds no others.
    damaged = max(root.expanduser().glob(f"{card.tfds_name}/*/{_INFO}"), default=None)
    try:
        builder = tfds.builder(card.tfds_name, data_dir=data_dir or None)
        if not builder.is_prepared():
            folder = Path(builder.data_path)
            damaged = folder / _INFO if any(folder.glob("*.tfrecord*")) else None
            # The downloader itself takes minutes to give up.
            requests.head(card.source, timeout=_SECONDS_TO_ANSWER)
            builder.download_and_prepare()
    except Exception as error:  # TFDS raises whatever its downloader or reader raises
        if damaged is not None:
            problem = _reason(error) if damaged.exists() else "missing"
            raise DamagedDataError(
                f"{dataset}: {damaged}: {problem}. {_ways_out_of_damage(damaged.parent)}"
            ) from error
        where = data_dir or "$TFDS_DATA_DIR or ~/tensorflow_datasets"
        raise DataUnavailableError(
            f"{dataset}: neither found in {where} nor downloaded ({type(error).__name__}: "
            f"{error}). Ways out: point --config.data_dir or TFDS_DATA_DIR to a folder that has "
            f"{card.tfds_name} in TensorFlow Datasets' form; or run once where there is a "
            "network, and copy that folder; or take data that needs no download: "
            "--config=digits"
        ) from error
    return builder


def _read_split(builder, card, split):
    """The images and labels of a split, such as "train[:100]"."""
    examples = builder.as_dataset(
        split=split, batch_size=-1, shuffle_files=False, decoders=_decoders(card)
    )
    images, labels = examples["image"].numpy(), examples["label"].numpy()
    if len(labels) and (labels.min() < 0 or labels.max() >= card.num_classes):
        raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    return images, labels


def _decoders(card):
    """TFDS pads what is too small with zeros, unless it is told what shape images have."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    @tfds.decode.make_decoder()
    def image_of_right_shape(serialized, feature):
        return tf.ensure_shape(feature.decode_example(serialized), card.image_shape)

    return {"image": image_of_right_shape()}


def _find_damage(builder, card):
    """The file that cannot be read, and what is wrong with it; `None` if all can be read.

    It reads record by record, which takes longer than reading them all.
    """
    for split in (*card.train_parts, "test"):
        if split not in builder.info.splits:
            return f"{Path(builder.data_path) / _INFO}: it has no split {split!r}"
        info = builder.info.splits[split]
        for path, records in zip(info.filepaths, info.shard_lengths, strict=True):
            problem = _problem_of_file(builder, card, Path(path), records)
            if problem:
                return f"{path}: {problem}"
    return None


def _problem_of_file(builder, card, path, records):
    """What is wrong with a file of so many records; `None` if nothing is."""
    import tensorflow as tf

    if not path.exists():
        return "missing"
    decoders = _decoders(card)
    examples = tf.data.TFRecordDataset(str(path)).map(
        lambda record: builder.info.features.deserialize_example(record, decoders=decoders),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    number = 0
    try:
        for example in examples.as_numpy_iterator():
            number += 1
            if not 0 <= example["label"] < card.num_classes:
                return (
                    f"record {number} of {records} has label {example['label']}, expected 0 to "
                    f"{card.num_classes - 1}"
                )
    except tf.errors.OpError as error:
        return f"record {number + 1} of {records} cannot be read: {_reason(error)}"
    if number != records:
        return f"it has {number} records, expected the {records} that {_INFO} tells"
    return None


def _ways_out_of_damage(folder):
    return (
        f"Ways out: delete {folder} and start again where there is a network, so that it is "
        "downloaded anew; or copy that folder again from where it is whole"
    )


def _reason(error):
    """What an exception says, without the names of TensorFlow's nodes."""
    text = (getattr(error, "message", None) or str(error)).partition("\n")[0]
    text = re.sub(r"\{\{.*?\}\} ?|Error in user-defined .* iterator: \S+: | ?\[Op:.*", "", text)
    return f"{type(error).__name__}: {text.strip(' .')}"


def _first_examples(builder, parts, examples):
    """The parts, cut to their first examples altogether; 0: all."""
    if not examples:
        return list(parts)
    cut = []
    for part in parts:
        taken = min(examples, builder.info.splits[part].num_examples)
        cut.append(f"{part}[:{taken}]")
        examples -= taken
        if not examples:
            break
    return cut
