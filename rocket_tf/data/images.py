"""Image data sets in memory, by name."""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import requests

from rocket_tf.data.catalog import DATASETS

_SECONDS_TO_ANSWER = 10
_INFO = "dataset_info.json"


class DataUnavailableError(RuntimeError):
    """Data that is neither on this machine nor to be downloaded; the message names ways out."""


class DamagedDataError(DataUnavailableError):
    """Data that is on this machine and cannot be read; the message names the damaged file."""


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set in memory.

    Attributes:
        train_images: uint8, shape (examples, height, width, channels).
        train_labels: int64, shape (examples,).
        test_images, test_labels: likewise.
        validation_images, validation_labels: likewise; those held out of training, often none.
        class_names: names of the classes, in their order.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    class_names: list[str]


def load(dataset, data_dir="", train_examples=0, validation_examples=0, split_seed=0):
    """Reads a data set, downloading it first where it is missing.

    Args:
        dataset: a name in `catalog.DATASETS`.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        train_examples: the first so many training examples; 0: all.
        validation_examples: so many of them are held out, the same of each class; where the
            training examples come in several parts, in the shares of `DatasetCard.train_parts`.
        split_seed: seed of the split into training and test examples where the data set has none.

    Returns:
        `ImageData`.

    Raises:
        DamagedDataError: if the data is there and damaged.
        DataUnavailableError: if the data can be neither found nor downloaded, or a class has too
            few examples to hold out.
    """
    if dataset == "digits":
        train, test, class_names = _read_digits(split_seed)
        train = [tuple(array[: train_examples or None] for array in train)]
    else:
        train, test, class_names = _read_tfds(dataset, data_dir, train_examples)
    held_out = _hold_out(dataset, [labels for _, labels in train], validation_examples)
    images, labels = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    return ImageData(
        train_images=images[~held_out],
        train_labels=labels[~held_out],
        test_images=test[0],
        test_labels=test[1],
        validation_images=images[held_out],
        validation_labels=labels[held_out],
        class_names=class_names,
    )


def _hold_out(dataset, parts, number):
    """Which training examples are held out: a boolean for each.

    The same of each class, drawn at random but always the same, from each part its share.

    Args:
        dataset: a name in `catalog.DATASETS`.
        parts: list of the parts' labels.
        number: how many are held out of all parts together.
    """
    card = DATASETS[dataset]
    shares = list(card.train_parts.values())[: len(parts)]
    # Rounded as a running sum, so that the parts' numbers add up.
    bounds = np.round(number * np.cumsum([0, *shares]) / sum(shares)).astype(int)
    held_out = []
    for labels, part_number in zip(parts, np.diff(bounds), strict=True):
        part_held_out = np.zeros(len(labels), bool)
        order = np.random.default_rng(0).permutation(len(labels))
        for label in range(card.num_classes):
            # The first classes have one more where the number does not divide.
            wanted = part_number // card.num_classes + (label < part_number % card.num_classes)
            chosen = order[labels[order] == label][:wanted]
            if len(chosen) < wanted:
                raise DataUnavailableError(
                    f"{dataset}: config.validation_examples asks for {wanted} examples of class "
                    f"{label}, and there are {len(chosen)}; lower it, or raise train_examples"
                )
            part_held_out[chosen] = True
        held_out.append(part_held_out)
    return np.concatenate(held_out)


def _read_digits(split_seed):
    """scikit-learn's digits: 8 by 8 grey images of 0 to 16, spread over 0 to 255.

    The data come without a split; these have all classes in proportion.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        digits.target.astype(np.int64),
        train_size=DATASETS["digits"].train_examples,
        random_state=split_seed,
        stratify=digits.target,
    )
    class_names = [str(name) for name in digits.target_names]
    return (train_images, train_labels), (test_images, test_labels), class_names


def _read_tfds(dataset, data_dir, train_examples):
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
