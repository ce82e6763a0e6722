"""How many requests a second one core serves: clients that ask an export at a stated rate.

A process of its own holds the export in TensorFlow's C++ session with one thread, and is kept to
one core, where the system can do so; the clients are threads in it, so that the core does their
work, too. First they ask without a pause, which says what the core can do; then at each rate. There
a request is due at its time whatever became of those before it, and its latency is counted from
then: a server that falls behind shows it.
"""

import json
import threading
import time

import numpy as np

from rocket_tf.system.child_process import WorkerProcess

SIGNATURES = ("serving_default", "serve_candidates", "serve_examples")
MOST_REQUESTS = 10_000  # of a rate


def measure(export, batches, rates, clients, seconds, tell=print):
    """Sends requests to an export of a light net.

    Args:
        export: folder of a SavedModel; those of `SIGNATURES` that it has are asked.
        batches: batch sizes: of `serve_candidates`, numbers of candidates.
        rates: requests a second.
        clients: threads that ask.
        seconds: how long each rate is kept up, at most `MOST_REQUESTS` requests. A rate that the
            core cannot serve is given up after twice this time.
        tell: called with a line about each row.

    Returns:
        List of dicts with `signature`, `batch`, `rate` (`None`: without a pause), `requests`, how
        many of these were `answered`, `answered_per_second`, `p50_ms`, `p95_ms` and `p99_ms`; and
        `cpu_ms`, the core's time a request, the clients' share included, which other processes on
        the core lengthen least.
    """
    rows = []
    with WorkerProcess("rocket_tf.serving.load_worker", str(export)) as worker:
        for signature in worker.ask(signatures=SIGNATURES):
            for batch in batches:
                which = {"signature": signature, "batch": batch}
                for rate in (None, *rates):
                    found = worker.ask(**which, rate=rate, clients=clients, seconds=seconds)
                    rows.append({**which, "rate": rate, **_row(**found)})
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
        **{n: None if own is None else round(1000 * float(own), 3) for n, own in times.items()},
    }


def ask_at_rate(ask, rate, clients, seconds, most=MOST_REQUESTS, clock=time):
    """Asks from several threads, each request when it is due.

    Args:
        ask: function without arguments that sends a request and waits for its answer; an error of
            it is raised again.
        rate: requests a second; `None`: each client asks again as soon as it has its answer.
        clients: how many threads ask.
        seconds: how long requests are sent. Those of a rate that are not begun in twice this time
            are not sent.
        most: not more requests.
        clock: what has `perf_counter` and `sleep`.

    Returns:
        `(requests, seconds, latencies)`: how many were due, or sent, how long it all took, and of
        each that was answered the seconds since it was due.

    Example:
        >>> requests, _, latencies = ask_at_rate(lambda: None, 1000, clients=2, seconds=0.02)
        >>> requests, len(latencies)
        (20, 20)
    """
    number = most if rate is None else max(1, min(most, round(rate * seconds)))
    start = clock.perf_counter()
    end = start + seconds * (1 if rate is None else 2)
    places, lock, latencies, errors = iter(range(number)), threading.Lock(), [], []

    def serve_client():
        while not errors:
            with lock:
                place = next(places, None)
            if place is None:
                return
            due = clock.perf_counter() if rate is None else start + place / rate
            wait = due - clock.perf_counter()
            if wait > 0:
                clock.sleep(wait)
            if clock.perf_counter() >= end:
                return
            try:
                ask()
            except Exception as error:  # whatever it is, the other clients end, too
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
    taken = clock.perf_counter() - start
    return (len(latencies) if rate is None else number), taken, latencies
