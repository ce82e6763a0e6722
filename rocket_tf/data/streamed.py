"""A split of examples that are read from their files batch by batch.

It imports TensorFlow only when batches are made.
"""

import abc
import dataclasses

import numpy as np

from rocket_tf.data.interface import Split, counts_of

# Number of batches that are read ahead concurrently; each is decoded in its own threads.
_PARALLEL = 2
_BYTES_IN_MEMORY = 2**30


class Source(abc.ABC):
    """A source of streamed examples.

    Attributes:
        shape: shape of an image, (height, width, channels).
    """

    shape: tuple[int, ...]

    @abc.abstractmethod
    def read(self, references):
        """Reads images.

        Args:
            references: array of references, such as paths.

        Returns:
            uint8, shape (images, *shape).

        Raises:
            DamagedDataError: if one cannot be read; the message names it.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedSplit(Split):
    """Images that a `Source` reads when their batch is needed; a worker reads only its own.

    The batches are those of an `in_memory.ArraySplit` of the same images.

    Attributes:
        references: array of references for the source, one for each example.
        labels: int64, shape (examples,); or multi-hot, float32, shape (examples, classes).
        source: the `Source`.

    Example:
        >>> class Shades(Source):
        ...     shape = (4, 6, 1)
        ...     def read(self, references):
        ...         return np.ones((len(references), *self.shape), np.uint8) * references
        >>> shades = np.arange(5, dtype=np.uint8)[:, None, None, None]
        >>> split = StreamedSplit(shades, np.arange(5), Shades())
        >>> [int(images.max()) for images, _ in split.evaluation_batches(2).as_numpy_iterator()]
        [1, 3, 4]
    """

    references: np.ndarray
    labels: np.ndarray
    source: Source

    @property
    def examples(self):
        return len(self.labels)

    def training_parts(self, schedule, augment, share):
        from rocket_tf.data import indexed_batches

        return indexed_batches.training_parts(
            self._load, self.labels, schedule, augment, share, _PARALLEL
        )

    def evaluation_parts(self, batch_size, share):
        import tensorflow as tf

        from rocket_tf.data import indexed_batches

        def load(begin, end):
            return self._load(tf.range(begin, end))

        return indexed_batches.evaluation_parts(load, self.labels, batch_size, share, _PARALLEL)

    def class_counts(self, num_classes):
        return counts_of(self.labels, num_classes)

    def _load(self, chosen):
        import tensorflow as tf

        # Declared stateless; otherwise, determinism would forbid reading several batches at once.
        images = tf.numpy_function(
            lambda indices: self.source.read(self.references[indices]),
            [chosen],
            tf.uint8,
            stateful=False,
        )
        return tf.ensure_shape(images, (None, *self.source.shape))


def is_streamed(streaming, size):
    """Whether examples are streamed.

    Args:
        streaming: "auto", "always" or "never", like the field.
        size: bytes that the examples would take in memory.
    """
    return streaming == "always" or (streaming == "auto" and size > _BYTES_IN_MEMORY)
