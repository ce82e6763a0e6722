"""Kills runs at random instants and damages their checkpoints; each must end as if nothing was.

    rocket-tf interruptions --output=results/interruptions.json

A run of the command that nothing disturbs is the measure. Then, again and again, the same run is
killed (SIGKILL), every other time while a checkpoint is being written, and started again; and the
newest checkpoint of a killed run is damaged (cut off, bytes flipped, a file taken away) before it
is started again. Weights, optimizer, metrics and summary at the end are compared bit for bit.
Exit code 1 if one differs.
"""

from pathlib import Path

from rocket_tf.commands import Parser, as_called
from rocket_tf.errors import ConfigError
from rocket_tf.studies.interruptions import disturb
from rocket_tf.system import files
from rocket_tf.system.answering import answer
from rocket_tf.system.startup import load_tensorflow_quietly


def main(argv=None):
    """Disturbs runs, prints what came of it, and writes it; returns the process's exit code."""
    parser = Parser("interruptions", __doc__)
    parser.add_argument("--kills", type=int, default=20, help="runs to kill")
    parser.add_argument("--damages", type=int, default=10, help="checkpoints to damage")
    parser.add_argument("--seed", type=int, default=0, help="of instants, damages and places")
    parser.add_argument("--output", type=Path, help="JSON file to write; without it, print only")
    arguments = parser.parse_args(argv)
    return answer("interruptions", lambda: _interrupt(arguments))


def _interrupt(arguments):
    if min(arguments.kills, arguments.damages) < 0:
        raise ConfigError("--kills, --damages: expected numbers of at least 0")
    load_tensorflow_quietly()
    report = disturb(arguments.kills, arguments.damages, arguments.seed)
    if arguments.output:
        command = (
            f"{as_called('interruptions')} --kills={arguments.kills} "
            f"--damages={arguments.damages} --seed={arguments.seed}"
        )
        files.write_json(arguments.output, {"command": command, **report})
    return 0 if report["same"] == len(report["trials"]) else 1
