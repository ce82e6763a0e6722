"""The last step of a study: opening the test examples after all runs are done."""

import json

from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import running
from rocket_tf.system import files

_FILE = "test.json"


def complete(runs, data, pool=None):
    """Evaluates finished runs on the test examples, except those evaluated before.

    Args:
        runs: a list of `PlannedRun`s, all finished.
        data: an open `DataSet`, such as that of one of them.
        pool: a `Pool` that does it; `None`: this process.
    """
    to_do = [run for run in runs if read(run) is None]
    if not to_do:
        return
    print(f"All runs are trained. Opening the test examples of {len(to_do)} runs", flush=True)
    ended = running.in_turn("open", open_test, to_do, data, pool)
    for number, (run, error) in enumerate(ended, 1):
        if error is not None:
            raise error
        print(f"{number} of {len(to_do)}: {run.title}", flush=True)


def open_test(config, path, data):
    """Evaluates a finished run on the test examples.

    Writes `test.json` into its folder: its summary with the test figures, each net's errors by
    class, and the gradient flow of hints.

    Args:
        config: its configuration.
        path: its folder.
        data: its data, a `DataSet`.
    """
    from rocket_tf import train

    figures = train.evaluate(path, data=data, details=True)
    files.write_json(RunFolder(path).path / _FILE, figures)


def read(run):
    """A run's summary with its test figures; `None` before they are opened."""
    path = run.folder.path / _FILE
    return json.loads(path.read_text()) if path.exists() else None
