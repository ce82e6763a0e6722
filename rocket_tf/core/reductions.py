"""What the replicas of a training step send each other, packed into few collectives.

In a collective (all-reduce, all-gather), each replica waits for all others. Between hosts, that
takes a round trip, however little is sent. So a step reduces everything together, at its end:
gradients, and the means that variables such as moving statistics follow.
"""

import contextlib
import threading

import tensorflow as tf

# Another pack can be sent while gradients of earlier layers are computed. 25 MiB is the size of a
# bucket in PyTorch's DistributedDataParallel.
_BYTES_A_PACK = 25 * 2**20

_HERE = threading.local()  # TensorFlow traces each replica of a step in its own thread


class StepReductions:
    """The values that wait to be reduced when a step ends; `collected` makes one.

    Example:
        >>> import tensorflow as tf
        >>> step, layer = StepReductions(), object()
        >>> step.wait([tf.constant(3.0)], print, owner=layer)
        >>> step.awaits(layer), step.awaits(object())
        (True, False)
    """

    def __init__(self):
        self._graph = tf.compat.v1.get_default_graph()
        self._waiting = []

    def takes_values_here(self):
        """Whether values of the code that is being traced can wait.

        Values inside another `tf.function`, a branch or a loop do not exist when the step ends.
        """
        return self._graph is tf.compat.v1.get_default_graph()

    def wait(self, values, follow, owner):
        """Adds values; `follow` will be called with their means over the replicas."""
        self._waiting.append((values, follow, owner))

    def awaits(self, owner):
        """Whether values of an owner wait."""
        return any(owner is waiting_owner for _, _, waiting_owner in self._waiting)

    def reduce(self, gradients=()):
        """Sums gradients over all replicas; reduces waiting values with them, and follows these.

        Args:
            gradients: list of tensors, `tf.IndexedSlices` and `None`, of the same shapes on all
                replicas, except for the slices' number of rows.

        Returns:
            The list of sums, the same on all replicas. Slices stay slices: the rows of all
            replicas, in the order of the replicas.
        """
        waiting, self._waiting = self._waiting, []
        values = [value for group, _, _ in waiting for value in group]
        is_sparse = [isinstance(gradient, tf.IndexedSlices) for gradient in gradients]
        slices = [gradient for gradient, sparse in zip(gradients, is_sparse, strict=True) if sparse]
        dense = [
            gradient
            for gradient, sparse in zip(gradients, is_sparse, strict=True)
            if gradient is not None and not sparse
        ]
        sums = _sums([*dense, *values])
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        means = iter([value / replicas for value in sums[len(dense) :]])
        for group, follow, _ in waiting:
            follow(*(next(means) for _ in group))
        rows, sums = iter(_rows_of_all_replicas(slices)), iter(sums)
        return [
            gradient if gradient is None else next(rows if sparse else sums)
            for gradient, sparse in zip(gradients, is_sparse, strict=True)
        ]


@contextlib.contextmanager
def collected():
    """A context in which the values of `follow_mean` wait in the `StepReductions` that it yields.

    Its `reduce` must be called afterwards, on all replicas.

    Example:
        >>> import tensorflow as tf
        >>> layer = object()
        >>> with collected() as step:
        ...     follow_mean([tf.constant(3.0)], print, owner=layer)
        >>> step.awaits(layer)
        True
    """
    outer = getattr(_HERE, "step", None)
    _HERE.step = StepReductions()
    try:
        yield _HERE.step
    finally:
        _HERE.step = outer


def follow_mean(values, follow, owner):
    """Calls `follow(*means)` with means over all replicas; if `collected`, at the step's end.

    The calls keep their order.

    Args:
        values: list of tensors, of the same shapes on all replicas.
        follow: function that updates variables.
        owner: the layer that has these variables.

    Example:
        >>> import tensorflow as tf
        >>> strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        >>> followed = []
        >>> def step():
        ...     with collected() as reductions:
        ...         follow_mean([tf.constant(3.0)], followed.append, owner=None)
        ...         print("now:", len(followed))
        ...     gradient, none = reductions.reduce([tf.constant(2.0), None])
        ...     return gradient
        >>> float(strategy.run(step)), float(followed[0])
        now: 0
        (2.0, 3.0)
    """
    step = getattr(_HERE, "step", None)
    if step is not None and step.takes_values_here():
        step.wait(values, follow, owner)
        return
    replica = tf.distribute.get_replica_context()
    follow(*(values if replica is None else replica.all_reduce("MEAN", values)))


def catch_up(owner):
    """Reduces the waiting values if some belong to an owner whose variables are about to be read.

    Example:
        >>> catch_up(owner=None)  # nothing waits
    """
    step = getattr(_HERE, "step", None)
    if step is not None and step.takes_values_here() and step.awaits(owner):
        step.reduce()


def _sums(tensors):
    """The sums of tensors over all replicas, in as few collectives as dtypes and packs are."""
    replica = tf.distribute.get_replica_context()
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=_BYTES_A_PACK)
    sums = [None] * len(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        indices = [index for index, tensor in enumerate(tensors) if tensor.dtype == dtype]
        # TensorFlow packs a list from its end, where the last layers' gradients are; these are
        # ready first.
        group = replica.all_reduce("SUM", [tensors[index] for index in indices], options)
        for index, total in zip(indices, group, strict=True):
            sums[index] = total
    return sums


def _rows_of_all_replicas(slices):
    """Every `tf.IndexedSlices` with the rows of all replicas, in one all-gather for all of them.

    A replica sends one vector: the number of rows of each, then the indices and rows of each. They
    are sent as the bits of float32, which every backend can send.
    """
    if not slices:
        return []
    replica = tf.distribute.get_replica_context()
    lengths = tf.stack([tf.shape(tensor.indices, tf.int32)[0] for tensor in slices])
    parts = [part for tensor in slices for part in (tensor.indices, tensor.values)]
    message = tf.concat([_to_floats(lengths), *map(_to_floats, parts)], axis=0)
    received = _Reader(replica.all_gather(message, axis=0))
    gathered = [[] for _ in parts]
    for _ in range(replica.num_replicas_in_sync):
        own_lengths = tf.unstack(received.next(len(slices), lengths), len(slices))
        for index, part in enumerate(parts):
            gathered[index].append(received.next(own_lengths[index // 2], part))
    gathered = [tf.concat(pieces, axis=0) for pieces in gathered]
    return [
        tf.IndexedSlices(values, indices, tensor.dense_shape)
        for tensor, indices, values in zip(slices, gathered[::2], gathered[1::2], strict=True)
    ]


class _Reader:
    """Reads tensors from a vector of `_to_floats`, one after another."""

    def __init__(self, floats):
        self._floats = floats
        self._position = 0

    def next(self, length, like):
        """The next tensor, with a number of rows; their dtype and shape are those of `like`."""
        words = max(1, like.dtype.size // 4)
        row = like.shape[1:]
        end = self._position + length * row.num_elements() * words
        floats, self._position = self._floats[self._position : end], end
        shape = [-1, *row, words] if words > 1 else [-1, *row]
        floats = tf.reshape(floats, shape)
        return (
            tf.cast(floats, like.dtype) if like.dtype.size < 4 else tf.bitcast(floats, like.dtype)
        )


def _to_floats(tensor):
    """A tensor's bits as a vector of float32; smaller floats are cast."""
    if tensor.dtype.size < 4:
        return tf.reshape(tf.cast(tensor, tf.float32), [-1])
    return tf.reshape(tf.bitcast(tensor, tf.float32), [-1])
