"""Which devices a run trains on."""

import functools

import tensorflow as tf

from rocket_tf.distribution.cluster import read_cluster, wait_for_all
from rocket_tf.errors import ConfigError


def make_strategy(replicas=0):
    """The `tf.distribute` strategy for a number of replicas.

    For several workers or several logical CPU devices, call it before TensorFlow's first operation.

    Args:
        replicas: number of replicas on each worker. They use the first GPUs or, without GPUs, as
            many logical CPU devices, which compute what GPUs would but are no faster than one CPU.
            0: one for each GPU; without GPUs, one CPU.

    Returns:
        If TF_CONFIG names several workers, a `tf.distribute.MultiWorkerMirroredStrategy`, once all
        of them have come. Otherwise a `tf.distribute.MirroredStrategy`, or TensorFlow's default
        strategy for one CPU.

    Raises:
        ConfigError: if TF_CONFIG is wrong; if there are GPUs, but fewer than `replicas`; if several
            workers without GPUs should have several replicas each; or if TensorFlow has started
            with fewer logical CPU devices than `replicas`.
        WorkerLostError: if some workers do not come within ten minutes.
    """
    cluster = read_cluster()
    workers = len(cluster.addresses)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and replicas > len(gpus):
        raise ConfigError(
            f"config.replicas: got {replicas}, expected at most {len(gpus)}, the GPUs of this "
            "machine; lower it, or 0 for all"
        )
    if workers > 1:
        if replicas > max(1, len(gpus)):
            raise ConfigError(
                f"config.replicas: got {replicas} for each of {workers} workers without GPUs, "
                "expected 0 or 1: TensorFlow gives each of them one CPU device; lower it"
            )
        return _multi_worker(cluster, replicas)
    if gpus:
        return _mirrored("GPU", replicas or len(gpus))
    if replicas <= 1:
        return tf.distribute.get_strategy()
    _make_logical_cpus(replicas)
    return _mirrored("CPU", replicas)


# One strategy for the whole process: a second one's collectives clash with the first's.
@functools.cache
def _mirrored(kind, count):
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


@functools.cache
def _multi_worker(cluster, replicas):
    print(f"Waiting for all {len(cluster.addresses)} workers", flush=True)
    wait_for_all(cluster)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[: replicas or len(gpus)], "GPU")
    return tf.distribute.MultiWorkerMirroredStrategy()


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
