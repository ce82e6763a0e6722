"""A process that does tasks of a study's runs, on request by stdin."""

import json
import os
import queue
import signal
import sys
import threading

from rocket_tf import config as options
from rocket_tf.errors import RocketError
from rocket_tf.studies import final_figures
from rocket_tf.system.startup import load_tensorflow_quietly


def main():
    """Answers requests, one JSON a line, until stdin ends.

    The command line holds the number of threads. A request is `{"task", "config", "path"}`: "train"
    or "open" (the test examples), with a run's configuration and folder. The answer is `null` when
    it is done, or `{"error", "message"}`, an exception's class and text. The process ends on
    SIGTERM, or when the asking process ends, which also handles Ctrl-C. A training saves its
    progress first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = sys.stdout
    sys.stdout = sys.stderr  # for output of libraries
    requests = _Requests()
    load_tensorflow_quietly()
    import keras
    import tensorflow as tf

    threads = int(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    data = None
    for request in requests:
        try:
            data = options.check(request["config"], data)
            _TASKS[request["task"]](request["config"], request["path"], data)
            answer = None
        except (RocketError, OSError) as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        keras.backend.clear_session()
        requests.answered()
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:
            break  # the process that asks is gone
    # A normal exit would wait for tf.data's tuning thread, at worst for minutes.
    os._exit(0)


def _train(config, path, data):
    from rocket_tf import train

    train.train_and_evaluate(config, path, verbose=False, data=data)


_TASKS = {"train": _train, "open": final_figures.open_test}


class _Requests:
    """The requests on stdin, read by a thread that notices when it ends during a task."""

    def __init__(self):
        self._queue = queue.SimpleQueue()
        self._is_busy = False
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self):
        while (request := self._queue.get()) is not None:
            yield request

    def answered(self):
        """A request is done."""
        with self._lock:
            self._is_busy = False

    def _read(self):
        for line in sys.stdin:
            with self._lock:
                self._is_busy = True
            self._queue.put(json.loads(line))
        self._queue.put(None)
        with self._lock:
            if self._is_busy:
                os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
