"""Where the time of a training step goes: thread time by TensorFlow's operations."""

import collections
import tempfile
from pathlib import Path

import tensorflow as tf

from rocket_tf.benchmarks.kinds import KINDS

_PICOSECONDS_A_MILLISECOND = 1e9


def profile(settings, kind, steps=5):
    """The thread time of one step of a kind, by the type of operation.

    Args:
        settings: a `Settings`.
        kind: key of `KINDS`, of a step in this process.
        steps: so many are profiled, after three that are not.

    Returns:
        Dict from types of operations, such as "Conv2D", to milliseconds of thread time a step, the
        largest first. Threads that work side by side add up, so that all together may be more than
        the step takes.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # what the profiler writes

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
            # Operations are recorded as "name:Type"; other events are of the runtime.
            recorded = plane.event_metadata[event.metadata_id].name
            name, colon, operation = recorded.rpartition(":")
            if colon and operation.isidentifier() and not name.endswith(":"):
                milliseconds[operation] += event.duration_ps / _PICOSECONDS_A_MILLISECOND
    each = ((name, round(value / steps, 2)) for name, value in milliseconds.most_common())
    return {name: value for name, value in each if value}
