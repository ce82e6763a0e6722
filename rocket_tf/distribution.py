"""Which devices a run trains on."""

import functools

import tensorflow as tf

from rocket_tf.config import ConfigError


def make_strategy(replicas=0):
    """The `tf.distribute` strategy for a number of replicas.

    Args:
        replicas: 0: one for each GPU; without GPUs, one CPU. Otherwise the first so many GPUs, or,
            without GPUs, so many logical CPU devices, which train as GPUs would and no faster.

    Returns:
        `tf.distribute.MirroredStrategy`, or TensorFlow's default strategy for one CPU.

    Raises:
        ConfigError: if there are GPUs, and fewer than asked for; or if TensorFlow has started with
            fewer logical CPU devices than asked for.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if replicas > len(gpus):
            raise ConfigError(
                f"config.replicas: got {replicas}, expected at most {len(gpus)}, the GPUs of this "
                "machine; lower it, or 0 for all"
            )
        return _mirrored("GPU", replicas or len(gpus))
    if replicas <= 1:
        return tf.distribute.get_strategy()
    _make_logical_cpus(replicas)
    return _mirrored("CPU", replicas)


@functools.cache
def _mirrored(kind, count):
    """One strategy for the whole process: a second one's collectives clash with the first's."""
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def _make_logical_cpus(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    present = tf.config.get_logical_device_configuration(cpu)
    if present is not None and len(present) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise ConfigError(
            f"config.replicas: got {count}, expected at most the logical CPU devices that "
            f"TensorFlow has started with ({len(present or [cpu])}); start a new process"
        ) from error
