"""Examples in memory: a split, and the three splits of a data set.

It imports TensorFlow only when batches are made.
"""

import dataclasses

import numpy as np

from rocket_tf.data.interface import Split, counts_of
from rocket_tf.errors import DataUnavailableError


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySplit(Split):
    """Examples in memory.

    Attributes:
        inputs: images, uint8, shape (examples, height, width, channels); or for clicks a dict from
            columns to arrays, with examples along the first axis.
        labels: int64, shape (examples,); or multi-hot, float32, shape (examples, classes).

    Example:
        >>> split = ArraySplit(np.zeros((5, 8, 8, 1), np.uint8), np.arange(5))
        >>> [len(labels) for _, labels in split.evaluation_batches(batch_size=2)]
        [2, 2, 1]
    """

    inputs: np.ndarray | dict
    labels: np.ndarray

    @property
    def examples(self):
        return len(self.labels)

    def training_parts(self, schedule, augment, share):
        import tensorflow as tf

        from rocket_tf.data import indexed_batches

        inputs = indexed_batches.on_host(self.inputs)

        def load(chosen):
            return tf.nest.map_structure(lambda array: tf.gather(array, chosen), inputs)

        return indexed_batches.training_parts(load, self.labels, schedule, augment, share)

    def evaluation_parts(self, batch_size, share):
        import tensorflow as tf

        from rocket_tf.data import indexed_batches

        inputs = indexed_batches.on_host(self.inputs)

        def load(begin, end):
            return tf.nest.map_structure(lambda array: array[begin:end], inputs)

        return indexed_batches.evaluation_parts(load, self.labels, batch_size, share)

    def class_counts(self, num_classes):
        return counts_of(self.labels, num_classes)

    def first(self, number):
        return map_inputs(lambda array: array[:number], self.inputs), self.labels[:number]


@dataclasses.dataclass(frozen=True)
class ArrayData:
    """A data set with numbered examples.

    Attributes:
        train, validation, test: `Split`s, in memory `ArraySplit`s; `validation` has the examples
            held out of training, often none.
        class_names: names of the classes, in order.
    """

    train: ArraySplit
    validation: ArraySplit
    test: ArraySplit
    class_names: list[str]


def assemble(
    dataset,
    card,
    parts,
    test,
    class_names,
    train_examples=0,
    validation_examples=0,
    make_split=ArraySplit,
):
    """The data for a run, from the examples that a reader has read.

    Args:
        dataset: its name, for messages.
        card: its `catalog.DatasetCard`.
        parts: list of `(inputs, labels)`, which make up the training examples.
        test: `(inputs, labels)`.
        class_names: names of the classes.
        train_examples: number of training examples, the first ones; 0: all.
        validation_examples: number of these to hold out. For images, the same number of each class;
            if there are several training parts, in the shares of `card.train_parts`. For images
            with several classes, without regard to these; for clicks, the latest.
        make_split: function from `(inputs, labels)` to a `Split`.

    Returns:
        `ArrayData`.

    Raises:
        DataUnavailableError: if a class has too few examples to hold out.
    """
    if train_examples:
        parts = _first(parts, train_examples)
    if card.kind == "clicks":
        number = sum(len(labels) for _, labels in parts)
        held_out = np.arange(number) >= number - validation_examples
    else:
        held_out = _hold_out(dataset, card, [labels for _, labels in parts], validation_examples)
    if len(parts) == 1:
        ((inputs, labels),) = parts  # without a copy, which may not fit into memory
    else:
        inputs = map_inputs(lambda *arrays: np.concatenate(arrays), *(part[0] for part in parts))
        labels = np.concatenate([labels for _, labels in parts])
    kept = ~held_out if held_out.any() else slice(None)
    return ArrayData(
        train=make_split(map_inputs(lambda array: array[kept], inputs), labels[kept]),
        validation=make_split(map_inputs(lambda array: array[held_out], inputs), labels[held_out]),
        test=make_split(*test),
        class_names=class_names,
    )


def map_inputs(function, *inputs):
    """The inputs with a function applied to their array, or to each array of a dict."""
    if isinstance(inputs[0], dict):
        return {name: function(*(each[name] for each in inputs)) for name in inputs[0]}
    return function(*inputs)


def _first(parts, number):
    """The parts, cut to a total number of examples."""
    cut = []
    for inputs, labels in parts:
        taken = min(number, len(labels))
        if taken:
            cut.append((map_inputs(lambda array, n=taken: array[:n], inputs), labels[:taken]))
        number -= taken
    return cut


def _hold_out(dataset, card, parts, number):
    """Which training examples are held out: a boolean for each.

    They are the same number of each class, from each part its share; the random draw is fixed.

    Args:
        dataset: its name, for messages.
        card: its `catalog.DatasetCard`.
        parts: list of the parts' labels.
        number: number to hold out of all parts together.
    """
    shares = list(card.train_parts.values())[: len(parts)]
    # Rounded as a running sum, so that the parts' numbers add up.
    bounds = np.round(number * np.cumsum([0, *shares]) / sum(shares)).astype(int)
    held_out = []
    for labels, part_number in zip(parts, np.diff(bounds), strict=True):
        part_held_out = np.zeros(len(labels), bool)
        order = np.random.default_rng(0).permutation(len(labels))
        if card.multi_label:
            part_held_out[order[:part_number]] = True
            held_out.append(part_held_out)
            continue
        for label in range(card.num_classes):
            # The first classes have one more if the number does not divide evenly.
            wanted = part_number // card.num_classes + (label < part_number % card.num_classes)
            chosen = order[labels[order] == label][:wanted]
            if len(chosen) < wanted:
                raise DataUnavailableError(
                    f"{dataset}: config.validation_examples asks for {wanted} examples of class "
                    f"{label}, but there are {len(chosen)}; lower it, or raise train_examples"
                )
            part_held_out[chosen] = True
        held_out.append(part_held_out)
    return np.concatenate(held_out)
