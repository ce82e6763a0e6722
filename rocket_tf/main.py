"""The command: trains a light net with its booster and exports the light net.

python -m rocket_tf.main --config=configs/digits.py --workdir=runs/digits
"""

from absl import app

from rocket_tf import config as options
from rocket_tf.config.flags import (
    CONFIG,
    EVALUATE_ONLY,
    USAGE_ERROR,
    WORKDIR,
    config_name,
    fail,
    parse_flags,
)
from rocket_tf.distribution.cluster import read_cluster
from rocket_tf.errors import ConfigError, WorkerLostError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs.folder import RunFolder
from rocket_tf.system.startup import load_tensorflow_quietly

_RUN_ERROR = 1
_INTERRUPTED = 130
_PREEMPTED = 143  # as of a process that SIGTERM ended; schedulers take it as one to start again
_WORKER_LOST = 138  # which Kubernetes' training operator takes so, too


def main(argv):
    """Runs what the flags say; returns the process's exit code."""
    try:
        if len(argv) > 1:
            raise ConfigError(
                f"{options.shortened(argv[1])}: not a flag; flags begin with --, as in "
                "--config=digits"
            )
        return _evaluate() if EVALUATE_ONLY.value else _train()
    except ConfigError as error:
        return fail(error, USAGE_ERROR)
    except OSError as error:
        return fail(error, _RUN_ERROR)
    except KeyboardInterrupt:
        return fail("interrupted; the same command resumes from the last epoch", _INTERRUPTED)


def _train():
    if CONFIG.value is None:
        raise ConfigError(
            "--config: missing; expected a configuration file, or the name of one that comes "
            "along, such as --config=digits"
        )
    config = CONFIG.value
    workdir = WORKDIR.value or f"runs/{config_name()}"
    data = options.check(config)
    folder = RunFolder(workdir)
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
    data_dir, data = "", None
    if CONFIG.value is not None:
        data = options.check(CONFIG.value)
        folder.check(CONFIG.value, data)
        data_dir = CONFIG.value["data_dir"]
    folder.read_config()
    read_cluster()
    print(f"Evaluating the run in {folder.path} again")
    return _run(lambda train: train.evaluate(folder.path, data_dir, data), folder.path)


def _run(work, workdir):
    """Does the work, given the module `rocket_tf.train`, and prints the table of its summary."""
    cluster = read_cluster()
    if not cluster.is_chief:
        print(f"This is {cluster.describe()}; the chief, {cluster.addresses[0]}, tells the rest")
    print("Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    from rocket_tf import train
    from rocket_tf.errors import (
        CheckpointError,
        DataUnavailableError,
        NonFiniteLossError,
        Preempted,
    )

    try:
        summary = work(train)
    except (CheckpointError, DataUnavailableError, NonFiniteLossError) as error:
        return fail(error, _RUN_ERROR)
    except Preempted as error:
        return fail(
            f"SIGTERM: saved after {error}; the same command goes on from there", _PREEMPTED
        )
    except WorkerLostError as error:
        return fail(f"{error}; the same commands go on from the last checkpoint", _WORKER_LOST)
    if cluster.is_chief:
        print(closing_table(summary, workdir))
    return 0


def run():
    """Entry point of the console command."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
