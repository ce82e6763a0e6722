"""A process on one core that holds an export, and sends it requests from several threads.

It answers one JSON a line on stdin: `{"signatures": [...]}` with those of them that the export has;
`{"signature", "batch", "rate", "clients", "seconds"}` with the result of `load.ask_at_rate`.
"""

import json
import os
import sys
import time

from rocket_tf.serving import example_messages, load
from rocket_tf.serving.c_loader import LoadedModel
from rocket_tf.serving.parity import made_up_input

_WARM_UP = 3  # requests


def main():
    """Answers requests until stdin ends; the command line names the export."""
    if hasattr(os, "sched_setaffinity"):  # not on every system
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    answers = sys.stdout
    sys.stdout = sys.stderr  # output of libraries goes to stderr
    model = LoadedModel(sys.argv[1], threads=1)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "signatures" in request:
            answer = [name for name in request["signatures"] if name in model.signatures]
        else:
            answer = _load(model, **request)
        print(json.dumps(answer), file=answers, flush=True)


def _load(model, signature, batch, **arguments):
    inputs = request_of(model, signature, batch)

    def ask():
        model.predict(inputs, signature)

    for _ in range(_WARM_UP):
        ask()
    cpu_start = time.process_time()
    requests, seconds, latencies = load.ask_at_rate(ask, **arguments)
    return {
        "requests": requests,
        "seconds": seconds,
        "latencies": latencies,
        "cpu_seconds": time.process_time() - cpu_start,
    }


def request_of(model, signature, batch):
    """A made-up request; for `serve_examples`, the request of `serving_default` as messages."""
    is_of_messages = signature == "serve_examples"
    inputs = model.signatures["serving_default" if is_of_messages else signature].inputs
    columns = {name: made_up_input(info.dtype, info.shape, batch) for name, info in inputs.items()}
    return {"examples": example_messages.serialized(columns)} if is_of_messages else columns


if __name__ == "__main__":
    main()
