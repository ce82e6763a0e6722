"""The commands: what they take, and what they print. Each module is one, and has its `main`."""

import argparse
import ast
import dataclasses
import importlib
import shlex
import sys
from pathlib import Path

from rocket_tf.errors import ConfigError
from rocket_tf.system.answering import complain
from rocket_tf.system.places import check_file

# In the order in which the help lists them.
COMMANDS = (
    "train",
    "config",
    "export",
    "predict",
    "serve-check",
    "latency",
    "report",
    "pictures",
    "study",
    "reproduce",
    "choose-hint-weight",
    "compare-clicks",
    "convert-clicks",
    "make-clicks",
    "make-images",
    "benchmark",
    "benchmark-streaming",
    "interruptions",
)


def load(name):
    """The module of a command, by its name; loads no TensorFlow."""
    return importlib.import_module(f"{__name__}.{_module(name)}")


def summary(name):
    """What a command does, in a line, without importing it."""
    source = Path(__file__).with_name(f"{_module(name)}.py").read_text()
    return ast.get_docstring(ast.parse(source)).splitlines()[0]


def _module(name):
    return name.replace("-", "_")


def as_called(name):
    """How a command is called here: by the installed script, or by a module of the clone."""
    if Path(sys.argv[0]).stem == "rocket-tf":
        return f"rocket-tf {name.replace('_', '-')}"
    return f"python -m tools.{name}"


def sizes_of(settings, arguments):
    """An object of a dataclass whose fields `Parser.add_sizes` has made options."""
    names = [field.name for field in dataclasses.fields(settings)]
    return settings(**{name: getattr(arguments, name) for name in names})


def command_line(name, argv, places, switches=()):
    """How a command is called, with the arguments that affect its results.

    Args:
        name: the command's name.
        argv: its arguments as given.
        places: options with a value that only say where something is kept or which part is done.
        switches: options without a value that do not change any figure.

    Example:
        >>> argv = ["--seeds=2", "--runs", "a", "--set", "data_dir=b", "--set", "epochs=3"]
        >>> command_line("study", argv, ["--runs"]).partition(" --")[2]
        'seeds=2 --set=epochs=3'
    """
    kept, arguments = [], iter(argv)
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if not equals and option in (*places, "--set"):
            value = next(arguments, "")
            argument = f"{option}={value}"
        if option not in (*places, *switches) and not value.startswith("data_dir="):
            kept.append(argument)
    return f"{as_called(name)} {shlex.join(kept)}"


class Parser(argparse.ArgumentParser):
    """A parser of a command's arguments, which reports a mistake in one line.

    Args:
        name: the command's name, which begins that line.
        documentation: the text that `--help` shows first.
    """

    def __init__(self, name, documentation=None, **kwargs):
        super().__init__(
            prog=name,
            description=documentation,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_run_arguments(self, seeds, setting, runs):
        """Adds `--seeds`, `--set` and `--runs`, for commands that need many runs.

        Args:
            seeds: default number of seeds.
            setting: an example of a field with its value, for the help.
            runs: default folder; `None`: the command names it after its configuration.
        """
        self.add_argument("--seeds", type=int, default=seeds, help="number of seeds (%(default)s)")
        self.add_argument(
            "--set", action="append", default=[], help=f"any field, as --set={setting}"
        )
        shown = "runs/study_<configuration>" if runs is None else "%(default)s"
        self.add_argument("--runs", default=runs, help=f"folder of the runs ({shown})")

    def add_sizes(self, settings, help_texts):
        """Adds an option for each field of a dataclass of whole numbers.

        Args:
            settings: the dataclass; its defaults are those of the options.
            help_texts: dict from its fields to help.
        """
        for field in dataclasses.fields(settings):
            self.add_argument(
                f"--{field.name}", type=int, default=field.default, help=help_texts[field.name]
            )

    def add_processes(self, default):
        """Adds `--processes`, for commands that can train runs side by side."""
        self.add_argument(
            "--processes",
            type=int,
            default=default,
            help="runs to train side by side, each with its share of the processors (%(default)s)",
        )

    def parse_args(self, *arguments):
        """The arguments. If a path cannot be written to, the process ends with code 2."""
        parsed = super().parse_args(*arguments)
        try:
            for name in ("output", "runs"):
                path = getattr(parsed, name, None)
                if isinstance(path, str | Path):
                    check_file(f"--{name}", path)
        except ConfigError as error:
            complain(self.prog, error)
            self.exit(error.exit_code)
        return parsed

    def error(self, message):
        """Ends the process and prints the mistake in one line, without the usage."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; --help lists the arguments\n")
