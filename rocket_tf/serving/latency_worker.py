"""A process that loads exports into one runtime and times calls, as it is told on stdin.

Runtimes set their threads once for a process, so that each number of threads needs one of its own.
"""

import json
import sys
import time

from rocket_tf.serving import runtimes
from rocket_tf.serving.parity import made_up_input


def main():
    """Answers requests, one JSON a line, until stdin ends. Calls ask for logits alone.

    The command line holds the runtime, the number of threads and a JSON object from nets to paths.
    `{"net", "batch", "calls"}` is answered by the list of the calls' seconds, `{"load": net}` by
    the seconds that loading it took.
    """
    runtime, threads, paths = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print
    loaded = {net: _load(path, threads, runtime) for net, path in paths.items()}
    inputs = {}
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            start = time.perf_counter()
            _load(paths[request["load"]], threads, runtime)
            answer = time.perf_counter() - start
        else:
            run, batch = loaded[request["net"]], request["batch"]
            key = request["net"], batch
            if key not in inputs:
                inputs[key] = {
                    name: made_up_input(dtype, shape, batch)
                    for name, (dtype, shape) in run.inputs.items()
                }
            answer = _time(run, inputs[key], request["calls"])
        print(json.dumps(answer), file=answers, flush=True)


def _load(path, threads, runtime):
    return runtimes.load(path, threads, runtime, logits_alone=True)


def _time(run, inputs, calls):
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        run(inputs)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
