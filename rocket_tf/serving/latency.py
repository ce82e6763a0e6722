"""Measures the latency of the light net and its booster in every runtime, taking turns."""

import contextlib
import functools
import json
import statistics

import numpy as np

from rocket_tf.system.child_process import WorkerProcess
from rocket_tf.system.timing import Turns

BATCHES = (1, 8, 64)  # of examples
THREADS = (1, 2)
_MOST_CALLS = 20
_SECONDS_A_TURN = 0.05


def measure(exports, rounds, threads=THREADS, batches=BATCHES, tell=print, loads=10):
    """Times calls of exports, and the loading of SavedModels.

    Every runtime and number of threads has its own process, with all nets loaded. In each round,
    each process answers some calls for each net and batch, one process at a time, so that
    disturbances of the machine hit all alike. A turn before the first round is for warm-up, and
    gives the number of calls in a turn.

    Args:
        exports: dict from names of runtimes to `(key of runtimes.PACKAGES, paths)`, the paths as a
            dict from nets.
        rounds: number of measured rounds.
        threads: numbers of threads.
        batches: batch sizes.
        tell: called with a line about each round.
        loads: number of times that the loading of each SavedModel is timed.

    Returns:
        `(rows, load_seconds)`: a list of dicts with `runtime`, `threads`, `batch`, `net`, `calls`,
        `p50_ms`, `p95_ms`, `p99_ms` and `examples_per_second`; and a dict from nets to the median
        seconds that loading the SavedModel takes.
    """
    with contextlib.ExitStack() as stack:
        workers = {
            (name, number): stack.enter_context(_start(runtime, number, paths))
            for name, (runtime, paths) in exports.items()
            for number in threads
        }
        calls = {
            (name, number, batch, net): _Calls(worker, net, batch)
            for (name, number), worker in workers.items()
            for batch in batches
            for net in exports[name][1]
        }
        for call in calls.values():
            call.warm_up()
        tell("warmed up")
        turns = Turns(calls, tell)
        for done in range(rounds):
            turns.take(done, rounds)
        load_seconds = _time_loading(workers, exports, min(threads), loads)
    return [_row(*key, seconds) for key, seconds in turns.seconds.items()], load_seconds


class _Calls:
    """A turn of one net: as many calls of a batch as fit into a turn's time."""

    def __init__(self, worker, net, batch):
        self._worker = worker
        self._request = {"net": net, "batch": batch}
        self._often = 3

    def __call__(self):
        return self._worker.ask(**self._request, calls=self._often)

    def warm_up(self):
        often = _SECONDS_A_TURN / statistics.median(self())
        self._often = int(np.clip(often, 1, _MOST_CALLS))


def ratio(rows, first, second, **which):
    """The ratio of two nets' median latencies, with the other columns as given."""
    medians = {
        row["net"]: row["p50_ms"]
        for row in rows
        if all(row[column] == value for column, value in which.items())
    }
    return medians[first] / medians[second]


def _start(runtime, threads, paths):
    nets = json.dumps({net: str(path) for net, path in paths.items()})
    return WorkerProcess("rocket_tf.serving.latency_worker", runtime, str(threads), nets)


def _time_loading(workers, exports, threads, loads):
    if "tensorflow" not in exports or not loads:
        return {}
    worker = workers["tensorflow", threads]
    nets = exports["tensorflow"][1]
    turns = Turns({net: functools.partial(worker.ask, load=net) for net in nets})
    for done in range(loads):
        turns.take(done, loads)
    return {net: round(statistics.median(seconds), 4) for net, seconds in turns.seconds.items()}


def _row(runtime, threads, batch, net, seconds):
    p50, p95, p99 = (1000 * float(np.percentile(seconds, percent)) for percent in (50, 95, 99))
    return {
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "net": net,
        "calls": len(seconds),
        "p50_ms": round(p50, 4),
        "p95_ms": round(p95, 4),
        "p99_ms": round(p99, 4),
        "examples_per_second": round(batch * len(seconds) / sum(seconds), 1),
    }
