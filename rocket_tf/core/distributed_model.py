"""What Keras lacks under tf.distribute: uneven batches, several workers, shared loss scaling.

Once Keras has this, the file can be removed, and `RocketModel` can be a `keras.Model`.
"""

import contextlib
import functools
import inspect

import keras
import tensorflow as tf

from rocket_tf.core import keras_internals, reductions


@keras_internals.hooks_of_fit
class DistributedModel(keras.Model):
    """A `keras.Model` that can `fit`, `evaluate` and `predict` under any strategy.

    Keras 3 fails under `tf.distribute.MultiWorkerMirroredStrategy` in two places
    (https://github.com/keras-team/keras/issues/20585). Before the first step, it reduces a batch of
    values from several replicas. After each step, it averages logs over a first axis that they do
    not have, in two collectives for each.

    Example:
        >>> import keras, numpy as np
        >>> inputs = keras.Input((3,))
        >>> model = DistributedModel(inputs, keras.layers.Dense(1)(inputs))
        >>> model.compile("sgd", "mse")
        >>> len(model.fit(np.ones((7, 3)), np.ones((7, 1)), verbose=0).history["loss"])
        1
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        keras_internals.one_list_of_layers(self)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        arguments = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        is_data_set = isinstance(
            arguments.get("x"), tf.data.Dataset | tf.distribute.DistributedDataset
        )
        if (
            _has_several_workers(self)
            and arguments.get("shuffle", True)
            and not is_data_set
            and not _has_seed()
        ):
            raise ValueError(
                "Each worker would shuffle the arrays in its own order, so the parts that they "
                "train on would overlap. Received: shuffle=True, and no seed; call "
                "keras.utils.set_random_seed with the same seed on all workers, or pass "
                "shuffle=False or a tf.data.Dataset"
            )
        if self.optimizer is not None and not self.optimizer.built and self.trainable_variables:
            # Otherwise it is built within the first trace of the step, which is then traced twice.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().fit(*args, **kwargs)

    def before_first_step(self, iterator, data_batch):
        """What Keras should build from, as `keras_internals.hooks_of_fit` has it."""
        # Keras learns the shapes of a batch from the sum of its parts, which fails if a batch is
        # split unevenly, or among workers. One part has them, too; after building, none is needed.
        _, metrics = keras_internals.running_metrics(self)
        metrics_built = metrics is None or metrics.built
        if metrics_built and self.optimizer is not None and self.optimizer.built:
            return None
        if keras_internals.build_before_trace(self, iterator, None if metrics_built else metrics):
            return None
        if iterator is not None:
            strategy = self.distribute_strategy
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], next(batches)
            )
        return None, self.complete(data_batch)

    def complete(self, data_batch):
        """A batch to build from, with all inputs of the model."""
        return data_batch

    def make_loop(self, step_function, loop_of_keras):
        """What Keras calls for each batch, as `keras_internals.hooks_of_fit` has it."""
        if not _has_several_workers(self):
            return loop_of_keras(step_function)
        names = {}  # dicts by dtype of the logs that are in a vector, once the step is traced

        def step_with_vectors(data):
            logs = step_function(data)
            names.clear()
            for name, log in logs.items():
                names.setdefault(log.dtype.name, {})[name] = log
            return {
                dtype: tf.reshape(tf.stack(list(group.values())), [1, -1])
                for dtype, group in names.items()
            }

        loop = loop_of_keras(step_with_vectors)

        def loop_with_logs(iterator):
            return {
                name: log
                for dtype, vector in loop(iterator).items()
                for name, log in zip(names[dtype], tf.unstack(vector), strict=True)
            }

        return loop_with_logs

    @contextlib.contextmanager
    def reduced_at_end(self):
        """The forward part of a step, in which reductions over replicas may wait for the gradients.

        Yields:
            A `rocket_tf.core.reductions.StepReductions`, or `None` on one replica.
        """
        if _has_several_replicas():
            with reductions.collected() as waiting:
                yield waiting
        else:
            yield None

    def apply_gradients(self, gradients, variables, waiting, x):
        """Updates variables by the gradients' sums over all replicas; reduces waiting values, too.

        So an optimizer clips the global batch's gradient, as on one device. In Keras's own step it
        clips each replica's.

        Args:
            gradients: list of tensors, `tf.IndexedSlices` and `None`.
            variables: list of `keras.Variable`s, one for each gradient.
            waiting: the value that `reduced_at_end` has yielded.
            x: this replica's inputs.
        """
        if waiting is None:
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return
        # TensorFlow packs tensors whose shapes are static.
        gradients = [
            tf.ensure_shape(gradient, variable.shape)
            if isinstance(gradient, tf.Tensor)
            else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        gradients = waiting.reduce(_own_rows(gradients, x))
        with keras_internals.with_summed_gradients():
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))


@keras.saving.register_keras_serializable(package="rocket_tf")
class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scaling, where all replicas skip a step that overflows on any of them.

    Keras checks on one replica whether the gradients are finite, before they are summed. A
    `RocketModel` sums them first, so each replica sees an overflow on any of them.

    Example:
        >>> import keras
        >>> optimizer = LossScaling(keras.optimizers.SGD(), initial_scale=8.0)
        >>> optimizer.build([keras.Variable(1.0)])
        >>> float(optimizer.scale_loss(0.5))
        4.0
    """

    def check_finite(self, grads):
        # Keras would make a whole table of a sparse gradient.
        finite = super().check_finite(
            [grad.values if isinstance(grad, tf.IndexedSlices) else grad for grad in grads]
        )
        if not _has_several_replicas() or keras_internals.gradients_are_summed():
            return finite
        overflows = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.equal(sum_over_replicas(overflows), 0)


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


