"""Times the nets of finished runs in every runtime, and collects their errors."""

import dataclasses
import importlib.metadata
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rocket_tf.config import check
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.serving import runtimes
from rocket_tf.system import files
from rocket_tf.system.provenance import machine

RUNTIMES = {
    # name: a key of runtimes.PACKAGES, kind of file
    "tensorflow": ("tensorflow", "savedmodel"),
    "litert": ("litert", "litert"),
    "litert int8": ("litert", "litert_int8"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
}
_PLAIN = "plain"  # the light net as Keras's own model.export() writes it
_OPTIMIZED = "optimized"  # the light net by export_light(..., optimize=True)
_MOST_CLIENTS, _MOST_SECONDS = 64, 60
_CALIBRATION_EXAMPLES = 8  # the ranges do not affect latency


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests that clients send to the light net's export.

    Attributes:
        rates: requests per second; empty: no load.
        clients: number of threads that send requests.
        seconds: duration of each rate.
    """

    rates: Sequence[float] = ()
    clients: int = 4
    seconds: float = 3.0

    def check(self):
        """Raises ConfigError for a number that is too small or too large."""
        if not all(0 < rate < math.inf for rate in self.rates):
            raise ConfigError(f"--rates: got {list(self.rates)}, expected numbers above 0")
        if not 1 <= self.clients <= _MOST_CLIENTS:
            raise ConfigError(
                f"--clients: got {self.clients}, expected a number from 1 to {_MOST_CLIENTS}"
            )
        if not 0 < self.seconds <= _MOST_SECONDS:
            raise ConfigError(
                f"--seconds: got {self.seconds}, expected a number above 0, up to {_MOST_SECONDS}"
            )


def choose(names):
    """The runtimes to time.

    Args:
        names: comma-separated names of `RUNTIMES`; `None`: all that are installed.

    Raises:
        ConfigError: if there is no such runtime, or it is not installed.
    """
    if names is None:
        chosen = [name for name in RUNTIMES if not _missing(name)]
        for name in RUNTIMES.keys() - chosen:
            print(f"{name}: left out, not installed; {runtimes.INSTALL}")
        return chosen
    chosen = names.split(",")
    for name in chosen:
        if name not in RUNTIMES:
            raise ConfigError(f"--runtimes: got {name!r}, expected some of {','.join(RUNTIMES)}")
        if _missing(name):
            raise ConfigError(f"--runtimes: {name} needs {_missing(name)[0]}; {runtimes.INSTALL}")
    return chosen


class Latencies:
    """The nets to time, and the runtimes.

    Args:
        workdirs: folders of finished runs of a rocket; the first one's nets are timed.
        light_alone: folders of finished runs of the light net.
        chosen: names of `RUNTIMES`.
        batches: batch sizes.
        rounds: number of measured turns.
        load: a `Load` for the first run's export, or `None`.

    Raises:
        ConfigError: if a run is not finished or has another method, if a runtime cannot run its
            nets, or if a number is too small or too large.
    """

    def __init__(self, workdirs, light_alone, chosen, batches, rounds, load=None):
        if rounds < 1:
            raise ConfigError(f"--rounds: got {rounds}, expected at least 1")
        if min(batches) < 1:
            raise ConfigError(f"--batches: got {batches}, expected numbers of at least 1")
        load = load or Load()
        load.check()
        self._load = load
        self._errors = _errors(workdirs, light_alone)
        self._workdir = workdirs[0]
        self._data = _check_runtimes(self._workdir, chosen)
        if load.rates and RunFolder(self._workdir).newest_export() is None:
            raise ConfigError(
                f"--rates: {self._workdir} has no export to send requests to; write one with "
                "`python -m "
                f"tools.export --workdir={self._workdir}`"
            )
        self._chosen, self._batches, self._rounds = chosen, batches, rounds

    def measure(self, tell=lambda line: print(line, flush=True)):
        """Exports the nets, and times them.

        Args:
            tell: called with lines about the progress.

        Returns:
            Dict fit for JSON: "nets", "test_errors" by net, "runtimes", "rows" and "load_seconds"
            from `rocket_tf.serving.latency.measure`, "ratios", "versions" and "machine"; with
            rates, "load".
        """
        from rocket_tf.serving import latency

        with tempfile.TemporaryDirectory() as folder:
            tell(f"Exporting the nets of {self._workdir}")
            exports, sizes = _export(self._workdir, self._data, self._chosen, Path(folder))
            tell(f"Timing {', '.join(exports)}")
            rows, load_seconds = latency.measure(
                exports, self._rounds, batches=self._batches, tell=tell
            )
        packages = sorted({runtimes.PACKAGES[RUNTIMES[name][0]] for name in self._chosen})
        return {
            "nets": {"run": RunFolder(self._workdir).read_config(), "bytes": sizes},
            "test_errors": self._errors,
            "runtimes": list(exports),
            "rows": rows,
            "load_seconds": load_seconds,
            "ratios": _ratios(rows, sizes, load_seconds, self._batches, latency.ratio),
            "versions": {
                package: importlib.metadata.version(package.replace("_", "-"))
                for package in ("tensorflow", "keras", *packages)
            },
            "machine": machine(),
            **self._under_load(tell),
        }

    def _under_load(self, tell):
        if not self._load.rates:
            return {}
        from rocket_tf.serving import load

        settings = dataclasses.asdict(self._load)
        tell(f"Sending requests of {self._load.clients} clients to the export on one core")
        export = RunFolder(self._workdir).newest_export()
        return {
            "load": {**settings, "rows": load.measure(export, self._batches, **settings, tell=tell)}
        }


def _check_runtimes(workdir, chosen):
    """Checks that the runtimes can run the nets; returns the run's data, a `DataSet`."""
    config, _ = RunFolder(workdir).read_finished()
    data = check(config)
    if data.card.kind == "clicks" and chosen != ["tensorflow"]:
        raise ConfigError(
            f"--runtimes: got {','.join(chosen)} for nets that read ids and strings, expected "
            "tensorflow: the others have no hashing"
        )
    return data


def _missing(name):
    runtime, kind = RUNTIMES[name]
    converter = ["tf2onnx"] if kind == "onnx" else []
    return runtimes.missing(runtimes.PACKAGES[runtime], *converter)


def _errors(workdirs, light_alone):
    """Mean and spread of the test errors of the runs, by net."""
    summaries = [RunFolder(path).read_finished()[1] for path in workdirs]
    alone = [RunFolder(path).read_finished()[1] for path in light_alone]
    for path, summary in zip(workdirs, summaries, strict=True):
        if not {"light", "booster"} <= summary.keys():
            raise ConfigError(f"--workdir: {path} did not train both nets; expected a rocket's run")
    for path, summary in zip(light_alone, alone, strict=True):
        if summary["method"] != "light":
            raise ConfigError(f"--light_alone: {path} holds a run of method {summary['method']}")
    errors_by_net = {"light_alone": [summary["light"]["test_error"] for summary in alone]}
    errors_by_net |= {
        net: [summary[net]["test_error"] for summary in summaries] for net in ("light", "booster")
    }
    return {
        net: {
            "mean": round(statistics.mean(errors), 4),
            "standard_deviation": round(statistics.stdev(errors), 4) if len(errors) > 1 else 0.0,
            "runs": len(errors),
        }
        for net, errors in errors_by_net.items()
        if errors
    }


def _export(workdir, data, chosen, folder):
    """The exports to time, by runtime and net, and the bytes of each."""
    import numpy as np

    from rocket_tf.runs import finished as finished_run
    from rocket_tf.serving import converters
    from rocket_tf.serving.saved_model import export_light

    model, config, summary = finished_run.restore(workdir, "float32", data)
    origin = finished_run.provenance(RunFolder(workdir), config, summary)
    # With all parts of a run's export; the plain one has fewer.
    class_names = [f"class {index}" for index in range(model.light.output_shape[-1])]
    kinds = {RUNTIMES[name][1] for name in chosen}
    paths = {kind: {} for kind in kinds}
    for net in ("light", "booster"):
        net_model = getattr(model, net)
        images = None
        if kinds - {"savedmodel"}:
            random = np.random.default_rng(0)
            images = random.integers(0, 256, (_CALIBRATION_EXAMPLES, *net_model.input_shape[1:]))
        if "savedmodel" in kinds:
            paths["savedmodel"][net] = export_light(
                net_model, folder / net, class_names, provenance=origin
            )
        for kind, convert in {
            "litert": converters.to_litert,
            "litert_int8": lambda net, images=images: converters.to_litert(net, images),
            "onnx": converters.to_onnx,
        }.items():
            if kind in kinds:
                suffix = "onnx" if kind == "onnx" else "tflite"
                paths[kind][net] = folder / f"{net}_{kind}.{suffix}"
                paths[kind][net].write_bytes(convert(net_model))
    if "savedmodel" in kinds:
        paths["savedmodel"][_OPTIMIZED] = export_light(
            model.light, folder / _OPTIMIZED, class_names, optimize=True, provenance=origin
        )
        paths["savedmodel"][_PLAIN] = folder / _PLAIN
        model.light.export(str(folder / _PLAIN), verbose=False)
    sizes = {
        kind: {net: files.size_of(path) for net, path in nets.items()}
        for kind, nets in paths.items()
    }
    return {name: (RUNTIMES[name][0], paths[RUNTIMES[name][1]]) for name in chosen}, sizes


def _ratios(rows, sizes, load_seconds, batches, ratio):
    ratios = {
        f"light ÷ booster, {runtime}, batch {batch}, 1 thread": ratio(
            rows, "light", "booster", runtime=runtime, batch=batch, threads=1
        )
        for runtime in dict.fromkeys(row["runtime"] for row in rows)
        for batch in batches
    }
    if load_seconds:
        batch = min(batches)
        columns = {"runtime": "tensorflow", "batch": batch, "threads": 1}
        size = sizes["savedmodel"]
        ratios |= {
            "SavedModel ÷ plain model.export(), size": size["light"] / size[_PLAIN],
            "SavedModel ÷ plain model.export(), load time": load_seconds["light"]
            / load_seconds[_PLAIN],
            f"SavedModel ÷ plain model.export(), batch {batch}": ratio(
                rows, "light", _PLAIN, **columns
            ),
            f"optimized SavedModel ÷ plain model.export(), batch {batch}": ratio(
                rows, _OPTIMIZED, _PLAIN, **columns
            ),
        }
    return {name: round(value, 4) for name, value in ratios.items()}
