"""Image data sets in memory, by name."""

import dataclasses

import numpy as np

from rocket_tf.data import tfds_images
from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.errors import DataUnavailableError


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
        train, test, class_names = tfds_images.read(dataset, data_dir, train_examples)
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
