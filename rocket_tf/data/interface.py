"""What a data set is, and its splits: the interface of every source of examples.

Free of TensorFlow until batches are asked for.
"""

import abc
import dataclasses

import numpy as np


class DataSet(abc.ABC):
    """A data set that is open; `opening.open_data` gives those that configurations name.

    Another source of examples is a subclass, with `Split`s of its own; it goes wherever an
    opened data set goes, such as to `rocket_tf.train.train_and_evaluate`.
    """

    @property
    @abc.abstractmethod
    def card(self):
        """The facts, a `catalog.DatasetCard`; known without reading examples, or read already."""

    @property
    @abc.abstractmethod
    def class_names(self):
        """Names of the classes, in their order, a list of strings."""

    @property
    @abc.abstractmethod
    def train(self):
        """The training examples without those held out, a `Split`."""

    @property
    @abc.abstractmethod
    def validation(self):
        """The examples held out of training, often none, a `Split`."""

    @property
    @abc.abstractmethod
    def test(self):
        """The test examples, a `Split`."""

    @property
    def fingerprint(self):
        """What identifies this data, a dict that JSON can hold, or `None`."""
        return None

    def load(self):  # noqa: B027 - not every data set has something to read
        """Reads what would otherwise be read when a split is first used.

        Raises:
            DamagedDataError: if the data is there and damaged.
            DataUnavailableError: if it can be neither found nor downloaded, or a class has too few
                examples to hold out.
        """

    def reopen(self, mapping):
        """The data of another configuration: this one, where both have the same.

        Args:
            mapping: as of `opening.open_data`.

        Returns:
            A `DataSet`, which shares what it can with this one.
        """
        return self


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which batches are trained on.

    Attributes:
        batch_size: examples in a batch, over all replicas together.
        epochs: epochs of the whole training.
        seed: a non-negative integer.
        first_epoch: epochs, counted from 0, that are done.
        first_step: batches that are done of the epoch after these.
        order: which of the orders that an epoch has; 0: the one that is trained in, others: those
            of the partners that examples are mixed with.
    """

    batch_size: int
    epochs: int
    seed: int
    first_epoch: int = 0
    first_step: int = 0
    order: int = 0


@dataclasses.dataclass(frozen=True)
class Share:
    """Which parts of each batch a worker computes.

    Attributes:
        replicas: into how many parts a batch is split, as evenly as can be.
        worker: the worker, counted from 0.
        workers: among how many workers the replicas are divided, each having as many.
    """

    replicas: int = 1
    worker: int = 0
    workers: int = 1

    @property
    def own(self):
        """How many parts of each batch are the worker's."""
        return self.replicas // self.workers


