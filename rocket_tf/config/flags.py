"""The command line of the main command: its flags, and the configuration that they give."""

import difflib
import re
from pathlib import Path

import ml_collections
from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.config import own_code
from rocket_tf.config.configuration import shortened
from rocket_tf.errors import ConfigError
from rocket_tf.system.startup import load_tensorflow_quietly

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Configuration file, or the name of a bundled one. A method may follow after a colon, as in "
    "--config=cifar10:kd. Any field can be overridden, as in --config.epochs=20. A file may define "
    "its own nets, hints, losses and callbacks: docs/own_nets.md.",
    sys_argv=[],  # overrides are parsed here, by the fields' own rules
)
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run. Default: runs/<configuration>, or <configuration>_<method>.",
)
_LOADER = config_flags.config_flags.__file__  # which runs the file
EVALUATE_ONLY = flags.DEFINE_bool(
    "evaluate_only", False, "Evaluate the finished run in --workdir instead of training."
)


def parse_flags(argv):
    """Parses the command line of a training.

    Args:
        argv: list of the program's name and its arguments.

    Returns:
        The program's name and the arguments that are not flags. The flag `config` holds the
        configuration as a dict, overridden and checked without its data.

    Raises:
        ConfigError: if the command line is wrong.
    """
    absl_logging.set_verbosity(absl_logging.ERROR)  # its warnings would be further lines
    try:
        with own_code.exits_answered("--config", _LOADER):
            return _parse_flags(argv)
    except flags.IllegalFlagValueError as error:
        if str(error).startswith("flag --config="):
            # ml_collections wraps what the file raises, and absl what ml_collections raises.
            cause = error.__context__
            raise ConfigError(_message_of_file(cause.__context__ or cause)) from error
        raise ConfigError(str(error).removeprefix("flag ")) from error
    except (flags.Error, ValueError) as error:
        raise ConfigError(str(error)) from error
    except Exception as error:  # the configuration file may raise anything
        raise ConfigError(_message_of_file(error)) from error


def _parse_flags(argv):
    _check_values(argv[1:])
    arguments = _with_flag_files(argv[1:])
    _check_values(arguments)
    arguments, overrides = _split_overrides(arguments)
    overrides = {name: options.parse_override(name, text) for name, text in overrides}
    # Only for known flags: absl compares unknown ones, of any length, with all that it knows.
    _prepare_for_own_code(arguments)
    arguments = flags.FLAGS([argv[0], *arguments], known_only=True)
    _check_unknown(arguments)
    for name in ("config", "workdir"):
        if flags.FLAGS[name].present > 1:
            raise ConfigError(f"--{name}: given {flags.FLAGS[name].present} times, expected once")
    if flags.FLAGS["config"].present:
        flags.FLAGS["config"].value = _config(overrides)
    elif overrides and len(arguments) == 1:
        raise ConfigError(
            f"--config: missing; expected the configuration that --config.{min(overrides)} "
            "overrides, such as --config=digits"
        )
    return arguments


def describe_flags():
    """The flags of a training with their help, as text."""
    shown = (CONFIG, WORKDIR, EVALUATE_ONLY)
    return "\n".join(f"--{flag.name}: {flags.FLAGS[flag.name].help}" for flag in shown)


def config_name():
    """The name of the configuration in --config, with its method if there is one."""
    path, method = _path_and_method(flags.FLAGS["config"].config_filename)
    return "_".join([Path(path).stem, *filter(None, [method])])


def _prepare_for_own_code(arguments):
    """Loads TensorFlow, without its output, before a file with its own functions does."""
    for argument in arguments:
        path, _ = _path_and_method(argument.removeprefix("--config="))
        if argument.startswith("--config=") and Path(path).is_file() and own_code.fields_of(path):
            load_tensorflow_quietly()


def _check_unknown(arguments):
    """Checks that no flag is among the remaining arguments, and removes the "--" before them."""
    if arguments[1:2] == ["--"]:
        del arguments[1]
        return
    match = re.match("--?([^=-][^=]*)", "".join(arguments[1:2]))
    if match:
        message = f"{shortened(match[0])}: no such flag"
        near = difflib.get_close_matches(match[1][:40], ("config", "workdir", "evaluate_only"), n=1)
        if match[1] in options.FIELDS:
            near = [f"config.{match[1]}"]
        message += f"; did you mean --{near[0]}?" if near else "; --help lists all"
        raise ConfigError(message)


