"""Measurements in fresh processes: steps, peak memory, the time to the first step."""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rocket_tf.benchmarks.kinds import HERE, KINDS
from rocket_tf.errors import ProcessEnded
from rocket_tf.system.child_process import WorkerProcess

_SECONDS_BETWEEN_LOOKS = 0.01


def start_worker(settings, names):
    """Starts a `WorkerProcess` with steps of the named kinds; see `rocket_tf.benchmarks.worker`.

    Raises:
        ProcessEnded: if it cannot build them.
    """
    sizes = json.dumps(dataclasses.asdict(settings))
    return WorkerProcess("rocket_tf.benchmarks.worker", sizes, *names)


@contextlib.contextmanager
def remote_steps(settings, names, tell):
    """A context with steps that other processes take.

    Args:
        settings: a `Settings`.
        names: names of kinds; those of this process are skipped.
        tell: called with a line about each process.

    Yields:
        Dict from kinds to functions without arguments that take a step and return its seconds,
        measured in the other process.
    """
    by_process = {}
    for name in names:
        by_process.setdefault(KINDS[name].process, []).append(name)
    by_process.pop(HERE, None)
    with contextlib.ExitStack() as stack:
        steps = {}
        for process, kinds in by_process.items():
            tell(f"starting a process: {process}")
            worker = stack.enter_context(start_worker(settings, kinds))
            for name in kinds:
                steps[name] = _asking(worker, name)
        yield steps


def peak_memory(settings, net, steps, tell):
    """Peak memory of training one net or the rocket, in a fresh process each time.

    Args:
        settings: a `Settings`.
        net: a kind of step.
        steps: number of training steps before memory is read.
        tell: called with a line about each process.

    Returns:
        `(peaks, above_tensorflow)`: lists of mebibytes; the second excludes the memory of the
        process after TensorFlow was loaded.
    """
    peaks, above_tensorflow = [], []
    for count in range(settings.processes):
        tell(f"memory of {net}, process {count + 1} of {settings.processes}")
        with start_worker(settings, [net]) as worker:
            for _ in range(steps):
                worker.ask(step=net)
            memory = worker.ask(memory=True)
        peaks.append(memory["peak"])
        above_tensorflow.append(memory["peak"] - memory["loaded"])
    return peaks, above_tensorflow


def seconds_to_first_step(settings, tell):
    """Seconds from the start of a training on the digits to the checkpoint of its first step.

    Args:
        settings: a `Settings`.
        tell: called with a line about each process.

    Returns:
        List of seconds, one for each process; each is ended after its first step.

    Raises:
        ProcessEnded: if the command ends earlier.
    """
    seconds = []
    for count in range(settings.processes):
        tell(f"first step, process {count + 1} of {settings.processes}")
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
            seconds.append(_time_first_step(Path(folder) / "run", output))
    return seconds


def _time_first_step(workdir, output):
    command = [
        *(sys.executable, "-m", "rocket_tf.main", "--config=digits", f"--workdir={workdir}"),
        "--config.checkpoint_every_steps=1",
    ]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        while not any((workdir / "checkpoints").glob("*.index")):
            if process.poll() is not None:
                output.seek(0)
                errors = output.read().strip().splitlines() or ["no message"]
                raise ProcessEnded(f"the timed training has ended: {errors[-1]}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def _asking(worker, name):
    return lambda: worker.ask(step=name)
