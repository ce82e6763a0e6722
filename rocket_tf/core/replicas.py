"""What a replica does with its part of a batch, which may be uneven, or empty."""

import keras
import tensorflow as tf


def share_of_global_batch(examples, dtype):
    """This replica's examples, as a fraction of all replicas'."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return tf.ones((), dtype)
    examples = tf.cast(examples, dtype)
    return examples / replica.all_reduce("SUM", examples)


def call(graph, x, training):
    """Calls a graph, also on a replica that was left without examples."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return graph(x, training=training)
    # The last batch may leave a replica empty, and statistics of nothing are not numbers. One
    # example of zeros takes its place, and its outputs are dropped.
    examples = tf.shape(keras.tree.flatten(x)[0])[0]
    x = keras.tree.map_structure(_at_least_one_example, x)
    return keras.tree.map_structure(
        lambda outputs: _first_examples(outputs, examples), graph(x, training=training)
    )


def _at_least_one_example(tensor):
    missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
    zeros = tf.zeros(tf.concat([[missing], tf.shape(tensor)[1:]], axis=0), tensor.dtype)
    return tf.ensure_shape(tf.concat([tensor, zeros], axis=0), tensor.shape)


def _first_examples(outputs, count):
    """The outputs of the first examples, with their mask if they have one."""
    mask = getattr(outputs, "_keras_mask", None)
    outputs = outputs[:count]
    if mask is not None:
        outputs._keras_mask = mask[:count]
    return outputs
