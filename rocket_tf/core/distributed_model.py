"""What `keras.Model.fit` lacks under tf.distribute: uneven first batches, and several workers."""

import functools
import inspect

import keras
import tensorflow as tf


class DistributedFit:
    """Mixed into a `keras.Model`, lets it `fit`, `evaluate` and `predict` under any strategy.

    Keras 3 fails under `tf.distribute.MultiWorkerMirroredStrategy` twice
    (https://github.com/keras-team/keras/issues/20585): before the first step it reduces a batch
    of values of several replicas, and after each step it takes means over the first axis of logs
    that have none.
    """

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        is_data_set = isinstance(given.get("x"), tf.data.Dataset | tf.distribute.DistributedDataset)
        if (
            self._has_several_workers()
            and given.get("shuffle", True)
            and not is_data_set
            and not _has_seed()
        ):
            raise ValueError(
                "Each worker would shuffle the arrays in an order of its own, and the parts that "
                "they train on would overlap. Received: shuffle=True, and no seed; call "
                "keras.utils.set_random_seed with the same seed on all workers, or pass "
                "shuffle=False or a tf.data.Dataset"
            )
        return super().fit(*args, **kwargs)

    def _has_several_workers(self):
        return isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras learns the shapes of a batch from the sum of its parts, which fails where a batch
        # is split unevenly, or among workers. One part has them too; once all is built, none is
        # needed.
        metrics_built = self._compile_metrics is None or self._compile_metrics.built
        if metrics_built and self.optimizer is not None and self.optimizer.built:
            return
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], next(batches)
            )
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def _make_function(self, step_function):
        if not self._has_several_workers():
            return super()._make_function(step_function)

        def step_with_vectors(data):
            return {name: tf.reshape(log, [1]) for name, log in step_function(data).items()}

        return super()._make_function(step_with_vectors)


def _has_seed():
    """Whether TensorFlow's global seed is set."""
    return tf.compat.v1.get_seed(None) != (None, None)
