"""The interface of a data set that is open. Free of TensorFlow."""

import abc


class DataSet(abc.ABC):
    """A data set that is open; `opening.open_data` gives those that configurations name.

    Another source of examples is a subclass, with `splits.Split`s of its own; it goes wherever an
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
        """The training examples without those held out, a `splits.Split`."""

    @property
    @abc.abstractmethod
    def validation(self):
        """The examples held out of training, often none, a `splits.Split`."""

    @property
    @abc.abstractmethod
    def test(self):
        """The test examples, a `splits.Split`."""

    @property
    def fingerprint(self):
        """What tells this data from other data, a dict that JSON can hold; `None`: nothing can."""
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
