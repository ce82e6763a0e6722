"""The command `rocket-tf`: training, and all other commands by their names.

    rocket-tf --config=digits --workdir=runs/digits
    rocket-tf export --workdir=runs/digits

From a clone, `python -m rocket_tf.main` is the same.
"""

import difflib
import sys

import rocket_tf
from rocket_tf import commands
from rocket_tf.config import bundled
from rocket_tf.errors import ConfigError
from rocket_tf.system.answering import answer


def main(argv=None):
    """Runs the command that the arguments name, by default training; returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    first = argv[0] if argv else "--"
    if first in ("--help", "-h"):
        return answer("rocket_tf", _help)
    if first == "--version":
        return answer("rocket_tf", lambda: print(f"rocket_tf {rocket_tf.__version__}"))
    if first.startswith("-"):
        return commands.load("train").main(argv)
    name = first.replace("_", "-")
    if name not in commands.COMMANDS:
        return answer("rocket_tf", lambda: _refuse(name))
    return commands.load(name).main(argv[1:])


def _help():
    print("rocket-tf <command> …, and rocket-tf --config=… for rocket-tf train --config=…\n")
    print("Commands:")
    for name in commands.COMMANDS:
        print(f"  {name:<20}{commands.summary(name)}")
    print("\nConfigurations, as in --config=digits:")
    for name, summary in bundled.summaries().items():
        print(f"  {name:<20}{summary}")
    print("\nrocket-tf <command> --help says more; rocket-tf --version prints the version.")


def _refuse(name):
    near = difflib.get_close_matches(name, commands.COMMANDS, n=1, cutoff=0)
    shown = name if len(name) <= 40 else f"{name[:40]}…"
    raise ConfigError(f"{shown}: no such command; did you mean {near[0]}? --help lists all")


def run():
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
