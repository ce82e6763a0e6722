"""The command: trains a light net with its booster and exports the light net.

python -m rocket_tf.main --config=configs/digits.py --workdir=runs/digits
"""

import re
import sys
from pathlib import Path

import ml_collections
from absl import app, flags
from absl import logging as absl_logging
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
    sys_argv=[],  # overrides are parsed here, by the fields' own rules
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
                f"{options.shortened(argv[1])}: not a flag; flags begin with --, as in "
                "--config=digits"
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
    config = _CONFIG.value
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
        data_dir = _CONFIG.value["data_dir"]
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
    """Parses the command line; a mistake ends the process with one line and exit code 2.

    Args:
        argv: list of the program's name and its arguments.

    Returns:
        The program's name and the arguments that are no flags. The flag `config` holds the
        configuration, overridden and checked, as a dict.
    """
    absl_logging.set_verbosity(absl_logging.ERROR)  # its warnings would be further lines
    try:
        arguments, overrides = _parted(_with_flag_files(argv[1:]))
        overrides = {name: options.parse_override(name, text) for name, text in overrides}
        # Asked for known flags alone, for absl compares others with all it knows, at any length.
        arguments = flags.FLAGS([argv[0], *arguments], known_only=True)
        _check_unknown(arguments)
        times = flags.FLAGS["config"].present
        if times > 1:
            raise options.ConfigError(f"--config: given {times} times, expected once")
        if times:
            flags.FLAGS["config"].value = _config(overrides)
        elif overrides and len(arguments) == 1:
            raise options.ConfigError(
                f"--config: missing; expected the configuration that --config.{min(overrides)} "
                "overrides, such as --config=digits"
            )
        return arguments
    except flags.IllegalFlagValueError as error:
        if str(error).startswith("flag --config="):
            # ml_collections wraps what the file raises, and absl what ml_collections raises.
            cause = error.__context__
            message = _message_of_file(cause.__context__ or cause)
        else:
            message = str(error).removeprefix("flag ")
    except (flags.Error, ValueError) as error:
        message = str(error)
    except Exception as error:  # whatever the configuration file raises
        message = _message_of_file(error)
    sys.exit(_fail(message, _USAGE_ERROR))


def _check_unknown(arguments):
    """Checks that no flag is among the arguments that are left, and takes away what ended them."""
    if arguments[1:2] == ["--"]:
        del arguments[1]
        return
    match = re.match("--?([^=-][^=]*)", "".join(arguments[1:2]))
    if match:
        message = f"{options.shortened(match[0])}: no such flag"
        if match[1] in options.FIELDS:
            message += f"; did you mean --config.{match[1]}?"
        raise options.ConfigError(message)


def _config(overrides):
    """The configuration of the flag `config` with its overrides, checked; a dict."""
    path, _ = _path_and_method(flags.FLAGS["config"].config_filename)
    if not Path(path).is_file():
        raise options.ConfigError(
            f"--config: got {options.shortened(path)}, expected the path of a configuration file, "
            f"or one of {', '.join(ready_configs.paths())}; there is no such file"
        )
    try:
        config = _CONFIG.value
        if not isinstance(config, dict | ml_collections.ConfigDict):
            # Asked for anything, what stands for a file that cannot be read raises why.
            getattr(config, "keys", None)
            raise options.ConfigError(
                f"--config: get_config() of {options.shortened(path)} gives "
                f"{type(config).__name__}, expected a configuration, such as "
                "rocket_tf.config.default()"
            )
        config = dict(config) | overrides
    except Exception as error:  # whatever the objects of the configuration file raise
        raise options.ConfigError(_message_of_file(error)) from error
    options.check(config)
    return config


def _message_of_file(error):
    """What to say of an exception that a configuration file has raised."""
    if isinstance(error, options.ConfigError):
        return str(error)
    unknown = re.search(r'Key "(.*?)" does not exist', str(error), re.DOTALL)
    if unknown:
        return options.unknown_field_message(unknown[1])
    wrong = re.search(r"Could not override field '(\w+)'", str(error))
    if wrong and wrong[1] in options.FIELDS:
        return (
            f"config.{wrong[1]}: expected {options.FIELDS[wrong[1]].expected} "
            f"({options.shortened(str(error))})"
        )
    return f"--config: cannot be loaded ({type(error).__name__}): {options.shortened(str(error))}"


def _path_and_method(value):
    """The parts of --config: the file, and the method after the colon, empty if there is none."""
    path, _, method = value.partition(":")
    return path, method


def _with_path(value):
    """The value of --config, with the path of a configuration that is given by its name alone."""
    name, _ = _path_and_method(value)
    ready = ready_configs.paths()
    if name in ready and not Path(name).exists():
        return f"{ready[name]}{value.removeprefix(name)}"
    return value


def _with_flag_files(arguments):
    """The arguments, with those that --flagfile names in its place."""
    try:
        return flags.FLAGS.read_flags_from_files(arguments, force_gnu=False)
    except (flags.Error, UnicodeError) as error:
        raise options.ConfigError(f"--flagfile: cannot be read ({error})") from error


def _parted(argv):
    """The arguments without the overrides of fields; the overrides, each as its name and text."""
    rest, overrides = [], []
    arguments = iter(argv)
    for argument in arguments:
        if argument in ("--config", "-config"):
            value = next(arguments, None)
            rest.append(argument if value is None else f"--config={_with_path(value)}")
            continue
        if re.match("--?config=", argument):
            rest.append(f"--config={_with_path(argument.partition('=')[2])}")
            continue
        match = re.fullmatch(r"--?(no)?config\.([^=]*)(?:=(.*))?", argument, re.DOTALL)
        if match is None:
            rest.append(argument)
            if argument == "--":
                rest.extend(arguments)  # what follows are no flags
            continue
        negated, name, text = match.groups()
        if negated and text is not None:
            raise options.ConfigError(
                f"--noconfig.{options.shortened(name)}: takes no value; leave it out"
            )
        if negated:
            text = "False"
        elif text is None:
            switch = isinstance(getattr(options.FIELDS.get(name), "default", None), bool)
            text = "True" if switch else next(arguments, "")
        overrides.append((name, text))
    return rest, overrides


def _fail(message, code):
    """Prints a message as one line; returns the code."""
    line = " ".join(str(message).split())
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    print("rocket_tf: " + line, file=sys.stderr)
    return code


def run():
    """Entry point of the console command."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
