"""Counts the collectives of a traced training step; run as a program, those of two workers.

python -m tests.distribution.collectives <file to write>
"""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from rocket_tf import RocketModel
from rocket_tf.distribution.strategy import make_strategy
from rocket_tf.networks import wide_resnet_pair
from tests.nets import CROSS_ENTROPY


def of_a_pair(strategy, light_depth, booster_depth):
    """The number of collectives for two wide residual nets under `fit`, and the trained rocket."""
    with strategy.scope():
        rocket = RocketModel(*wide_resnet_pair(light_depth, booster_depth))
        rocket.compile("sgd", CROSS_ENTROPY, metrics=["accuracy"])
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    return of_a_step(rocket, images, np.zeros(4, np.int64)), rocket


def of_a_step(model, x, y):
    """The number of collectives of a replica in one step, from the next batch to the logs."""
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x))
    model.fit(data, shuffle=False, verbose=0)
    strategy = model.distribute_strategy
    batches = iter(strategy.experimental_distribute_dataset(data))
    traced = function_in(model.train_function).get_concrete_function(batches)
    graph = traced.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    local = len(strategy.extended.worker_devices)
    return sum(is_collective for is_collective in walk(graph.node, functions)) / local


def walk(nodes, functions):
    """For each operation of a graph and of the functions it calls, whether it is a collective."""
    for node in nodes:
        yield node.op.startswith(("Collective", "Nccl"))
        for attribute in node.attr.values():
            called = [attribute.func, *attribute.list.func]
            for name in {each.name for each in called} & set(functions):
                yield from walk(functions[name].node_def, functions)


def function_in(function):
    """The `tf.function` in the closure of a Python function, or `None`."""
    function = getattr(function, "_function", function)  # in a `changes.Step`
    if hasattr(function, "get_concrete_function"):
        return function
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    found = (function_in(content) for content in cells if callable(content))
    return next((each for each in found if each is not None), None)


def digest(rocket):
    """A checksum of the bits of all weights and moving statistics."""
    return hashlib.sha256(b"".join(each.tobytes() for each in rocket.get_weights())).hexdigest()


if __name__ == "__main__":
    count, trained = of_a_pair(make_strategy(), 16, 40)  # the paper's nets
    Path(sys.argv[1]).write_text(json.dumps({"count": count, "digest": digest(trained)}))
