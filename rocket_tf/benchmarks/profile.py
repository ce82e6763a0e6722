"""Profiles a training step: thread time by TensorFlow operation."""

import collections
import tempfile
from pathlib import Path

import tensorflow as tf

from rocket_tf.benchmarks.kinds import KINDS

_PICOSECONDS_A_MILLISECOND = 1e9


def profile(settings, kind, steps=5):
    """The thread time of one step of a kind, by type of operation.

    Args:
        settings: a `Settings`.
        kind: key of `KINDS`; its step must run in this process.
        steps: number of profiled steps, after three that are not profiled.

    Returns:
        Dict from types of operations, such as "Conv2D", to milliseconds of thread time per step,
        the largest first. Parallel threads add up, so the sum may exceed the duration of the step.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # the format of the profiler's files

    step = KINDS[kind].build(settings)
    for _ in range(3):
        step()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    milliseconds = collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            # Operations are recorded as "name:Type"; other events come from the runtime.
            recorded = plane.event_metadata[event.metadata_id].name
            name, colon, operation = recorded.rpartition(":")
            if colon and operation.isidentifier() and not name.endswith(":"):
                milliseconds[operation] += event.duration_ps / _PICOSECONDS_A_MILLISECOND
    rounded = ((name, round(value / steps, 2)) for name, value in milliseconds.most_common())
    return {name: value for name, value in rounded if value}
