"""A process that loads exports into one runtime and times calls, on request by stdin.

Runtimes set their threads once for a process, so each number of threads needs its own process.
"""

import functools
import json
import sys

from rocket_tf.serving import runtimes
from rocket_tf.serving.parity import made_up_input
from rocket_tf.system.timing import timed


def main():
    """Answers requests, one JSON a line, until stdin ends. Calls ask only for logits.

    The command line holds the runtime, the number of threads and a JSON object from nets to paths.
    `{"net", "batch", "calls"}` is answered by the list of the calls' seconds, `{"load": net}` by
    the seconds that loading it took.
    """
    runtime, threads, paths = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    answers = sys.stdout
    sys.stdout = sys.stderr  # output of libraries goes to stderr
    loaded = {net: _load(path, threads, runtime) for net, path in paths.items()}
    inputs = {}
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            load = functools.partial(_load, paths[request["load"]], threads, runtime)
            answer = timed(load)()
        else:
            run, batch = loaded[request["net"]], request["batch"]
            key = request["net"], batch
            if key not in inputs:
                inputs[key] = {
                    name: made_up_input(dtype, shape, batch)
                    for name, (dtype, shape) in run.inputs.items()
                }
            take = timed(functools.partial(run, inputs[key]))
            answer = [take() for _ in range(request["calls"])]
        print(json.dumps(answer), file=answers, flush=True)


def _load(path, threads, runtime):
    return runtimes.load(path, threads, runtime, logits_alone=True)


if __name__ == "__main__":
    main()
