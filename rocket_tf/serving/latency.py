"""How long the light net and its booster take to answer, in every runtime, taking turns."""

import contextlib
import json
import statistics

import numpy as np

from rocket_tf.system.child_process import WorkerProcess

BATCHES = (1, 8, 64)  # of examples
THREADS = (1, 2)
_MOST_CALLS = 20
_SECONDS_A_TURN = 0.05
_LOADS = 10


def measure(exports, rounds, threads=THREADS, batches=BATCHES, tell=print):
    """Times calls of exports, and the loading of SavedModels.

    Every runtime and number of threads has a process of its own, with all nets loaded. In each
    round, each of them answers some calls for each net and batch, one process at a time, so that
    what disturbs the machine disturbs all alike. The first round warms up and does not count.

    Args:
        exports: dict from names of runtimes to `(key of runtimes.PACKAGES, paths)`, the paths as a
            dict from nets.
        rounds: how many rounds count.
        threads: numbers of threads.
        batches: batch sizes.
        tell: called with a line after each round.

    Returns:
        `(rows, load_seconds)`: a list of dicts with `runtime`, `threads`, `batch`, `net`, `calls`,
        `p50_ms`, `p95_ms`, `p99_ms` and `examples_per_second`; and a dict from nets to the median
        seconds that loading the SavedModel takes.
    """
    seconds = {}
    with contextlib.ExitStack() as stack:
        workers = {
            (name, number): stack.enter_context(_start(runtime, number, paths))
            for name, (runtime, paths) in exports.items()
            for number in threads
        }
        calls = {}
        for turn in range(rounds + 1):
            for (name, number), worker in workers.items():
                nets = list(exports[name][1])
                for batch in batches:
                    # Whoever comes first finds cold caches, so that each of them does in its turn.
                    for net in nets[turn % len(nets) :] + nets[: turn % len(nets)]:
                        key = name, number, batch, net
                        taken = worker.ask(net=net, batch=batch, calls=calls.get(key, 3))
                        if turn:
                            seconds.setdefault(key, []).extend(taken)
                        else:
                            often = _SECONDS_A_TURN / statistics.median(taken)
                            calls[key] = int(np.clip(often, 1, _MOST_CALLS))
            tell(f"round {turn} of {rounds}" if turn else "warmed up")
        load_seconds = _time_loading(workers, exports, min(threads))
    return [_row(*key, taken) for key, taken in seconds.items()], load_seconds


def ratio(rows, first, second, **which):
    """The ratio of two nets' median latencies, with the other columns as given."""
    found = {
        row["net"]: row["p50_ms"]
        for row in rows
        if all(row[column] == value for column, value in which.items())
    }
    return found[first] / found[second]


def _start(runtime, threads, paths):
    nets = json.dumps({net: str(path) for net, path in paths.items()})
    return WorkerProcess("rocket_tf.serving.latency_worker", runtime, str(threads), nets)


def _time_loading(workers, exports, threads):
    if "tensorflow" not in exports:
        return {}
    worker = workers["tensorflow", threads]
    seconds = {net: [] for net in exports["tensorflow"][1]}
    for _ in range(_LOADS):
        for net, taken in seconds.items():
            taken.append(worker.ask(load=net))
    return {net: round(statistics.median(taken), 4) for net, taken in seconds.items()}


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
