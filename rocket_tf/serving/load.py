"""Measures how many requests a second one core serves, with clients at given rates.

A separate process holds the export in TensorFlow's C++ session with one thread. It is pinned to one
core, if the system can do so. The clients are threads in it, so the core does their work, too.
They first ask without a pause, which shows the core's capacity, and then at each rate. At a rate,
each request has a due time that does not depend on earlier answers. Its latency counts from then,
so it shows when the server falls behind.
"""

import json
import threading
import time

import numpy as np

from rocket_tf.system.child_process import WorkerProcess

SIGNATURES = ("serving_default", "serve_candidates", "serve_examples")
MOST_REQUESTS = 10_000  # for one rate


def measure(export, batches, rates, clients, seconds, tell=print):
    """Sends requests to an export of a light net.

    Args:
        export: folder of a SavedModel; its signatures among `SIGNATURES` are called.
        batches: batch sizes; for `serve_candidates`, numbers of candidates.
        rates: requests a second.
        clients: number of threads that send requests.
        seconds: duration of each rate, with at most `MOST_REQUESTS` requests. A rate that the core
            cannot serve is given up after twice this time.
        tell: called with a line about each row.

    Returns:
        List of dicts with `signature`, `batch`, `rate` (`None`: without a pause), `requests`, the
        number of them `answered`, `answered_per_second`, `p50_ms`, `p95_ms`, `p99_ms`, and
        `cpu_ms`: the core's time per request, including the clients' work. Other processes on the
        core affect it least.
    """
    rows = []
    with WorkerProcess("rocket_tf.serving.load_worker", str(export)) as worker:
        for signature in worker.ask(signatures=SIGNATURES):
            for batch in batches:
                request = {"signature": signature, "batch": batch}
                for rate in (None, *rates):
                    result = worker.ask(**request, rate=rate, clients=clients, seconds=seconds)
                    rows.append({**request, "rate": rate, **_row(**result)})
                    tell(json.dumps(rows[-1]))
    return rows


def _row(requests, seconds, latencies, cpu_seconds):
    answered = len(latencies)
    times = {"cpu_ms": cpu_seconds / answered if answered else None}
    for percent in (50, 95, 99):
        times[f"p{percent}_ms"] = np.percentile(latencies, percent) if answered else None
    return {
        "requests": requests,
        "answered": answered,
        "answered_per_second": round(answered / seconds, 1),
        **{
            n: None if value is None else round(1000 * float(value), 3)
            for n, value in times.items()
        },
    }


def ask_at_rate(ask, rate, clients, seconds, most=MOST_REQUESTS, clock=time):
    """Sends requests from several threads, each when it is due.

    Args:
        ask: function without arguments that sends a request and waits for its answer; its errors
            are raised.
        rate: requests a second; `None`: each client asks again as soon as it has its answer.
        clients: number of threads.
        seconds: duration of sending. At a rate, requests that have not begun after twice this time
            are not sent.
        most: largest number of requests.
        clock: object with `perf_counter` and `sleep`.

    Returns:
        `(requests, seconds, latencies)`: the number of requests that were due, or sent; the total
        time; and for each answer the seconds since its request was due.

    Example:
        >>> requests, _, latencies = ask_at_rate(lambda: None, 1000, clients=2, seconds=0.02)
        >>> requests, len(latencies)
        (20, 20)
    """
    number = most if rate is None else max(1, min(most, round(rate * seconds)))
    start = clock.perf_counter()
    end = start + seconds * (1 if rate is None else 2)
    indices, lock, latencies, errors = iter(range(number)), threading.Lock(), [], []

    def serve_client():
        while not errors:
            with lock:
                index = next(indices, None)
            if index is None:
                return
            due = clock.perf_counter() if rate is None else start + index / rate
            wait = due - clock.perf_counter()
            if wait > 0:
                clock.sleep(wait)
            if clock.perf_counter() >= end:
                return
            try:
                ask()
            except Exception as error:  # on any error, the other clients end, too
                errors.append(error)
                return
            latencies.append(clock.perf_counter() - due)

    threads = [threading.Thread(target=serve_client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    duration = clock.perf_counter() - start
    return (len(latencies) if rate is None else number), duration, latencies