def _config(overrides):
    """The configuration of the flag `config` with its overrides, its fields checked; a dict."""
    path, _ = _path_and_method(flags.FLAGS["config"].config_filename)
    if not Path(path).is_file():
        raise ConfigError(ready_configs.missing_message(path))
    try:
        config = CONFIG.value
        if not isinstance(config, dict | ml_collections.ConfigDict):
            # The placeholder for a file that cannot be read raises the reason on any access.
            getattr(config, "keys", None)
            raise ConfigError(
                f"--config: get_config() of {shortened(path)} gives "
                f"{type(config).__name__}, expected a configuration, such as "
                "rocket_tf.config.default()"
            )
        config = dict(config) | own_code.fields_of(path)
        config = options.with_plain(config | options.with_named(config, overrides))
    except Exception as error:  # the configuration file's objects may raise anything
        raise ConfigError(_message_of_file(error)) from error
    options.check_fields(config)
    return config


def _message_of_file(error):
    """The message for an exception of the file in --config."""
    return ready_configs.message_of_file(error, _LOADER)


def _path_and_method(value):
    """The parts of --config: the file, and the method after the colon, empty if there is none."""
    path, _, method = value.partition(":")
    return path, method


def _with_path(value):
    """The value of --config, with a bundled configuration's name replaced by its path."""
    name, _ = _path_and_method(value)
    ready = ready_configs.paths()
    if name in ready and not Path(name).exists():
        return f"{ready[name]}{value.removeprefix(name)}"
    return value


def _with_flag_files(arguments):
    """The arguments, with --flagfile replaced by its contents."""
    try:
        return flags.FLAGS.read_flags_from_files(arguments, force_gnu=False)
    except (flags.Error, UnicodeError) as error:
        raise ConfigError(f"--flagfile: cannot be read ({error})") from error


def _check_values(arguments):
    """Checks that each flag that takes a value has one, and not the next flag."""
    for following, argument in enumerate(arguments, 1):
        if argument == "--":
            return
        match = re.fullmatch(r"--?([^=]+)", argument)
        if match is None or not _takes_value(match[1]):
            continue
        value = arguments[following] if following < len(arguments) else None
        if value is None or re.match("--?[A-Za-z]|--$", value):
            problem = "nothing follows" if value is None else f"{shortened(value)} follows"
            name = shortened(match[1])
            raise ConfigError(f"--{name}: has no value ({problem}); give one, as in --{name}=…")


def _takes_value(name):
    """Whether a flag, given without =, has its value in the next argument."""
    if name.startswith("config."):
        name = name.removeprefix("config.")
        field = options.FIELDS.get(name.partition(".")[0])
        return field is not None and not isinstance(field.default, bool)
    return name in flags.FLAGS and not flags.FLAGS[name].boolean


def _split_overrides(argv):
    """The arguments without the overrides of fields; the overrides, each as its name and text."""
    remaining, overrides = [], []
    arguments = iter(argv)
    for argument in arguments:
        if argument in ("--config", "-config"):
            value = next(arguments, None)
            remaining.append(argument if value is None else f"--config={_with_path(value)}")
            continue
        if re.match("--?config=", argument):
            remaining.append(f"--config={_with_path(argument.partition('=')[2])}")
            continue
        match = re.fullmatch(r"--?(no)?config\.([^=]*)(?:=(.*))?", argument, re.DOTALL)
        if match is None:
            remaining.append(argument)
            if argument == "--":
                remaining.extend(arguments)  # no flags follow
            continue
        negated, name, text = match.groups()
        if negated and text is not None:
            raise ConfigError(f"--noconfig.{shortened(name)}: takes no value; leave it out")
        if negated:
            text = "False"
        elif text is None:
            switch = isinstance(getattr(options.FIELDS.get(name), "default", None), bool)
            text = "True" if switch else next(arguments, "")
        overrides.append((name, text))
    return remaining, overrides
