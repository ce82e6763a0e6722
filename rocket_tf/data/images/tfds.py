"""Reads image data sets from TensorFlow Datasets."""

from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.tfds_builder import error_of_reading, prepared_builder


def read(dataset, data_dir="", train_examples=0):
    """Reads a data set, downloading it first if it is missing.

    Args:
        dataset: a name in `catalog.DATASETS` that TensorFlow Datasets provides.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        train_examples: number of training examples to use, the first ones; 0: all.

    Returns:
        `(train, test, class_names)`: a list with the uint8 images and int64 labels of each part of
        the training examples; images and labels of the test examples; a list of strings.

    Raises:
        DamagedDataError, DataUnavailableError: as `images.load`.
    """
    card = DATASETS[dataset]
    builder = prepared_builder(dataset, card.tfds_name, card.source, data_dir)
    try:
        parts = _first_examples(builder, card.train_parts, train_examples)
        train, (test,) = (
            [_read_split(builder, card, split) for split in splits] for splits in (parts, ["test"])
        )
    except Exception as error:  # TFDS passes on any error of its reader
        raise error_of_reading(
            dataset,
            builder,
            (*card.train_parts, "test"),
            error,
            _problem_of(card),
            _decoders(card),
        ) from error
    return train, test, list(builder.info.features["label"].names)


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
    """Decoders that check the images' shape: TFDS would pad small images with zeros."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    @tfds.decode.make_decoder()
    def image_of_right_shape(serialized, feature):
        return tf.ensure_shape(feature.decode_example(serialized), card.image_shape)

    return {"image": image_of_right_shape()}


def _problem_of(card):
    """A function that says what is wrong with an example, or returns `None`."""

    def problem(example):
        if 0 <= example["label"] < card.num_classes:
            return None
        return f"label {example['label']}, expected 0 to {card.num_classes - 1}"

    return problem


def _first_examples(builder, parts, examples):
    """The parts, truncated to their first examples; 0: all."""
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
