"""Processes that train the runs of a study side by side, each with its share of the processors."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
from pathlib import Path

from rocket_tf import errors
from rocket_tf.errors import ConfigError, ProcessEnded, RocketError

_MOST_BY_DEFAULT = 8  # each loads TensorFlow and the data
_GPUS = ("/dev/nvidia0", "/dev/kfd")


def processors():
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_processes():
    """One for each processor, up to eight; only one if they would share a GPU or workers."""
    has_gpu = any(Path(device).exists() for device in _GPUS)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if (has_gpu and not hidden) or os.environ.get("TF_CONFIG"):
        return 1
    return min(processors(), _MOST_BY_DEFAULT)


class Pool:
    """A number of processes, each started when it is first needed.

    As a context manager, it ends them: after an exception by SIGTERM, so that trainings save their
    progress, and after a second Ctrl-C at once.

    Args:
        processes: number of processes.
        module: module that they run; it answers requests like `rocket_tf.studies.run_worker`.

    Raises:
        ConfigError: if the number is below 1.
    """

    def __init__(self, processes, module="rocket_tf.studies.run_worker"):
        if processes < 1:
            raise ConfigError(f"--processes: got {processes}, expected at least 1")
        self.processes = processes
        self._module = module
        self._workers = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            for worker in self._workers:
                if kind is not None:
                    worker.terminate()
                with contextlib.suppress(BrokenPipeError):
                    worker.stdin.close()
            for worker in self._workers:
                worker.wait()
        except BaseException:
            for worker in self._workers:
                worker.kill()
                worker.wait()
            raise
        finally:
            for worker in self._workers:
                worker.stdout.close()
            self._workers = []

    def answers(self, requests, may_start=lambda index, busy: True, started=lambda index: None):
        """Sends requests, in order as far as possible, and yields the end of each.

        Args:
            requests: list of values that JSON can hold.
            may_start: function: whether a request may be sent now, from its index and the indices
                of those in progress.
            started: called with the index of each request that is sent.

        Yields:
            `(index, error)`: a request's index, and the `RocketError` or `OSError` that answers it,
            or `None` if it is done.

        Raises:
            ProcessEnded: if a process ends without an answer.
        """
        self._start(min(self.processes, len(requests)))
        waiting, busy = list(range(len(requests))), {}
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.stdout, selectors.EVENT_READ, worker)
            while waiting or busy:
                for worker in self._workers:
                    in_progress = set(busy.values())
                    index = next((i for i in waiting if may_start(i, in_progress)), None)
                    if worker not in busy and index is not None:
                        waiting.remove(index)
                        busy[worker] = index
                        started(index)
                        _ask(worker, requests[index])
                for key, _ in selector.select():
                    error = _answer_of(key.data)
                    yield busy.pop(key.data), error

    def _start(self, count):
        threads = max(1, processors() // self.processes)
        while len(self._workers) < count:
            self._workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", self._module, str(threads)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                )
            )


def _ask(worker, request):
    with contextlib.suppress(BrokenPipeError):  # its end is noticed where its answer is read
        print(json.dumps(request), file=worker.stdin, flush=True)


def _answer_of(worker):
    """The answer of a process: an exception, or `None`."""
    line = worker.stdout.readline()
    if not line:
        raise ProcessEnded(
            f"a process that trains has ended with exit code {worker.wait()}; the same command "
            "goes on"
        )
    answer = json.loads(line)
    if answer is None:
        return None
    kind = getattr(errors, answer["error"], None)
    if isinstance(kind, type) and issubclass(kind, RocketError):
        return kind(answer["message"])
    return OSError(answer["message"])
