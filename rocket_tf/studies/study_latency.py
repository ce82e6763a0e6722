"""The latency of the nets in a study's table: one export of each, timed side by side."""

import json
import tempfile
from pathlib import Path

from rocket_tf.errors import RocketError
from rocket_tf.system import files
from rocket_tf.system.provenance import machine
from rocket_tf.system.startup import load_tensorflow_quietly

_FILE = "latency.json"
_RUNTIME, _BATCH, _THREADS = "tensorflow", 1, 1
_ROUNDS = 20


def complete(nets, data, root):
    """Times the nets, unless all of them have been timed, and writes `latency.json`.

    For light nets, the exports of their runs are timed; boosters are exported for this. If that is
    not possible, a line says why, and the study has no latency.

    Args:
        nets: a dict from (method, net) to a finished `PlannedRun`.
        data: an open `DataSet`, such as that of one of them.
        root: the study's folder.
    """
    if not nets or read(nets, root) is not None:
        return
    print(f"Timing the exports of {len(nets)} nets", flush=True)
    load_tensorflow_quietly()
    from rocket_tf.serving import latency

    try:
        with tempfile.TemporaryDirectory() as folder:
            names = {f"{method} {net}": (method, net) for method, net in nets}
            paths = {
                name: _export(nets[key], key[1], data, Path(folder) / str(number))
                for number, (name, key) in enumerate(names.items())
            }
            rows, _ = latency.measure(
                {_RUNTIME: (_RUNTIME, paths)},
                _ROUNDS,
                threads=(_THREADS,),
                batches=(_BATCH,),
                tell=lambda line: None,
                loads=0,
            )
    except (RocketError, ValueError) as error:  # not a reason to lose hours of training
        print(f"Latency is left out: {error}", flush=True)
        return
    measured = []
    for row in rows:
        method, net = names[row["net"]]
        figures = {name: row[name] for name in ("calls", "p50_ms", "p99_ms")}
        measured.append({"method": method, "net": net, **figures})
    result = {"runtime": _RUNTIME, "batch": _BATCH, "threads": _THREADS, "nets": measured}
    files.write_json(Path(root) / _FILE, {**result, "machine": machine()})


def read(nets, root):
    """The measurements if all nets have been timed: the dict of `latency.json`, or `None`.

    It also has "light_to_booster", the ratio of the medians of a light net and the first booster,
    if there are both. The light net is that of the booster's method, or else the first one.
    """
    path = Path(root) / _FILE
    if not path.exists():
        return None
    measured = json.loads(path.read_text())
    medians = {(row["method"], row["net"]): row["p50_ms"] for row in measured["nets"]}
    if not nets or not nets.keys() <= medians.keys():
        return None
    booster = next((key for key in nets if key[1] == "booster"), None)
    lights = [key for key in nets if key[1] == "light"]
    ratio = None
    if booster and lights:
        pair = (booster[0], "light")
        ratio = medians[pair if pair in lights else lights[0]] / medians[booster]
    return {**measured, "light_to_booster": ratio}


def _export(run, net, data, folder):
    """The SavedModel of a run's net, which is exported to a folder if it does not exist yet."""
    ready = run.folder.newest_export()
    if net == "light" and ready is not None:
        return ready
    from rocket_tf.runs import finished
    from rocket_tf.serving.saved_model import export_light

    data = data.reopen(run.config)
    model, _, _ = finished.restore(run.folder.path, data=data)
    # The model of a net that was trained alone has it as its light net.
    served = model.booster if net == "booster" and model.booster is not None else model.light
    arguments = finished.export_arguments(data, served)
    return export_light(served, folder, class_names=finished.class_names_of(data), **arguments)
