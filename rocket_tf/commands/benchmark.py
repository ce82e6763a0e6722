"""Compares the cost of training with alternatives: steps, input, memory, start.

    rocket-tf benchmark --output=results/benchmark.json

All kinds of steps take turns, so that the machine's noise hits all alike. Quote the ratios of their
medians. The data are random images, and the nets are WRN-16-1 in WRN-40-1.
"""

from pathlib import Path

from rocket_tf.benchmarks.figures import FIGURES, INSTALL_PYTORCH, choose
from rocket_tf.benchmarks.measuring import measure
from rocket_tf.benchmarks.settings import Settings
from rocket_tf.commands import Parser, as_called, sizes_of
from rocket_tf.errors import ConfigError
from rocket_tf.system import files
from rocket_tf.system.answering import answer

_HELP = {
    "batch_size": "examples in a step (%(default)s)",
    "steps": "timed steps of each kind (%(default)s)",
    "processes": "fresh processes a kind for memory and start (%(default)s)",
    "examples": "images in an epoch of the input pipeline (%(default)s)",
    "light_depth": "layers, 6n + 4 (%(default)s)",
    "booster_depth": "layers, 6n + 4 (%(default)s)",
    "click_batch_size": "impressions in a step of click nets (%(default)s)",
    "table_rows": "rows of each embedding table at the largest (%(default)s)",
}


def main(argv=None):
    """Measures, prints and writes; returns the process's exit code."""
    arguments = _parse(argv)
    return answer("benchmark", lambda: _benchmark(arguments))


def _parse(argv):
    parser = Parser("benchmark", __doc__)
    parser.add_sizes(Settings, _HELP)
    parser.add_argument("--only", help=f"figures, with commas between, of {', '.join(FIGURES)}")
    parser.add_argument("--output", type=Path, help="JSON file to write; without it, print only")
    return parser.parse_args(argv)


def _benchmark(arguments):
    settings = sizes_of(Settings, arguments)
    settings.check()
    figures, left_out = choose(arguments.only)
    if arguments.output:
        if arguments.output.is_dir():
            raise ConfigError(f"--output: got {arguments.output}, a folder; expected a file")
        arguments.output.parent.mkdir(parents=True, exist_ok=True)  # or it fails before the work
    if left_out:
        print(f"{', '.join(left_out)}: left out, PyTorch is not installed; {INSTALL_PYTORCH}")
    report = measure(settings, figures, tell=lambda line: print(line, flush=True))
    report = {"command": _command(arguments), **report}
    _print(report, figures)
    if arguments.output:
        files.write_json(arguments.output, report)
        print(f"written: {arguments.output}")


def _command(arguments):
    sizes = [f"--{name}={getattr(arguments, name)}" for name in _HELP]
    only = [f"--only={arguments.only}"] if arguments.only else []
    return " ".join([as_called("benchmark"), *sizes, *only])


def _print(report, figures):
    for unit in ("milliseconds", "examples_per_second", "mebibytes", "seconds"):
        for name, range_ in report[unit].items():
            print(
                f"{name:32} {range_['median']:10.1f} {unit.replace('_', ' ')}"
                f"  ({range_['min']:.1f} to {range_['max']:.1f})"
            )
    for name, figure in figures.items():
        is_ratio = name in report["ratios"]
        value = report["ratios"][name] if is_ratio else report["seconds"][name]["median"]
        verdict = figure.verdict(value)
        print(f"{value:10.3f}  {figure.meaning}" + (f"  [{verdict}]" if verdict else ""))
    for kind, operations in report["profile"].items():
        total = sum(operations.values())
        largest = list(operations.items())[:6]
        shares = ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in largest)
        print(f"where the time of {kind} goes: {shares}")
    if report["disturbed"]:
        print(
            f"disturbed: {', '.join(report['disturbed'])}; other work on this machine slows the "
            "kinds unequally, so their ratios say little: measure again when the machine is idle"
        )
