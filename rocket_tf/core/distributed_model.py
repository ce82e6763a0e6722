"""What Keras lacks under tf.distribute: uneven batches, several workers, shared loss scaling.

Once Keras has it, this file can go, and `RocketModel` be a `keras.Model`.
"""

import functools
import inspect

import keras
import tensorflow as tf

from rocket_tf.core import keras_internals


@keras_internals.hooks_of_fit
class DistributedModel(keras.Model):
    """A `keras.Model` that can `fit`, `evaluate` and `predict` under any strategy.

    Keras 3 fails under `tf.distribute.MultiWorkerMirroredStrategy` twice
    (https://github.com/keras-team/keras/issues/20585): before the first step it reduces a batch
    of values of several replicas, and after each step it takes means over the first axis of logs
    that have none.

    Example:
        >>> import keras, numpy as np
        >>> inputs = keras.Input((3,))
        >>> model = DistributedModel(inputs, keras.layers.Dense(1)(inputs))
        >>> model.compile("sgd", "mse")
        >>> len(model.fit(np.ones((7, 3)), np.ones((7, 1)), verbose=0).history["loss"])
        1
    """

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        is_data_set = isinstance(given.get("x"), tf.data.Dataset | tf.distribute.DistributedDataset)
        if (
            _has_several_workers(self)
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

    def before_first_step(self, iterator, data_batch):
        """What Keras should build from, as `keras_internals.hooks_of_fit` has it."""
        # Keras learns the shapes of a batch from the sum of its parts, which fails where a batch
        # is split unevenly, or among workers. One part has them too; once all is built, none is
        # needed.
        metrics = keras_internals.compiled_metrics(self)
        metrics_built = metrics is None or metrics.built
        if metrics_built and self.optimizer is not None and self.optimizer.built:
            return None
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], next(batches)
            )
            iterator = None
        return iterator, data_batch

    def adapt_step(self, step_function):
        """The step as Keras should run it, as `keras_internals.hooks_of_fit` has it."""
        if not _has_several_workers(self):
            return step_function

        def step_with_vectors(data):
            return {name: tf.reshape(log, [1]) for name, log in step_function(data).items()}

        return step_with_vectors


@keras.saving.register_keras_serializable(package="rocket_tf")
class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scaling, where all replicas skip a step that overflows on any of them.

    Keras asks one replica whether its gradients are finite, before they are summed over all.

    Example:
        >>> import keras
        >>> optimizer = LossScaling(keras.optimizers.SGD(), initial_scale=8.0)
        >>> optimizer.build([keras.Variable(1.0)])
        >>> float(optimizer.scale_loss(0.5))
        4.0
    """

    def check_finite(self, grads):
        finite = super().check_finite(grads)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return finite
        overflows = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.equal(replica.all_reduce("SUM", overflows), 0)


def with_loss_scaling(optimizer):
    """An optimizer, its name or configuration, in `LossScaling` unless it scales losses itself.

    Example:
        >>> type(with_loss_scaling("adam").inner_optimizer).__name__
        'Adam'
    """
    optimizer = keras.optimizers.get(optimizer)
    if optimizer is None or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return LossScaling(optimizer, name="loss_scale_optimizer")  # Keras's own name


def share_of_global_batch(examples, dtype):
    """This replica's examples, as a fraction of all replicas'.

    Example:
        >>> float(share_of_global_batch(8, "float32"))  # on one replica
        1.0
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return tf.ones((), dtype)
    examples = tf.cast(examples, dtype)
    return examples / replica.all_reduce("SUM", examples)


def call_on_replica(graph, x, training):
    """Calls a graph, also on a replica that was left without examples.

    Example:
        >>> import keras, numpy as np
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> call_on_replica(net, np.ones((4, 3)), training=False).shape
        TensorShape([4, 2])
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return graph(x, training=training)
    # The last batch may leave a replica empty, and statistics of nothing are not numbers. One
    # example of zeros takes its place, and its outputs are dropped.
    examples = _count_of(next(each for each in keras.tree.flatten(x) if each is not None))
    x = keras.tree.map_structure(_at_least_one_example, x)
    return keras.tree.map_structure(
        lambda outputs: _first_examples(outputs, examples), graph(x, training=training)
    )


def _has_several_workers(model):
    return isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _has_seed():
    """Whether TensorFlow's global seed is set."""
    return tf.compat.v1.get_seed(None) != (None, None)


def _count_of(tensor):
    if isinstance(tensor, tf.SparseTensor):
        return tensor.dense_shape[0]
    return tensor.nrows() if isinstance(tensor, tf.RaggedTensor) else tf.shape(tensor)[0]


def _at_least_one_example(tensor):
    """A dense tensor with an example of zeros if it has none; all else as it is."""
    if tensor is None or isinstance(tensor, tf.SparseTensor | tf.RaggedTensor):
        return tensor  # an optional input; or one of which TensorFlow makes no empty batch
    missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
    zeros = tf.zeros(tf.concat([[missing], tf.shape(tensor)[1:]], axis=0), tensor.dtype)
    return tf.ensure_shape(tf.concat([tensor, zeros], axis=0), tensor.shape)


def _first_examples(outputs, count):
    """The outputs of the first examples, with their mask if they have one."""
    mask = keras_internals.mask_of(outputs)
    outputs = outputs[:count]
    if mask is not None:
        keras_internals.set_mask(outputs, mask[:count])
    return outputs
