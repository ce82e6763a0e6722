"""Communication between the processes that train together."""

import contextlib
import re

import tensorflow as tf

from rocket_tf.errors import WorkerLostError

_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)


class Workers:
    """This process among those that train together. All of them must call each method.

    Args:
        strategy: their `tf.distribute` strategy.
        cluster: their `rocket_tf.distribution.cluster.Cluster`.
    """

    def __init__(self, strategy, cluster):
        self._strategy = strategy
        self._cluster = cluster

    @property
    def count(self):
        """The number of workers."""
        return len(self._cluster.addresses)

    def any(self, value):
        """Whether a value is true for any of the workers."""
        if self.count == 1:
            return bool(value)
        return any(worker[0] for worker in self.gather([int(value)]))

    def wait(self):
        """Waits until all workers arrive here, so that they see what the chief has written."""
        self.any(False)

    def gather(self, numbers):
        """Gathers each worker's numbers: a list of int64 arrays, in the order of workers.

        Args:
            numbers: a list of whole numbers, of the same length for all workers.
        """
        numbers = tf.constant(numbers, tf.int64)
        if self.count == 1:
            return [numbers.numpy()]
        # Summed over all replicas; the first replica of each worker contributes its row.
        row = tf.one_hot(self._cluster.worker, self.count, dtype=tf.int64)
        contribution = row[:, None] * numbers[None, :]

        def add_up():
            replica = tf.distribute.get_replica_context()
            local = replica.replica_id_in_sync_group % self._replicas_here
            return replica.all_reduce("SUM", tf.where(local == 0, contribution, 0))

        rows = self._strategy.experimental_local_results(self._strategy.run(add_up))[0]
        return list(rows.numpy())

    def gather_texts(self, text):
        """Gathers each worker's text: a list of strings, in the order of workers."""
        content = list(text.encode())
        longest = max(int(length[0]) for length in self.gather([len(content)]))
        rows = self.gather(content + [-1] * (longest - len(content)))
        return [bytes(int(byte) for byte in row if byte >= 0).decode() for row in rows]

    @property
    def _replicas_here(self):
        return self._strategy.num_replicas_in_sync // self.count

    @contextlib.contextmanager
    def losses_named(self):
        """A context that turns TensorFlow's errors about lost workers into `WorkerLostError`."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            raise WorkerLostError(
                f"another of the {self.count} workers was lost, and this one, "
                f"{self._cluster.describe()}, ends ({_reason(error)})"
            ) from error


def _reason(error):
    """The line of TensorFlow's message with the reason; the other lines are stack traces."""
    aborted = re.search(r"Collective ops is aborted by: (.*)", error.message)
    return aborted[1].rstrip(":.") if aborted else type(error).__name__
