"""A process that takes steps of some kinds on request by stdin, and answers with their times."""

import json
import os
import re
import resource
import sys
from pathlib import Path

from rocket_tf.benchmarks.kinds import KINDS, load_libraries
from rocket_tf.benchmarks.settings import Settings
from rocket_tf.system.timing import timed

_MEBIBYTE = 2**20


def main():
    """Answers requests, one JSON a line, until stdin ends.

    The command line has the settings as a JSON object, and names of kinds. The answer to `{"step":
    kind}` is the step's seconds, and to `{"memory": true}` `{"loaded", "peak"}`: peak memory in
    mebibytes after loading the libraries, and until now.
    """
    settings, names = Settings(**json.loads(sys.argv[1])), sys.argv[2:]
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print goes elsewhere
    load_libraries(names)
    loaded = _peak_memory()
    steps = {name: timed(KINDS[name].build(settings)) for name in names}
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "step" in request:
            answer = steps[request["step"]]()
        else:
            answer = {"loaded": loaded, "peak": _peak_memory()}
        print(json.dumps(answer), file=answers, flush=True)
    # A normal exit would wait for tf.data's tuning thread, at worst for minutes.
    os._exit(0)


def _peak_memory():
    """The peak resident memory of this process, in mebibytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, ru_maxrss includes the process that started this one.
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / _MEBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEBIBYTE  # bytes on macOS


if __name__ == "__main__":
    main()
