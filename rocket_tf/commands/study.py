"""Answers "does a rocket help on my data, with my nets?" with a table, a page and one sentence.

    rocket-tf study --config=configs/digits.py --methods=light,rocket --seeds=12

It trains each method on the same seeds and compares all with the first. Validation examples are
held out; the test examples are opened last. With several --hints or --weights, the hint is first
chosen on other seeds and splits. After an interruption at any instant, the same command goes on;
stopped by Ctrl-C, it prints the table so far. It writes <output>.json, .md, .html and
<output>_config.py, the configuration to use.

    rocket-tf study --config=digits --grid=train_examples=250,500,1000 --grid=epochs=10,40

does a study at each point of the grid and writes <output>.json, .md, .html and .png. The picture
shows the gain over the first field, with a line for each value of the second.
"""

import re
import sys
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.commands import Parser, command_line
from rocket_tf.config import bundled as ready_configs
from rocket_tf.errors import ConfigError, Preempted
from rocket_tf.studies.grid import Grid
from rocket_tf.studies.pool import default_processes
from rocket_tf.studies.search import Candidate
from rocket_tf.studies.study import OWN_FIELDS, Shard, Study
from rocket_tf.studies.study_result import result_of
from rocket_tf.system.answering import answer


def main(argv=None):
    """Runs what is missing and writes the results; returns the process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parse(argv)
    places = ("--runs", "--shard", "--output")
    command = command_line("study", argv, places, switches=("--report_only",))
    return answer("study", lambda: _study(arguments, command), "the same command goes on")


def _study(arguments, command):
    planned = _grid(arguments) or _planned(arguments, {}, arguments.runs)
    is_grid = isinstance(planned, Grid)
    output = Path(arguments.output or f"{arguments.runs}/{'grid' if is_grid else 'study'}")

    def write(pictures=True):
        from rocket_tf.reporting import grid_page, study_page

        result = planned.result(command) if is_grid else result_of(planned, command)
        if pictures:
            (grid_page.write_grid if is_grid else study_page.write_study)(result, output)
        return (grid_page if is_grid else study_page).as_text(result)

    try:
        done = arguments.report_only or planned.complete(arguments.processes)
    except (KeyboardInterrupt, Preempted):
        print(f"Stopped. So far:\n\n{write(pictures=False)}")
        raise
    print(write())
    if not done:
        print("Runs of other shards are missing: put all into one folder, and call again")
    last = ".png" if is_grid else f"{output}_config.py"
    print(f"written: {output}.html, .md, .json, {last}")


def _parse(argv):
    parser = Parser("study", __doc__)
    parser.add_argument("--config", required=True, help="configuration file, or a bundled one")
    parser.add_argument(
        "--methods", default="light,rocket", help="methods, with commas between (%(default)s)"
    )
    parser.add_argument("--hints", help="hints to choose from, with commas between")
    parser.add_argument("--weights", help="the hint's weights to choose from, with commas between")
    parser.add_argument(
        "--search_seeds", type=int, default=3, help="most seeds of the search (%(default)s)"
    )
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        help="a study for each value of a field, as --grid=epochs=10,40; several make a grid",
    )
    parser.add_argument("--shard", default="1/1", help="do one part of the runs, such as 2/8")
    parser.add_processes(default_processes())
    parser.add_run_arguments(seeds=12, setting="epochs=20", runs=None)
    parser.add_argument("--output", help="where to write, no suffix (default: in the runs' folder)")
    parser.add_argument(
        "--report_only", action="store_true", help="write the results of the finished runs"
    )
    arguments = parser.parse_args(argv)
    arguments.runs = arguments.runs or f"runs/study_{Path(arguments.config).stem}"
    return arguments


def _planned(arguments, point, runs):
    config = ready_configs.load_file(arguments.config)
    settings = options.parse_overrides(arguments.set, config)
    settings |= options.with_named({**config, **settings}, point)
    return Study(
        config,
        arguments.methods.split(","),
        arguments.seeds,
        settings,
        runs,
        _candidates(arguments, {**config, **settings}),
        arguments.search_seeds,
        _shard(arguments.shard),
        title="".join(f"{field}={value}, " for field, value in point.items()),
    )


def _grid(arguments):
    """The `Grid` of the arguments, or `None`."""
    fields = {}
    for text in arguments.grid:
        name, equals, values = text.partition("=")
        choices = [options.parse_override(name, value) for value in values.split(",") if equals]
        if not choices or isinstance(choices[0], tuple):
            raise ConfigError(
                f"--grid: got {text!r}, expected a field and values with commas between, such as "
                "epochs=10,40"
            )
        if name in OWN_FIELDS:
            raise ConfigError(f"--grid: got {name}, which the study itself sets")
        if name in fields or name in (override.partition("=")[0] for override in arguments.set):
            raise ConfigError(f"--grid: got {name}, which --grid or --set already sets")
        fields[name] = choices
    if not fields:
        return None
    return Grid(fields, lambda *point: _planned(arguments, *point), arguments.runs)


def _candidates(arguments, config):
    if arguments.hints is None and arguments.weights is None:
        return []
    hints = (arguments.hints or config["hint"]).split(",")
    texts = (arguments.weights or str(config["hint_weight"])).split(",")
    return [
        Candidate(options.parse_override("hint", hint), options.parse_override("hint_weight", text))
        for hint in hints
        for text in texts
    ]


def _shard(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard: got {text!r}, expected a part of all parts, such as 2/8")
    return Shard(int(match[1]), int(match[2]))
