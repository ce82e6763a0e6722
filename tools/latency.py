"""Times the light net and its booster in every installed runtime, taking turns.

    python -m tools.latency --workdir=runs/digits --output=results/latency

Batches of 1, 8 and 64, one thread and two, median, 95th and 99th percentile and throughput, for the
SavedModel in TensorFlow's C++ session, LiteRT (float32 and int8), ONNX Runtime and OpenVINO. Writes
<output>.json and <output>.png: error against latency. For the picture, several runs that differ in
their seeds give errors with their spread; the nets that are timed are the first run's.
"""

import argparse
import importlib.metadata
import statistics
import sys
import tempfile
from pathlib import Path

from rocket_tf.config import check
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.serving import runtimes
from rocket_tf.system import files
from rocket_tf.system.provenance import machine
from rocket_tf.system.startup import load_tensorflow_quietly

_RUNTIMES = {
    # what it is called: a key of runtimes.PACKAGES, kind of file
    "tensorflow": ("tensorflow", "savedmodel"),
    "litert": ("litert", "litert"),
    "litert int8": ("litert", "litert_int8"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
}
_PLAIN = "plain"  # the light net as Keras's own model.export() writes it
_OPTIMIZED = "optimized"  # the light net by export_light(..., optimize=True)
_CALIBRATION_EXAMPLES = 8  # ranges change no latency


def main(argv=None):
    """Times what the arguments ask for; returns the process's exit code."""
    arguments = _parse(argv)
    try:
        _measure(arguments)
    except ConfigError as error:
        print(f"latency: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        print("latency: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


def _parse(argv):
    parser = argparse.ArgumentParser(
        prog="latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--workdir", nargs="+", type=Path, required=True, help="finished runs of a rocket"
    )
    parser.add_argument(
        "--light_alone", nargs="*", type=Path, default=[], help="finished runs of the light net"
    )
    parser.add_argument("--runtimes", help=f"some of {','.join(_RUNTIMES)} (all installed)")
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[1, 8, 64],
        help="examples in a call (%(default)s); 200, say, as many as candidates of a request",
    )
    parser.add_argument("--rounds", type=int, default=20, help="turns that count (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="path without its suffix")
    return parser.parse_args(argv)


def _measure(arguments):
    chosen = _chosen(arguments.runtimes)
    if arguments.rounds < 1:
        raise ConfigError(f"--rounds: got {arguments.rounds}, expected at least 1")
    if min(arguments.batches) < 1:
        raise ConfigError(f"--batches: got {arguments.batches}, expected numbers of at least 1")
    errors = _errors(arguments)
    data = _check_runtimes(arguments.workdir[0], chosen)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)  # or it fails before the work
    print("Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    from rocket_tf.reporting.latency_picture import error_against_latency
    from rocket_tf.reporting.pictures import as_png
    from rocket_tf.serving import latency

    with tempfile.TemporaryDirectory() as folder:
        print(f"Exporting the nets of {arguments.workdir[0]}", flush=True)
        exports, sizes = _export(arguments.workdir[0], data, chosen, Path(folder))
        print(f"Timing {', '.join(exports)}", flush=True)
        rows, load_seconds = latency.measure(
            exports,
            arguments.rounds,
            batches=arguments.batches,
            tell=lambda line: print(line, flush=True),
        )
    result = {
        "command": _command(arguments),
        "nets": {"run": RunFolder(arguments.workdir[0]).read_config(), "bytes": sizes},
        "test_errors": errors,
        "runtimes": list(exports),
        "rows": rows,
        "load_seconds": load_seconds,
        "ratios": _ratios(rows, sizes, load_seconds, arguments.batches, latency.ratio),
        "versions": {
            package: importlib.metadata.version(package.replace("_", "-"))
            for package in (
                "tensorflow",
                "keras",
                *sorted({runtimes.PACKAGES[_RUNTIMES[name][0]] for name in chosen}),
            )
        },
        "machine": machine(),
    }
    _print_rows(rows)
    for name, value in result["ratios"].items():
        print(f"{name}: {value:.2f}")
    picture = as_png(error_against_latency(result))
    files.write_json(f"{arguments.output}.json", result)
    files.write_bytes(f"{arguments.output}.png", picture)
    print(f"written: {arguments.output}.json, .png")


def _chosen(names):
    """The runtimes to time; all that are installed unless some are named."""
    if names is None:
        chosen = [name for name in _RUNTIMES if not _missing(name)]
        for name in _RUNTIMES.keys() - chosen:
            print(f"{name}: left out, not installed; {runtimes.INSTALL}")
        return chosen
    chosen = names.split(",")
    for name in chosen:
        if name not in _RUNTIMES:
            raise ConfigError(f"--runtimes: got {name!r}, expected some of {','.join(_RUNTIMES)}")
        if _missing(name):
            raise ConfigError(f"--runtimes: {name} needs {_missing(name)[0]}; {runtimes.INSTALL}")
    return chosen


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
    runtime, kind = _RUNTIMES[name]
    converter = ["tf2onnx"] if kind == "onnx" else []
    return runtimes.missing(runtimes.PACKAGES[runtime], *converter)


def _errors(arguments):
    """Mean and spread of the test errors of the runs, by net."""
    summaries = [RunFolder(path).read_finished()[1] for path in arguments.workdir]
    alone = [RunFolder(path).read_finished()[1] for path in arguments.light_alone]
    for path, summary in zip(arguments.workdir, summaries, strict=True):
        if not {"light", "booster"} <= summary.keys():
            raise ConfigError(f"--workdir: {path} did not train both nets; expected a rocket's run")
    for path, summary in zip(arguments.light_alone, alone, strict=True):
        if summary["method"] != "light":
            raise ConfigError(f"--light_alone: {path} holds a run of method {summary['method']}")
    found = {"light_alone": [summary["light"]["test_error"] for summary in alone]}
    found |= {net: [each[net]["test_error"] for each in summaries] for net in ("light", "booster")}
    return {
        net: {
            "mean": round(statistics.mean(errors), 4),
            "standard_deviation": round(statistics.stdev(errors), 4) if len(errors) > 1 else 0.0,
            "runs": len(errors),
        }
        for net, errors in found.items()
        if errors
    }


def _export(workdir, data, chosen, folder):
    """The exports to time, by runtime and net, and the bytes of each."""
    import numpy as np

    from rocket_tf.runs import finished as finished_run
    from rocket_tf.serving import converters
    from rocket_tf.serving.saved_model import export_light

    model, config, summary = finished_run.restore(workdir, "float32", data)
    told = finished_run.provenance(RunFolder(workdir), config, summary)
    # With all that an export of a run has, which the plain one has not.
    class_names = [f"class {index}" for index in range(model.light.output_shape[-1])]
    kinds = {_RUNTIMES[name][1] for name in chosen}
    paths = {kind: {} for kind in kinds}
    for net in ("light", "booster"):
        own = getattr(model, net)
        images = None
        if kinds - {"savedmodel"}:
            random = np.random.default_rng(0)
            images = random.integers(0, 256, (_CALIBRATION_EXAMPLES, *own.input_shape[1:]))
        if "savedmodel" in kinds:
            paths["savedmodel"][net] = export_light(own, folder / net, class_names, provenance=told)
        for kind, convert in {
            "litert": converters.to_litert,
            "litert_int8": lambda net, images=images: converters.to_litert(net, images),
            "onnx": converters.to_onnx,
        }.items():
            if kind in kinds:
                suffix = "onnx" if kind == "onnx" else "tflite"
                paths[kind][net] = folder / f"{net}_{kind}.{suffix}"
                paths[kind][net].write_bytes(convert(own))
    if "savedmodel" in kinds:
        paths["savedmodel"][_OPTIMIZED] = export_light(
            model.light, folder / _OPTIMIZED, class_names, optimize=True, provenance=told
        )
        paths["savedmodel"][_PLAIN] = folder / _PLAIN
        model.light.export(str(folder / _PLAIN), verbose=False)
    sizes = {
        kind: {net: files.size_of(path) for net, path in nets.items()}
        for kind, nets in paths.items()
    }
    return {name: (_RUNTIMES[name][0], paths[_RUNTIMES[name][1]]) for name in chosen}, sizes


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
        which = {"runtime": "tensorflow", "batch": batch, "threads": 1}
        size = sizes["savedmodel"]
        ratios |= {
            "SavedModel ÷ plain model.export(), size": size["light"] / size[_PLAIN],
            "SavedModel ÷ plain model.export(), load time": load_seconds["light"]
            / load_seconds[_PLAIN],
            f"SavedModel ÷ plain model.export(), batch {batch}": ratio(
                rows, "light", _PLAIN, **which
            ),
            f"optimized SavedModel ÷ plain model.export(), batch {batch}": ratio(
                rows, _OPTIMIZED, _PLAIN, **which
            ),
        }
    return {name: round(value, 4) for name, value in ratios.items()}


def _print_rows(rows):
    columns = "{:<12} {:>7} {:>5} {:<9} {:>9} {:>9} {:>9} {:>11}"
    print(
        columns.format(
            "runtime", "threads", "batch", "net", "p50 ms", "p95 ms", "p99 ms", "images/s"
        )
    )
    for row in sorted(rows, key=lambda row: (row["runtime"], row["threads"], row["batch"])):
        print(
            columns.format(
                row["runtime"],
                row["threads"],
                row["batch"],
                row["net"],
                f"{row['p50_ms']:.3f}",
                f"{row['p95_ms']:.3f}",
                f"{row['p99_ms']:.3f}",
                f"{row['examples_per_second']:.0f}",
            )
        )


def _command(arguments):
    parts = ["python -m tools.latency", "--workdir", *map(str, arguments.workdir)]
    if arguments.light_alone:
        parts += ["--light_alone", *map(str, arguments.light_alone)]
    if arguments.batches != [1, 8, 64]:
        parts += ["--batches", *map(str, arguments.batches)]
    if arguments.runtimes:
        parts.append(f"--runtimes={arguments.runtimes}")
    return " ".join([*parts, f"--rounds={arguments.rounds}", f"--output={arguments.output}"])


if __name__ == "__main__":
    sys.exit(main())
