"""Reads image data sets into memory by name."""

import numpy as np

from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.images import cifar_archives
from rocket_tf.data.images import tfds as tfds_images
from rocket_tf.data.in_memory import assemble
from rocket_tf.errors import DamagedDataError


def load(dataset, data_dir="", train_examples=0, validation_examples=0, split_seed=0):
    """Reads a data set, downloading it first if it is missing.

    Args:
        dataset: name of an image data set in `catalog.DATASETS`.
        data_dir: folder of TensorFlow Datasets, or of CIFAR's original archives; empty: TensorFlow
            Datasets' default.
        train_examples: number of training examples to use, the first ones; 0: all.
        validation_examples: number of training examples to hold out, equally many of each class; if
            the training examples have several parts, in the proportions of
            `DatasetCard.train_parts`.
        split_seed: seed of the split into training and test examples if the data set has no split.

    Returns:
        `ArrayData`.

    Raises:
        DamagedDataError: if the data is damaged.
        DataUnavailableError: if the data can be neither found nor downloaded, or a class has too
            few examples to hold out.
    """
    if dataset == "digits":
        train, test, class_names = _read_digits(split_seed)
        parts = [train]
    elif data_dir and cifar_archives.find(data_dir, dataset):
        archive = cifar_archives.read(data_dir, dataset)
        parts, test, class_names = [archive.train], archive.test, archive.class_names
        _check_sizes(dataset, cifar_archives.find(data_dir, dataset), archive)
    else:
        parts, test, class_names = tfds_images.read(dataset, data_dir, train_examples)
    card = DATASETS[dataset]
    return assemble(dataset, card, parts, test, class_names, train_examples, validation_examples)


def _check_sizes(dataset, path, archive):
    card = DATASETS[dataset]
    sizes = len(archive.train[1]), len(archive.test[1])
    if sizes != (card.train_examples, card.test_examples):
        raise DamagedDataError(
            f"{dataset}: {path} has {sizes[0]} training and {sizes[1]} test images, expected "
            f"{card.train_examples} and {card.test_examples}; download the archive again"
        )


def _read_digits(split_seed):
    """scikit-learn's digits: 8 by 8 grey images, scaled from 0 to 16 to 0 to 255.

    The data have no split; this one is stratified by class.
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