def share_of_global_batch(batch, dtype):
    """This replica's examples, as a fraction of all replicas'.

    Args:
        batch: tensors whose first axis is the examples. For a step's inputs, replicas exchange the
            sizes while they compute.
        dtype: dtype of the fraction.

    Example:
        >>> float(share_of_global_batch(tf.ones((8, 3)), "float32"))  # on one replica
        1.0
    """
    if not _has_several_replicas():
        return tf.ones((), dtype)
    examples = tf.cast(_examples_in(batch), dtype)
    return examples / sum_over_replicas(examples)


def sum_over_replicas(value):
    """The sum of a value over all replicas of a step.

    Example:
        >>> import tensorflow as tf
        >>> float(sum_over_replicas(tf.constant(3.0)))  # on one replica
        3.0
    """
    if not _has_several_replicas():
        return value
    return tf.distribute.get_replica_context().all_reduce("SUM", value)


def stacked_over_replicas(value):
    """A value of each replica, on all of them, along a new first axis.

    As for a sum over replicas, each replica's value gets gradients from all replicas.

    Args:
        value: float tensor, of the same shape on all replicas.

    Example:
        >>> import tensorflow as tf
        >>> stacked_over_replicas(tf.constant([3.0, 4.0])).shape  # on one replica
        TensorShape([1, 2])
    """
    if not _has_several_replicas():
        return value[tf.newaxis]
    replica = tf.distribute.get_replica_context()
    one_hot = tf.one_hot(
        replica.replica_id_in_sync_group, replica.num_replicas_in_sync, dtype=value.dtype
    )
    return sum_over_replicas(tf.tensordot(one_hot, value, axes=0))


def call_on_replica(graph, x, training):
    """Calls a graph, even on a replica without examples.

    Example:
        >>> import keras, numpy as np
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> call_on_replica(net, np.ones((4, 3)), training=False).shape
        TensorShape([4, 2])
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return graph(x, training=training)
    # The last batch may leave a replica empty, and its statistics would be NaN. It gets one example
    # of zeros instead, whose outputs are dropped.
    examples = _examples_in(x)
    x = keras.tree.map_structure(_at_least_one_example, x)
    return keras.tree.map_structure(
        lambda outputs: _first_examples(outputs, examples), graph(x, training=training)
    )


def _own_rows(gradients, x):
    """Sparse gradients without the rows of the example that `call_on_replica` adds.

    Their values are 0, but optimizers would treat their ids as present and move them.

    Args:
        gradients: list of gradients; dense ones are not changed.
        x: the replica's inputs.
    """
    has_examples = tf.cast(_examples_in(x) > 0, tf.int32)
    return [
        tf.IndexedSlices(
            gradient.values[: tf.size(gradient.indices) * has_examples],
            gradient.indices[: tf.size(gradient.indices) * has_examples],
            gradient.dense_shape,
        )
        if isinstance(gradient, tf.IndexedSlices)
        else gradient
        for gradient in gradients
    ]


def _has_several_replicas():
    replica = tf.distribute.get_replica_context()
    return replica is not None and replica.num_replicas_in_sync > 1


def _has_several_workers(model):
    return isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _has_seed():
    """Whether TensorFlow's global seed is set."""
    return tf.compat.v1.get_seed(None) != (None, None)


def _examples_in(batch):
    """How many examples a batch has, by its first tensor; optional inputs may be absent."""
    tensor = next(each for each in keras.tree.flatten(batch) if each is not None)
    if isinstance(tensor, tf.SparseTensor):
        return tensor.dense_shape[0]
    return tensor.nrows() if isinstance(tensor, tf.RaggedTensor) else tf.shape(tensor)[0]


def _at_least_one_example(tensor):
    """A dense tensor with an example of zeros if it has none; all else as it is."""
    if tensor is None or isinstance(tensor, tf.SparseTensor | tf.RaggedTensor):
        return tensor  # an optional input, or one for which TensorFlow makes no empty batch
    missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
    zeros = tf.zeros(tf.concat([[missing], tf.shape(tensor)[1:]], axis=0), tensor.dtype)
    return tf.ensure_shape(tf.concat([tensor, zeros], axis=0), tensor.shape)


def _first_examples(outputs, count):
    """The outputs of the first examples, with their mask if they have one."""
    mask = getattr(outputs, keras_internals.MASK, None)
    outputs = outputs[:count]
    if mask is not None:
        setattr(outputs, keras_internals.MASK, mask[:count])
    return outputs
