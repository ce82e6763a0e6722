"""Compares light net, booster and rocket on simulated click logs: AUC, GAUC and log loss.

    rocket-tf compare-clicks --seeds=5 --output=results/clicks

Every seed has its own log and initial weights, the same for all methods. Figures are those of the
last epoch on the last tenth of the log. --dwell compares rockets whose booster reads a column that
the light net lacks: how long items stayed in view, as noise and in two strengths. Finished runs are
not run again; after an interruption, the same command goes on. It writes <output>.json and
<output>.md.
"""

from pathlib import Path

from rocket_tf import config as options
from rocket_tf.commands import Parser, as_called
from rocket_tf.studies import click_comparison, dwell_comparison
from rocket_tf.system import files
from rocket_tf.system.answering import answer


def main(argv=None):
    """Runs what is missing and writes the table; returns the process's exit code."""
    arguments = _parse(argv)
    return answer("compare_clicks", lambda: _compare(arguments), "the same command goes on")


def _compare(arguments):
    settings = options.parse_overrides(arguments.set)
    kind, as_markdown = click_comparison.ClickComparison, click_comparison.as_markdown
    if arguments.dwell:
        kind, as_markdown = dwell_comparison.DwellComparison, dwell_comparison.as_markdown
    comparison = kind(arguments.seeds, settings, arguments.runs)
    comparison.complete(arguments.processes)
    result = comparison.result(_command(arguments))
    table = as_markdown(result)
    if arguments.output:
        files.write_json(f"{arguments.output}.json", result)
        files.write_text(Path(f"{arguments.output}.md"), table)
    print(table)


def _parse(argv):
    parser = Parser("compare_clicks", __doc__)
    parser.add_run_arguments(seeds=5, setting="epochs=4", runs="runs/compare_clicks")
    parser.add_argument(
        "--dwell", action="store_true", help="compare boosters that read the simulated dwell time"
    )
    parser.add_processes(1)
    parser.add_argument("--output", help="path without its suffix; without it, print only")
    return parser.parse_args(argv)


def _command(arguments):
    parts = [f"{as_called('compare_clicks')} --seeds={arguments.seeds}"]
    parts += ["--dwell"] if arguments.dwell else []
    parts += [f"--set={setting}" for setting in arguments.set]
    if arguments.processes != 1:  # since the number of threads changes the last digits
        parts.append(f"--processes={arguments.processes}")
    return " ".join(parts + ([f"--output={arguments.output}"] if arguments.output else []))