class Split(abc.ABC):
    """Examples of a data set, as batches.

    A subclass says how many there are, and makes the parts of batches; which part begins and ends
    where, `pipeline.bounds_of_part` computes.
    """

    @property
    @abc.abstractmethod
    def examples(self):
        """The number of examples."""

    @abc.abstractmethod
    def training_parts(self, schedule, augment, share):
        """The parts of the batches of epochs `first_epoch` to `epochs` - 1, one after the other.

        The order of an epoch is a function of (seed, epoch, order), so that training goes on at any
        step as if it had not been interrupted; every example is there once in an epoch.

        Args:
            schedule: a `Schedule`.
            augment: `None`, or what is applied to a part's images, `f(images, seed, epoch,
                examples)`; `examples` are the images' numbers, int64 of shape (batch,).
            share: a `Share`: each of the worker's parts is an element.

        Returns:
            `tf.data.Dataset` of `(inputs, labels)`; labels are integers, or multi-hot.
        """

    @abc.abstractmethod
    def evaluation_parts(self, batch_size, share):
        """The parts of the batches of all examples in their order, once.

        Args:
            batch_size: examples in a batch, over all replicas together.
            share: a `Share`.

        Returns:
            As `training_parts`.
        """

    def training_batches(
        self,
        batch_size,
        epochs,
        seed,
        *,
        first_epoch=0,
        first_step=0,
        flip=False,
        crop_padding=0,
        crop_padding_mode="symmetric",
        rand_augment=0.0,
        mixing=None,
        batch_augmentation=None,
        num_classes=None,
        class_weights=None,
        weight_column="",
        label_names=(),
        replicas=1,
        worker=0,
        workers=1,
    ):
        """The batches of epochs `first_epoch` to `epochs` - 1, one after the other.

        The order of an epoch depends on (seed, epoch), the augmentation of an example on (seed,
        epoch, example). So a run that resumes sees what an uninterrupted one would have seen, and N
        replicas together see the examples that one device would have seen.

        Args:
            batch_size: examples in a batch, over all replicas together; the last batch of an epoch
                has what remains.
            epochs: epochs of the whole training.
            seed: a non-negative integer.
            first_epoch: epochs, counted from 0, that are done.
            first_step: batches that are done of the epoch after these.
            flip: images only, as in `augmentation.mirror_and_shift`.
            crop_padding: the same, in pixels.
            crop_padding_mode: the same, "symmetric" or "reflect".
            rand_augment: images only, magnitude of RandAugment, 0 to 1; 0: off.
            mixing: images only: `None`, or a pair of "mixup" or "cutmix" and its alpha. Each
                example is mixed with one from another order of the same epoch. Labels become
                one-hot, so it needs `num_classes`.
            batch_augmentation: `f(inputs, labels) -> (inputs, labels)` on batches, or `None`.
            num_classes: labels become one-hot, float32, of so many classes; `None`: they stay.
            class_weights: what the examples of each class weigh, a number a class; `None`: elements
                have no weights.
            weight_column: the column of inputs that says what each example weighs, which is taken
                out of them; with class_weights, the two are multiplied. Empty: none.
            label_names: of clicks with several labels: their names, by which they become a dict.
            replicas: into how many parts a batch is split; each part is an element.
            worker: as of `Share`.
            workers: as of `Share`.

        Returns:
            `tf.data.Dataset` of `(inputs, labels)`, or of `(inputs, labels, weights)`. Inputs:
            images, uint8 of shape (batch, height, width, channels), or a dict of columns. Labels:
            int64 of shape (batch,), or one-hot; where images may have several classes, multi-hot,
            float32 of shape (batch, classes); with label_names, a dict from them to int64 of shape
            (batch, 1). Weights: float32 of shape (batch,).

        Raises:
            ValueError: if multi-hot labels shall be mixed, weighed or one-hot.
        """
        from rocket_tf.data import pipeline

        share = Share(replicas, worker, workers)
        augment = pipeline.augmentation_by_example(
            flip, crop_padding, crop_padding_mode, rand_augment
        )
        schedule = Schedule(batch_size, epochs, seed, first_epoch, first_step)
        parts = self.training_parts(schedule, augment, share)
        if any(each is not None for each in (mixing, num_classes, class_weights)):
            pipeline.check_have_one_class(parts)
        if mixing is not None:
            of_partners = dataclasses.replace(schedule, order=1)
            partners = self.training_parts(of_partners, augment, share)
            places = pipeline.places_of_parts(self.examples, schedule, share)
            parts = pipeline.mix(parts, partners, places, mixing, seed, num_classes)
            num_classes = None
        return pipeline.finish(
            parts,
            share,
            num_classes,
            batch_augmentation,
            class_weights,
            weight_column,
            label_names,
        )

    def evaluation_batches(
        self,
        batch_size,
        *,
        num_classes=None,
        weight_column="",
        label_names=(),
        replicas=1,
        worker=0,
        workers=1,
    ):
        """The examples in their order, once; arguments and elements as of `training_batches`."""
        from rocket_tf.data import pipeline

        share = Share(replicas, worker, workers)
        parts = self.evaluation_parts(batch_size, share)
        return pipeline.finish(
            parts, share, num_classes, weight_column=weight_column, label_names=label_names
        )

    def class_counts(self, num_classes):
        """How many examples of each class there are: an array of so many whole numbers."""
        counts = np.zeros(num_classes, np.int64)
        for _, labels in self.evaluation_batches(4096).as_numpy_iterator():
            counts += counts_of(labels, num_classes)
        return counts

    def first(self, number):
        """The first examples, to warm up with, to draw, or to prove an export.

        Args:
            number: so many, or all if there are fewer; at least 1.

        Returns:
            `(inputs, labels)`: NumPy arrays, or a dict of them, and an array, also of several
            labels.
        """
        return next(self.evaluation_batches(number).as_numpy_iterator())


def by_name(labels, names):
    """Labels of clicks as nets with a head for each take them.

    Args:
        labels: shape (examples,), or, of several labels, (examples, labels).
        names: of several labels; none: there is one.

    Returns:
        The labels as they are, or a dict from names to shape (examples, 1), as heads of one logit
        have it.

    Example:
        >>> by_name(np.array([[1, 0], [1, 1]]), ("click", "bought"))["bought"].tolist()
        [[0], [1]]
    """
    if not names:
        return labels
    return {name: labels[:, place : place + 1] for place, name in enumerate(names)}


def counts_of(labels, num_classes):
    """How many labels there are of each class: an array of so many whole numbers.

    Args:
        labels: int64, shape (examples,), or multi-hot, shape (examples, classes).
        num_classes: how many classes there are.
    """
    if labels.ndim > 1:
        return labels.sum(0, dtype=np.int64)
    return np.bincount(labels, minlength=num_classes)
