"""The interface of data sets and their splits, for every source of examples.

It imports TensorFlow only when batches are made.
"""

import abc
import dataclasses

import numpy as np


class DataSet(abc.ABC):
    """An open data set; `opening.open_data` opens those that configurations name.

    For another source of examples, write a subclass with its own `Split`s. It can be used wherever
    an open data set can, for instance in `rocket_tf.train.train_and_evaluate`.
    """

    @property
    @abc.abstractmethod
    def card(self):
        """Its facts, a `catalog.DatasetCard`, available without reading more examples."""

    @property
    @abc.abstractmethod
    def class_names(self):
        """Names of the classes, in order, a list of strings."""

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
        """Reads the data now that would otherwise be read when a split is first used.

        Raises:
            DamagedDataError: if the data exists but is damaged.
            DataUnavailableError: if it can neither be found nor downloaded, or if a class has too
                few examples to hold out.
        """

    def reopen(self, mapping):
        """The data of another configuration; this data set if both have the same.

        Args:
            mapping: as for `opening.open_data`.

        Returns:
            A `DataSet`, which shares as much as possible with this one.
        """
        return self


class DelegatingDataSet(DataSet):
    """A data set whose examples are those of another one, `inner`."""

    @property
    @abc.abstractmethod
    def inner(self):
        """The data set that has the examples."""

    @property
    def card(self):
        return self.inner.card

    @property
    def class_names(self):
        return self.inner.class_names

    @property
    def train(self):
        return self.inner.train

    @property
    def validation(self):
        return self.inner.validation

    @property
    def test(self):
        return self.inner.test

    @property
    def fingerprint(self):
        return self.inner.fingerprint

    def load(self):
        self.inner.load()


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which batches are trained on.

    Attributes:
        batch_size: examples in a batch, over all replicas together.
        epochs: epochs of the whole training.
        seed: a non-negative integer.
        first_epoch: number of epochs already done.
        first_step: number of batches already done in the next epoch.
        order: which of an epoch's orders; 0: the order of training, others: orders of the partners
            with which examples are mixed.
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
        replicas: number of parts of a batch, which are as even as possible.
        worker: the worker, counted from 0.
        workers: number of workers; each has the same number of replicas.
    """

    replicas: int = 1
    worker: int = 0
    workers: int = 1

    @property
    def own(self):
        """The number of the worker's parts of each batch."""
        return self.replicas // self.workers


