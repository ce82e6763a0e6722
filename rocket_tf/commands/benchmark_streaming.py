"""Measures the cost of streamed data: memory, speed, and resuming within an epoch.

    rocket-tf benchmark-streaming --output=results/streaming.json
    rocket-tf benchmark-streaming --only=click_memory --rows=2000000 --folder=made

The data are made from a seed: a click log in Parquet and a folder of JPEGs. Memory is measured in
whole runs of two epochs with evaluations and checkpoints, on large data and on a tenth of it. All
figures together take hours and 20 GB of disk; --folder keeps the data for the next time.
"""

from pathlib import Path

from rocket_tf.benchmarks.streaming import FIGURES, Settings, measure
from rocket_tf.commands import Parser, as_called, sizes_of
from rocket_tf.errors import ConfigError
from rocket_tf.system import files
from rocket_tf.system.answering import answer

_HELP = {
    "rows": "impressions of the larger log (%(default)s)",
    "images": "images of the larger folder (%(default)s)",
    "speed_rows": "impressions of the runs that measure speed (%(default)s)",
    "speed_images": "images of the runs that measure speed (%(default)s)",
    "turns": "measurements of each speed (%(default)s)",
    "starts": "measurements of each start (%(default)s)",
}


def main(argv=None):
    """Measures, prints and writes; returns the process's exit code."""
    parser = Parser("benchmark_streaming", __doc__)
    parser.add_sizes(Settings, _HELP)
    parser.add_argument("--only", help=f"figures, with commas between, of {', '.join(FIGURES)}")
    parser.add_argument("--folder", type=Path, help="where the data is made and kept")
    parser.add_argument("--output", type=Path, help="JSON file to write; without it, print only")
    arguments = parser.parse_args(argv)
    return answer("benchmark_streaming", lambda: _benchmark(arguments))


def _benchmark(arguments):
    settings = sizes_of(Settings, arguments)
    settings.check()
    names = _chosen(arguments.only)
    if arguments.folder:
        if arguments.folder.exists() and not arguments.folder.is_dir():
            raise ConfigError(f"--folder: got {arguments.folder}, a file; expected a folder")
        arguments.folder.mkdir(parents=True, exist_ok=True)
    report = measure(settings, names, lambda line: print(line, flush=True), arguments.folder)
    report = {"command": _command(arguments), **report}
    for name, range_ in report["measured"].items():
        print(f"{range_['median']:12.1f}  {name}  ({range_['min']:.1f} to {range_['max']:.1f})")
    for name, value in report["figures"].items():
        print(f"{value:12.3f}  {FIGURES[name].meaning}  [{FIGURES[name].verdict(value)}]")
    if arguments.output:
        files.write_json(arguments.output, report)
        print(f"written: {arguments.output}")


def _chosen(text):
    names = list(FIGURES) if text is None else text.split(",")
    for name in names:
        if name not in FIGURES:
            raise ConfigError(f"--only: got {name!r}, expected some of {', '.join(FIGURES)}")
    return names


def _command(arguments):
    sizes = [f"--{name}={getattr(arguments, name)}" for name in _HELP]
    only = [f"--only={arguments.only}"] if arguments.only else []
    return " ".join([as_called("benchmark_streaming"), *sizes, *only])
