"""What a configuration file may define beside `get_config`: nets, hints, losses and callbacks.

A run keeps a copy of the file, in which it finds these functions again. The module itself does not
import TensorFlow; the file may.
"""

import ast
import contextlib
import hashlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path

from rocket_tf.config.field_types import Field, path
from rocket_tf.config.read_by import OWN_CODE
from rocket_tf.errors import ConfigError, RocketError

FUNCTIONS = ("build_nets", "build_hints", "build_losses", "build_callbacks")

FIELDS = {
    "own_functions": Field(
        (),
        "functions of own_code that build parts of the run; a configuration file that defines some "
        "sets this field, and own_code to itself; (): none",
        "some of " + ", ".join(FUNCTIONS),
        lambda values: all(values.count(value) == 1 and value in FUNCTIONS for value in values),
    ),
    "own_code": path(
        "",
        "Python file with own_functions; the run's folder keeps a copy",
        read_by=OWN_CODE,
        changes_results=False,
    ),
    "own_code_sha256": Field(
        "",
        "SHA-256 of own_code, in hexadecimal digits; a file with another is refused",
        "64 hexadecimal digits, or nothing",
        lambda value: re.fullmatch("[0-9a-f]{64}|", value) is not None,
        read_by=OWN_CODE,
    ),
}


@contextlib.contextmanager
def exits_answered(what, loader):
    """A context that turns a `SystemExit` of the user's code into a `ConfigError`.

    Args:
        what: the option that names the code, such as "--config".
        loader: path of the Python file that runs the code. Exits that do not pass through it are
            not changed.
    """
    try:
        yield
    except SystemExit as error:
        frames = traceback.extract_tb(error.__traceback__)
        if all(frame.filename != loader for frame in frames):
            raise
        raise ConfigError(
            f"{what}: the file ends the process by sys.exit({_code_of(error)}) "
            f"({frames[-1].filename}:{frames[-1].lineno}); remove that, or raise an exception that "
            "says what is wrong"
        ) from None


def _code_of(exit):
    text = "" if exit.code is None else repr(exit.code)
    return text if len(text) <= 200 else f"{text[:200]}…"


def fields_of(file):
    """The `FIELDS` by which a run uses the functions that a configuration file defines.

    Args:
        file: path of a Python file.

    Returns:
        Dict of their values; empty if the file defines none.
    """
    source = Path(file).read_bytes()
    lines = _definitions(source)
    if not lines:
        return {}
    return {
        "own_functions": tuple(name for name in FUNCTIONS if name in lines),
        "own_code": str(file),
        "own_code_sha256": _digest(source),
    }


def read(config, copy):
    """The source of a configuration's own functions, from its file or a run's copy of it.

    Args:
        config: a checked configuration with `own_functions`.
        copy: path where the run's folder has its copy, if it has one.

    Returns:
        `(source, shown)`: bytes, and the path that messages name.

    Raises:
        ConfigError: if there is neither, or neither is the configuration's.
    """
    files = [file for file in (Path(config["own_code"]), Path(copy)) if file.is_file()]
    for candidate in files:
        source = candidate.read_bytes()
        if _digest(source) == config["own_code_sha256"]:
            return source, str(candidate)
    raise ConfigError(
        f"config.own_code: got {config['own_code']!r}, expected the file whose SHA-256 is "
        f"{config['own_code_sha256']}; "
        + ("it has changed: put that back, or start again" if files else "there is no such file")
    )


class OwnCode:
    """The user's own functions that a run uses.

    Args:
        config: a checked configuration with `own_functions`.
        copy: path where the run's folder has its copy of the file, if it has one.

    Raises:
        ConfigError: if the file is missing or changed, raises an exception, or lacks a function.
    """

    def __init__(self, config, copy):
        source, self._file = read(config, copy)
        self.functions = tuple(config["own_functions"])
        self._lines = _definitions(source)
        self._module = self._load(source)
        for name in self.functions:
            if not callable(getattr(self._module, name, None)):
                raise self.mistake(name, "is not a function")

    def call(self, name, data):
        """The result of a function for the run's data.

        Args:
            name: one of `functions`.
            data: the run's `rocket_tf.data.DataSet`.

        Raises:
            ConfigError: if it raises an exception.
        """
        with self.answering(f"{name}(data)"):
            return getattr(self._module, name)(data)

    def mistake(self, name, what):
        """The `ConfigError` for a mistake of a function, with the line that defines it.

        Args:
            name: one of `functions`.
            what: what is wrong, and how to fix it.
        """
        return ConfigError(f"{self._file}:{self._lines.get(name, 1)}: {name}(data) {what}")

    @contextlib.contextmanager
    def answering(self, doing, name=None):
        """A context that turns exceptions of the file into a `ConfigError` with its line.

        Args:
            doing: what is done, in words.
            name: one of `functions`, whose line is reported for other exceptions; `None`: these
                pass.
        """
        try:
            yield
        except (RocketError, OSError) as error:
            # Missing data, or a full disk, is not a mistake in the file.
            if isinstance(error, RocketError) or self._line_of(error) is None:
                raise
            raise self._answer(error, self._line_of(error), doing) from error
        except SystemExit as error:
            line = self._line_of(error)
            if line is None:
                raise
            raise self._answer(error, line, doing) from None
        except Exception as error:
            line = self._line_of(error)
            if line is None and name is not None:
                line = self._lines.get(name, 1)
            if line is None:
                raise
            raise self._answer(error, line, doing) from error

    def _answer(self, error, line, doing):
        text = re.sub(r"\x1b\[\d+m", "", str(error))  # Keras prints in bold
        problem = f"{type(error).__name__}: {text if len(text) <= 400 else text[:400] + ' …'}"
        return ConfigError(f"{self._file}:{line}: {doing} raises {problem}")

    def _line_of(self, error):
        """The line of the file that an exception came from last, or `None`."""
        if isinstance(error, SyntaxError) and error.filename == self._file:
            return error.lineno or 1
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self._file]
        # Code that TensorFlow has traced names its file only in the message.
        lines = lines or re.findall(rf'File "{re.escape(self._file)}", line (\d+)', str(error))
        return int(lines[-1]) if lines else None

    def _load(self, source):
        """The file as a module, which is loaded once."""
        name = f"rocket_tf_own_code_{_digest(self._file.encode() + source)[:16]}"
        if name in sys.modules:
            return sys.modules[name]
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, None))
        module.__file__ = self._file
        sys.modules[name] = module  # before it is run, as classes look for their modules
        try:
            with self.answering("the file"):
                exec(compile(source, self._file, "exec"), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
        return module


def _definitions(source):
    """The lines in which a source defines some of `FUNCTIONS`, by name."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}  # running the file reports the error
    lines = {}
    for statement in statements:
        match statement:
            case ast.FunctionDef(name=name):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.ImportFrom(names=aliases):
                names = [alias.asname or alias.name for alias in aliases]
            case _:
                names = []
        lines |= {name: statement.lineno for name in names if name in FUNCTIONS}
    return lines


def _digest(source):
    return hashlib.sha256(source).hexdigest()
