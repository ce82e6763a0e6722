"""Trains a light net with its booster, and exports the light net.

    rocket-tf train --config=digits --workdir=runs/digits
    rocket-tf train --workdir=runs/digits --evaluate_only

`train` may be left out. An interrupted run goes on; a finished one says that it is finished.
"""

import sys

from absl import app

from rocket_tf import config as options
from rocket_tf.config.configuration import shortened
from rocket_tf.config.flags import (
    CONFIG,
    EVALUATE_ONLY,
    WORKDIR,
    config_name,
    describe_flags,
    parse_flags,
)
from rocket_tf.distribution.cluster import read_cluster
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.starts import prepared
from rocket_tf.system.answering import answer
from rocket_tf.system.startup import load_tensorflow_quietly


def main(argv=None):
    """Trains, or evaluates, as the arguments say; returns the process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if {"--help", "-h", "-help"} & set(argv):
        print(f"{__doc__}\n{describe_flags()}")
        return 0

    def work():
        try:
            app.run(do, ["rocket-tf", *argv], flags_parser=parse_flags)
        except SystemExit as end:  # as absl ends every program
            return end.code

    return answer("rocket_tf", work, interrupted="the same command resumes from the last epoch")


def do(arguments):
    """Does what the parsed flags say; returns the process's exit code.

    Args:
        arguments: the program's name, and arguments that are not flags.

    Raises:
        ConfigError: if there are such arguments, or the flags cannot be followed.
    """
    if len(arguments) > 1:
        raise ConfigError(
            f"{shortened(arguments[1])}: not a flag; flags begin with --, as in --config=digits"
        )
    return _evaluate() if EVALUATE_ONLY.value else _train()


def _train():
    if CONFIG.value is None:
        raise ConfigError(
            "--config: missing; expected a configuration file, or the name of a bundled one, such "
            "as --config=digits"
        )
    workdir = WORKDIR.value or f"runs/{config_name()}"
    folder = RunFolder(workdir)
    config = prepared(CONFIG.value, folder)
    data = options.check(config)
    folder.check(config, data)
    read_cluster()
    summary = folder.read_summary_of(config)
    if summary is not None:
        print(f"The run in {workdir} is finished.")
        print(closing_table(summary, workdir))
        return 0
    return _run(lambda train: train.train_and_evaluate(config, workdir, data=data), workdir)


def _evaluate():
    if WORKDIR.value is None:
        raise ConfigError("--workdir: missing; expected the folder of a finished run")
    folder = RunFolder(WORKDIR.value)
    data_dir = data_path = ""
    data = None
    if CONFIG.value is not None:
        config = prepared(CONFIG.value, folder)
        known = folder.known_data(config) if folder.holds_run() else None
        data = options.check(config, known)
        folder.check(config, data)
        data_dir, data_path = config["data_dir"], config["data_path"]
    folder.read_config()
    read_cluster()
    print(f"Evaluating the run in {folder.path} again")
    return _run(
        lambda train: train.evaluate(folder.path, data_dir, data, data_path=data_path), folder.path
    )


def _run(work, workdir):
    """Does the work, given the module `rocket_tf.train`, and prints the table of its summary."""
    cluster = read_cluster()
    if not cluster.is_chief:
        print(f"This is {cluster.describe()}; the chief, {cluster.addresses[0]}, prints the rest")
    print("Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    from rocket_tf import train

    summary = work(train)
    if cluster.is_chief:
        print(closing_table(summary, workdir))
    return 0
