"""A child process that answers requests, one line of JSON each."""

import json
import os
import subprocess
import sys
import tempfile

from rocket_tf.errors import ProcessEnded


class WorkerProcess:
    """Starts `python -m <module>` and waits until it says that it is ready.

    The process prints a line of JSON when it is ready, and another for each line of JSON that it
    reads. It ends when its stdin ends. As a context manager, it ends the process on exit.

    Args:
        module: name of the module.
        *arguments: its command line, strings.
        environment: dict of environment variables in addition to those of this process.

    Raises:
        ProcessEnded: if the process ends before that; the message is its last line on stderr.
    """

    def __init__(self, module, *arguments, environment=None):
        self._module = module
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | (environment or {}),
        )
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise

    def ask(self, **request):
        """The answer to a request, both as JSON values; raises ProcessEnded without one."""
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            errors = self._errors.read().strip().splitlines() or ["no message"]
            raise ProcessEnded(f"a process that measures has ended ({self._module}): {errors[-1]}")
        return json.loads(line)
