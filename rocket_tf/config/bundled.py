"""The bundled configurations, in a clone or in an installed package, by name."""

import ast
import difflib
import importlib.util
import re
import traceback
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config import own_code
from rocket_tf.errors import ConfigError
from rocket_tf.system.startup import load_tensorflow_quietly


def paths():
    """Dict from names, such as "cifar10", to the paths of the configuration files."""
    package = Path(__file__).parents[1]
    for folder in (package / "configs", package.parent / "configs"):
        configs = {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}
        if configs:
            return configs
    return {}


def summaries():
    """Dict from the names to a line about each configuration, without running any."""
    return {
        name: ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
        for name, path in paths().items()
    }


def load(name, method="rocket"):
    """A configuration by its name, as a `ConfigDict` of one of `methods.METHODS`."""
    return _module(name, paths()[name]).get_config(method)


def load_file(text):
    """A rocket's configuration, from a configuration file or from a bundled one.

    Args:
        text: the file's path, or a name of `paths`. Functions that the file defines, such as
            `build_nets`, are part of the configuration.

    Raises:
        ConfigError: if there is no such file, or it does not return a configuration.
    """
    path = Path(paths().get(text, text)) if not Path(text).is_file() else Path(text)
    if not path.is_file():
        raise ConfigError(missing_message(text))
    code_fields = own_code.fields_of(path)
    if code_fields:
        load_tensorflow_quietly()  # before the file loads it
    try:
        with own_code.exits_answered("--config", __file__):
            return options.with_plain(dict(_module(path.stem, path).get_config()) | code_fields)
    except Exception as error:  # the file may raise anything
        raise ConfigError(message_of_file(error, __file__)) from error


def missing_message(text):
    """The message for a --config that is neither a file nor a name of `paths`."""
    near = difflib.get_close_matches(Path(text).stem, paths(), n=1)
    found = "this is a folder" if Path(text).is_dir() else "there is no such file"
    return (
        f"--config: got {options.shortened(text)}, expected the path of a configuration file, or "
        f"one of {', '.join(paths())}; {found}" + (f"; did you mean {near[0]}?" if near else "")
    )


def message_of_file(error, loader):
    """The message for an exception of a configuration file, in one line.

    Args:
        error: the exception.
        loader: path of the Python file that has run the configuration file.
    """
    if isinstance(error, ConfigError):
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
    message, where = options.shortened(str(error)), _line_in_file(error, loader)
    return f"--config: cannot be loaded ({type(error).__name__}): {message}{where}"


def _line_in_file(error, loader):
    """The place in the configuration file where an exception came from, to end its message."""
    frames = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    loaders = [index for index, (name, _) in enumerate(frames) if name == loader]
    # Python's own files that import it are called <frozen …>.
    file_frames = [
        frame for frame in frames[max(loaders, default=len(frames)) + 1 :] if frame[0][0] != "<"
    ]
    lines = [line for name, line in file_frames if name == file_frames[0][0]]
    return f" ({options.shortened(file_frames[0][0])}:{lines[-1]})" if lines else ""


def _module(name, path):
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
