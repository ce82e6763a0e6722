"""Training steps of two worker processes together."""

import concurrent.futures
import dataclasses
import json
import os
import socket

from rocket_tf.benchmarks import keras_steps
from rocket_tf.system.child_process import WorkerProcess

_KIND = "rocket_2_workers"


def training_step(settings):
    """A training step of the rocket, whose global batch is divided between two processes.

    Args:
        settings: a `Settings`.

    Returns:
        Function without arguments that takes one step and waits for its loss.
    """
    if "TF_CONFIG" in os.environ:
        return keras_steps.training_step(settings, "rocket")
    cluster = {"worker": _free_addresses(2)}
    os.environ["TF_CONFIG"], other = (
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(2)
    )
    threads = concurrent.futures.ThreadPoolExecutor(1)
    # In a thread: each process becomes ready only together with the other.
    starting = threads.submit(
        WorkerProcess,
        "rocket_tf.benchmarks.worker",
        json.dumps(dataclasses.asdict(settings)),
        _KIND,
        environment={"TF_CONFIG": other},
    )
    step = keras_steps.training_step(settings, "rocket")
    peer = starting.result()

    def take_step():
        taking = threads.submit(peer.ask, step=_KIND)
        step()
        taking.result()

    return take_step


def _free_addresses(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    return addresses
