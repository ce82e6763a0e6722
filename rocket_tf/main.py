"""The command: trains a light net with its booster and exports the light net.

python -m rocket_tf.main --config=configs/digits.py --workdir=runs/digits
"""

import re
import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from rocket_tf import config as options
from rocket_tf import ready_configs
from rocket_tf.cluster import WorkerLostError, read_cluster
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.run_folder import RunFolder
from rocket_tf.startup import load_tensorflow_quietly

_USAGE_ERROR = 2
_RUN_ERROR = 1
_INTERRUPTED = 130
_PREEMPTED = 143  # as of a process that SIGTERM ended; schedulers take it as one to start again
_WORKER_LOST = 138  # which Kubernetes' training operator takes so, too

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Configuration file, or the name of one that comes along; a method may follow a colon, as "
    "--config=cifar10:kd. Any field can be overridden, as --config.epochs=20.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run. Default: runs/<configuration>, or <configuration>_<method>.",
)
_EVALUATE_ONLY = flags.DEFINE_bool(
    "evaluate_only", False, "Evaluate the finished run in --workdir instead of training."
)


def main(argv):
    """Runs what the flags say; returns the process's exit code."""
    try:
        if len(argv) > 1:
            raise options.ConfigError(
                f"{argv[1]}: not a flag; flags begin with --, as in --config=digits"
            )
        return _evaluate() if _EVALUATE_ONLY.value else _train()
    except options.ConfigError as error:
        return _fail(error, _USAGE_ERROR)
    except OSError as error:
        return _fail(error, _RUN_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command resumes from the last epoch", _INTERRUPTED)


def _train():
    if _CONFIG.value is None:
        raise options.ConfigError(
            "--config: missing; expected a configuration file, or the name of one that comes "
            "along, such as --config=digits"
        )
    config = dict(_CONFIG.value)
    options.check(config)
    path, method = _path_and_method(flags.FLAGS["config"].config_filename)
    workdir = _WORKDIR.value or "runs/" + "_".join([Path(path).stem, *filter(None, [method])])
    folder = RunFolder(workdir)
    folder.check(config)
    read_cluster()
    summary = folder.read_summary_of(config)
    if summary is not None:
        print(f"The run in {workdir} is finished.")
        print(closing_table(summary, workdir))
        return 0
    return _run(lambda train: train.train_and_evaluate(config, workdir), workdir)


def _evaluate():
    if _WORKDIR.value is None:
        raise options.ConfigError("--workdir: missing; expected the folder of a finished run")
    folder = RunFolder(_WORKDIR.value)
    data_dir = ""
    if _CONFIG.value is not None:
        folder.check(_CONFIG.value)
        data_dir = _CONFIG.value.data_dir
    folder.read_config()
    read_cluster()
    print(f"Evaluating the run in {folder.path} again")
    return _run(lambda train: train.evaluate(folder.path, data_dir), folder.path)


def _run(work, workdir):
    """Does the work, given the module `rocket_tf.train`, and prints the table of its summary."""
    cluster = read_cluster()
    if not cluster.is_chief:
        print(f"This is {cluster.describe()}; the chief, {cluster.addresses[0]}, tells the rest")
    print("Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    from rocket_tf import train
    from rocket_tf.callbacks import NonFiniteLossError, Preempted
    from rocket_tf.checkpoint import CheckpointError
    from rocket_tf.data.images import DataUnavailableError

    try:
        summary = work(train)
    except (CheckpointError, DataUnavailableError, NonFiniteLossError) as error:
        return _fail(error, _RUN_ERROR)
    except Preempted as error:
        return _fail(
            f"SIGTERM: saved after {error}; the same command goes on from there", _PREEMPTED
        )
    except WorkerLostError as error:
        return _fail(f"{error}; the same commands go on from the last checkpoint", _WORKER_LOST)
    if cluster.is_chief:
        print(closing_table(summary, workdir))
    return 0


def parse_flags(argv):
    """Parses the command line; a mistake ends the process with one line and exit code 2."""
    try:
        argv = [_with_path(argument) for argument in argv]
        for name, text in _overrides(argv):
            options.parse_override(name, text)
        arguments = flags.FLAGS(argv)
        if flags.FLAGS["config"].present:
            path, _ = _path_and_method(flags.FLAGS["config"].config_filename)
            if not Path(path).is_file():
                raise options.ConfigError(
                    f"--config: got {path}, expected the path of a configuration file, or one of "
                    f"{', '.join(ready_configs.paths())}; there is no such file"
                )
            dict(_CONFIG.value)  # a file that cannot be loaded shows when it is read
        return arguments
    except flags.UnrecognizedFlagError as error:
        message = f"--{error.flagname}: no such flag"
        if error.flagname in options.FIELDS:
            message += f"; did you mean --config.{error.flagname}?"
    except (flags.Error, options.ConfigError) as error:
        message = str(error)
        if "Traceback" in message:  # what the configuration file raised
            kind, _, message = message.strip().splitlines()[-1].partition(": ")
            if not kind.endswith("ConfigError"):
                message = f"--config: cannot be loaded ({kind}): {message}"
    except Exception as error:  # whatever the configuration file raises
        unknown = re.search(r'Key "(\w+)" does not exist', str(error))
        message = (
            options.unknown_field_message(unknown[1])
            if unknown
            else f"--config: cannot be loaded ({type(error).__name__}): {error}"
        )
    sys.exit(_fail(message, _USAGE_ERROR))


def _path_and_method(value):
    """The parts of --config: the file, and the method after the colon, empty if there is none."""
    path, _, method = value.partition(":")
    return path, method


def _with_path(argument):
    """The argument, with the path of a configuration that is given by its name alone."""
    flag, _, value = argument.partition("=")
    name, _ = _path_and_method(value)
    ready = ready_configs.paths()
    if flag in ("--config", "-config") and not Path(name).exists() and name in ready:
        return f"{flag}={ready[name]}{value.removeprefix(name)}"
    return argument


def _overrides(argv):
    """The fields that the command line overrides, each with its text."""
    arguments = iter(argv[1:])
    for argument in arguments:
        match = re.fullmatch(r"--?(no)?config\.([^=]+)(?:=(.*))?", argument, re.DOTALL)
        if match is None:
            continue
        negated, name, text = match.groups()
        if negated:
            yield name, "False"
        elif text is not None:
            yield name, text
        elif isinstance(getattr(options.FIELDS.get(name), "default", None), bool):
            yield name, "True"
        else:
            yield name, next(arguments, "")


def _fail(message, code):
    print("rocket_tf: " + " ".join(str(message).split()), file=sys.stderr)
    return code


def run():
    """Entry point of the console command."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
