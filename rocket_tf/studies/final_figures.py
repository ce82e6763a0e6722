"""The last step of a study: the test examples are opened, once all runs are done."""

import json

from rocket_tf.system import files
from rocket_tf.system.startup import load_tensorflow_quietly

_FILE = "test.json"


def complete(runs, data):
    """Evaluates finished runs on the test examples, those that were not evaluated before.

    Writes `test.json` into each run's folder: its summary with the test figures, each net's
    errors by class, and the gradient flow of hints.

    Args:
        runs: a list of `PlannedRun`s, all finished.
        data: a `DataSet` that is open already, such as that of one of them.
    """
    to_do = [run for run in runs if read(run) is None]
    if not to_do:
        return
    print(f"All runs are trained. Opening the test examples of {len(to_do)} runs", flush=True)
    load_tensorflow_quietly()
    import keras

    from rocket_tf import train

    for number, run in enumerate(to_do, 1):
        data = data.reopen(run.config)
        figures = train.evaluate(run.folder.path, data=data, details=True)
        files.write_json(run.folder.path / _FILE, figures)
        print(f"{number} of {len(to_do)}: {run.title}", flush=True)
        keras.backend.clear_session()


def read(run):
    """A run's summary with its test figures, or `None` as long as they are closed."""
    path = run.folder.path / _FILE
    return json.loads(path.read_text()) if path.exists() else None
