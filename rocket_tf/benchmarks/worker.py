"""A process that takes steps of some kinds, as it is asked to on stdin, and says what they took."""

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

    The command line holds the settings as a JSON object, and names of kinds. `{"step": kind}` is
    answered by the step's seconds; `{"memory": true}` by `{"loaded", "peak"}`: mebibytes that
    the process had at most when its libraries were loaded, and until now.
    """
    settings, names = Settings(**json.loads(sys.argv[1])), sys.argv[2:]
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print
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
    # In an orderly end, tf.data's tuning thread is waited for, minutes at worst.
    os._exit(0)


def _peak_memory():
    """The most memory that this process has had resident, in mebibytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, ru_maxrss counts the process that started this one, too.
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / _MEBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEBIBYTE  # bytes on macOS


if __name__ == "__main__":
    main()
