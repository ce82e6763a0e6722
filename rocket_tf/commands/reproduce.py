"""Reproduces a table of the paper: runs what is missing, writes it beside the paper's figures.

    rocket-tf reproduce --table=1 --dataset=cifar10 --seeds=3
    rocket-tf reproduce --table=digits

The tables are 1 to 4, figure4, and digits (all methods on bundled data). Finished runs are kept and
not run again: after an interruption at any instant, the same command goes on where it stopped.
After each run it writes `<output>.json`, `.md`, `.png` and `.html`.
"""

import sys
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.commands import Parser, command_line
from rocket_tf.config.methods import METHODS
from rocket_tf.data.catalog import DATASETS
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.writing import write_table
from rocket_tf.studies.paper_tables import TABLES
from rocket_tf.studies.reproduction import Reproduction
from rocket_tf.system.answering import answer


def main(argv=None):
    """Runs what the arguments say; returns the process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parse(argv)
    command = command_line("reproduce", argv, ("--runs", "--note"), switches=("--write_only",))
    return answer("reproduce", lambda: _reproduce(arguments, command), "the same command goes on")


def _reproduce(arguments, command):
    reproduction = _reproduction(arguments)
    output = Path(arguments.output or f"{arguments.runs}/table_{arguments.table}")

    def write():
        write_table(reproduction.result(command, arguments.note), output)

    if not arguments.write_only:
        reproduction.complete(after_run=write)
    write()
    print(Path(f"{output}.md").read_text())
    print(f"written: {output}.md, .json, .png, .html")


def _parse(argv):
    parser = Parser("reproduce", __doc__)
    parser.add_argument("--table", required=True, choices=TABLES)
    parser.add_argument(
        "--dataset", choices=DATASETS, help="only the rows on this data (default: the paper's)"
    )
    parser.add_argument("--seeds", type=int, help="seeds from 0 on (default: 3; digits: 4)")
    parser.add_argument("--rows", help="rows by their keys, with commas between (default: all)")
    parser.add_argument("--methods", help="methods, with commas between (default: the table's)")
    parser.add_argument("--epochs", type=int, help="a smaller budget than the paper's")
    parser.add_argument("--train_examples", type=int, help="fewer examples, for a smaller budget")
    parser.add_argument(
        "--set", action="append", default=[], help="any field, as --set=precision=mixed_bfloat16"
    )
    parser.add_argument(
        "--runs", default="runs/reproduce", help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument(
        "--write_only", action="store_true", help="write the table of the finished runs"
    )
    parser.add_argument("--output", help="where to write, no suffix (default: in the runs' folder)")
    parser.add_argument("--note", default="", help="a note for readers of the figures")
    return parser.parse_args(argv)


def _reproduction(arguments):
    table = TABLES[arguments.table]
    if arguments.dataset:
        table = table.on(arguments.dataset)
    if arguments.rows:
        table = table.with_rows(_chosen("rows", arguments.rows, [row.key for row in table.rows]))
    methods = arguments.methods and _chosen("methods", arguments.methods, METHODS)
    seeds = table.seeds if arguments.seeds is None else arguments.seeds
    if seeds < 1:
        raise ConfigError(f"--seeds: got {seeds}, expected a whole number of at least 1")
    settings = options.parse_overrides(arguments.set)
    for name in ("epochs", "train_examples"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    return Reproduction(
        table, seeds, settings, arguments.runs, methods, write_only=arguments.write_only
    )


def _chosen(argument, text, known):
    names = text.split(",")
    for name in names:
        if name not in known:
            raise ConfigError(f"--{argument}: got {name!r}, expected some of {', '.join(known)}")
    return names
