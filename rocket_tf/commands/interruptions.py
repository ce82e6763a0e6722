"""Kills runs at random instants and damages their checkpoints; all must end as if undisturbed.

    rocket-tf interruptions --output=results/interruptions.json
    rocket-tf interruptions --kills=80 --exports=10 --evaluations=10
    rocket-tf interruptions --config=clicks --set=epochs=3 --set=hash_buckets=1000000

An undisturbed run of the command is the reference. The same run is then killed (SIGKILL) and
started again many times, every other time while a checkpoint is being written. In other trials, the
newest checkpoint of a killed run is damaged (cut off, bytes flipped, a file removed) before the run
is started again. Further runs are killed while the light net is exported, and while an epoch is
evaluated. Weights, optimizer, metrics and summary at the end are compared bit for bit. The exit
code is 1 if one differs.
"""

import shlex
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.commands import Parser, as_called
from rocket_tf.errors import ConfigError
from rocket_tf.studies.interruptions import RUN, disturb
from rocket_tf.system import files
from rocket_tf.system.answering import answer
from rocket_tf.system.startup import load_tensorflow_quietly

_NUMBERS = ("kills", "exports", "evaluations", "damages")


def main(argv=None):
    """Disturbs runs, prints and writes the outcome; returns the process's exit code."""
    parser = Parser("interruptions", __doc__)
    parser.add_argument("--kills", type=int, default=20, help="runs to kill")
    parser.add_argument("--exports", type=int, default=0, help="more to kill in an export")
    parser.add_argument("--evaluations", type=int, default=0, help="more to kill in an evaluation")
    parser.add_argument("--damages", type=int, default=10, help="checkpoints to damage")
    parser.add_argument("--seed", type=int, default=0, help="seed of instants, damages and places")
    parser.add_argument("--config", help="configuration of the run (a small one of the digits)")
    parser.add_argument(
        "--set", action="append", default=[], help="any field, as --set=epochs=3, with --config"
    )
    parser.add_argument("--output", type=Path, help="JSON file to write; without it, print only")
    arguments = parser.parse_args(argv)
    return answer("interruptions", lambda: _interrupt(arguments))


def _interrupt(arguments):
    numbers = {name: getattr(arguments, name) for name in _NUMBERS}
    if min(numbers.values()) < 0:
        raise ConfigError(f"--{', --'.join(numbers)}: expected numbers of at least 0")
    run = _run(arguments)
    load_tensorflow_quietly()
    in_phases = {"export": arguments.exports, "evaluation": arguments.evaluations}
    report = disturb(
        arguments.kills, arguments.damages, arguments.seed, run=run, in_phases=in_phases
    )
    if arguments.output:
        argv = [f"--{name}={number}" for name, number in numbers.items()]
        argv += [] if arguments.config is None else [f"--config={arguments.config}"]
        argv += [f"--set={text}" for text in arguments.set]
        argv.append(f"--seed={arguments.seed}")
        command = f"{as_called('interruptions')} {shlex.join(argv)}"
        files.write_json(arguments.output, {"command": command, **report})
    return 0 if report["same"] == len(report["trials"]) else 1


def _run(arguments):
    """The run, as flags of the training's command, with a checkpoint at every step."""
    if arguments.config is None:
        if arguments.set:
            raise ConfigError("--set: needs --config, such as --config=digits")
        return RUN
    options.parse_overrides(arguments.set)
    fields = [f"--config.{text}" for text in arguments.set]
    return [
        f"--config={arguments.config}",
        "--config.pictures=False",
        *fields,
        "--config.checkpoint_every_steps=1",
    ]
