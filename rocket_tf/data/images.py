"""Image data sets in memory, by name."""

import dataclasses

import numpy as np
import requests

from rocket_tf.data.catalog import DATASETS

_SECONDS_TO_ANSWER = 10


class DataUnavailableError(RuntimeError):
    """Data that is neither on this machine nor to be downloaded; the message names ways out."""


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set in memory.

    Attributes:
        train_images: uint8, shape (examples, height, width, channels).
        train_labels: int64, shape (examples,).
        test_images, test_labels: likewise.
        class_names: names of the classes, in their order.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: list[str]


def load(dataset, data_dir="", train_examples=0):
    """Reads a data set, downloading it first where it is missing.

    Args:
        dataset: a name in `catalog.DATASETS`.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        train_examples: the first so many training examples; 0: all.

    Returns:
        `ImageData`.

    Raises:
        DataUnavailableError: if the data can be neither read nor downloaded.
    """
    if dataset == "digits":
        return _load_digits(train_examples or DATASETS["digits"].train_examples)
    return _load_tfds(dataset, data_dir, train_examples)


def _load_digits(train_examples):
    """scikit-learn's digits: 8 by 8 grey images of 0 to 16, spread over 0 to 255.

    The data come without a split; this one is fixed and has all classes in proportion.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        digits.target.astype(np.int64),
        train_size=DATASETS["digits"].train_examples,
        random_state=0,
        stratify=digits.target,
    )
    return ImageData(
        train_images[:train_examples],
        train_labels[:train_examples],
        test_images,
        test_labels,
        [str(name) for name in digits.target_names],
    )


def _load_tfds(dataset, data_dir, train_examples):
    import tensorflow_datasets as tfds

    card = DATASETS[dataset]
    try:
        builder = tfds.builder(card.tfds_name, data_dir=data_dir or None)
        if not builder.is_prepared():
            # The downloader itself takes minutes to give up.
            requests.head(card.source, timeout=_SECONDS_TO_ANSWER)
            builder.download_and_prepare()
        train, test = (
            builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)
            for split in (_first_examples(builder, card.train_split, train_examples), "test")
        )
    except Exception as error:  # TFDS raises whatever its downloader or reader raises
        where = data_dir or "$TFDS_DATA_DIR or ~/tensorflow_datasets"
        raise DataUnavailableError(
            f"{dataset}: neither found in {where} nor downloaded ({type(error).__name__}: "
            f"{error}). Ways out: point --config.data_dir or TFDS_DATA_DIR to a folder that has "
            f"{card.tfds_name} in TensorFlow Datasets' form; or run once where there is a "
            "network, and copy that folder; or take data that needs no download: "
            "--config=digits"
        ) from error
    return ImageData(
        train["image"].numpy(),
        train["label"].numpy(),
        test["image"].numpy(),
        test["label"].numpy(),
        list(builder.info.features["label"].names),
    )


def _first_examples(builder, split, examples):
    """The split, such as "train+extra", cut to its first examples; 0: all."""
    if not examples:
        return split
    parts = []
    for part in split.split("+"):
        taken = min(examples, builder.info.splits[part].num_examples)
        parts.append(f"{part}[:{taken}]")
        examples -= taken
        if not examples:
            break
    return "+".join(parts)