class Split(abc.ABC):
    """Examples of a data set, as batches.

    A subclass gives their number and makes the parts of batches. `pipeline.bounds_of_part` computes
    where each part begins and ends.
    """

    @property
    @abc.abstractmethod
    def examples(self):
        """The number of examples."""

    @abc.abstractmethod
    def training_parts(self, schedule, augment, share):
        """The parts of the batches of epochs `first_epoch` to `epochs` - 1, one after the other.

        The order of an epoch is a function of (seed, epoch, order), so training can go on at any
        step as if it had not been interrupted. Every example occurs once in an epoch.

        Args:
            schedule: a `Schedule`.
            augment: `None`, or a function applied to a part's images, `f(images, seed, epoch,
                examples)`; `examples` are the images' numbers, int64 of shape (batch,).
            share: a `Share`; each of the worker's parts is an element.

        Returns:
            `tf.data.Dataset` of `(inputs, labels)`; labels are integers, or multi-hot.
        """

    @abc.abstractmethod
    def evaluation_parts(self, batch_size, share):
        """The parts of the batches of all examples in order, once.

        Args:
            batch_size: examples in a batch, over all replicas together.
            share: a `Share`.

        Returns:
            Like `training_parts`.
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

        The order of an epoch depends only on (seed, epoch), and the augmentation of an example only
        on (seed, epoch, example). So a resumed run sees the same as an uninterrupted one, and N
        replicas together see the examples that one device would see.

        Args:
            batch_size: examples in a batch, over all replicas together; the last batch of an epoch
                has the rest.
            epochs: epochs of the whole training.
            seed: a non-negative integer.
            first_epoch: number of epochs already done.
            first_step: number of batches already done in the next epoch.
            flip: images only, as in `augmentation.mirror_and_shift`.
            crop_padding: the same, in pixels.
            crop_padding_mode: the same, "symmetric" or "reflect".
            rand_augment: images only, magnitude of RandAugment, 0 to 1; 0: off.
            mixing: images only: `None`, or a pair of "mixup" or "cutmix" and its alpha. Each
                example is mixed with one from another order of the same epoch. Labels become
                one-hot, so it needs `num_classes`.
            batch_augmentation: `f(inputs, labels) -> (inputs, labels)` on batches, or `None`.
            num_classes: number of classes for one-hot float32 labels; `None`: labels do not change.
            class_weights: weights of the examples of each class, a number for each class; `None`:
                elements have no weights.
            weight_column: the column with the weight of each example, which is removed from the
                inputs; class_weights are multiplied with it. Empty: none.
            label_names: names of several labels of clicks; labels become a dict by name. Empty:
                labels do not change.
            replicas: number of parts of a batch; each part is an element.
            worker: as for `Share`.
            workers: as for `Share`.

        Returns:
            `tf.data.Dataset` of `(inputs, labels)`, or of `(inputs, labels, weights)`. Inputs:
            images, uint8 of shape (batch, height, width, channels), or a dict of columns. Labels:
            int64 of shape (batch,), or one-hot; for images with several classes, multi-hot, float32
            of shape (batch, classes); with label_names, a dict of int64 of shape (batch, 1).
            Weights: float32 of shape (batch,).

        Raises:
            ValueError: if multi-hot labels are to be mixed, weighted or one-hot.
        """
        from rocket_tf.data import pipeline

        share = Share(replicas, worker, workers)
        augment = pipeline.augmentation_by_example(
            flip, crop_padding, crop_padding_mode, rand_augment
        )
        schedule = Schedule(batch_size, epochs, seed, first_epoch, first_step)
        parts = self.training_parts(schedule, augment, share)
        if any(option is not None for option in (mixing, num_classes, class_weights)):
            pipeline.check_have_one_class(parts)
        if mixing is not None:
            partner_schedule = dataclasses.replace(schedule, order=1)
            partners = self.training_parts(partner_schedule, augment, share)
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
        """The examples in order, once; arguments and elements as for `training_batches`."""
        from rocket_tf.data import pipeline

        share = Share(replicas, worker, workers)
        parts = self.evaluation_parts(batch_size, share)
        return pipeline.finish(
            parts, share, num_classes, weight_column=weight_column, label_names=label_names
        )

    def class_counts(self, num_classes):
        """The number of examples of each class, an array of integers."""
        counts = np.zeros(num_classes, np.int64)
        for _, labels in self.evaluation_batches(4096).as_numpy_iterator():
            counts += counts_of(labels, num_classes)
        return counts

    def first(self, number):
        """The first examples, for a warm-up, a picture, or the check of an export.

        Args:
            number: how many, at least 1; all if there are fewer.

        Returns:
            `(inputs, labels)`: NumPy arrays, or a dict of them, and an array, also of several
            labels.
        """
        return next(self.evaluation_batches(number).as_numpy_iterator())


def by_name(labels, names):
    """Labels of clicks in the form for nets with a head for each label.

    Args:
        labels: shape (examples,), or (examples, labels) for several labels.
        names: names of several labels; empty: there is one label.

    Returns:
        The labels unchanged, or a dict from names to labels of shape (examples, 1), that of heads
        with one logit.

    Example:
        >>> by_name(np.array([[1, 0], [1, 1]]), ("click", "bought"))["bought"].tolist()
        [[0], [1]]
    """
    if not names:
        return labels
    return {name: labels[:, index : index + 1] for index, name in enumerate(names)}


def counts_of(labels, num_classes):
    """The number of labels of each class, an array of integers.

    Args:
        labels: int64, shape (examples,), or multi-hot, shape (examples, classes).
        num_classes: number of classes.
    """
    if labels.ndim > 1:
        return labels.sum(0, dtype=np.int64)
    return np.bincount(labels, minlength=num_classes)
