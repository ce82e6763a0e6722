"""Turns exceptions into messages and exit codes, for all commands."""

import errno
import os
import sys

from rocket_tf.errors import RocketError

_SYSTEM_ERROR = 1  # for example, a file that cannot be read or written
_MISTAKE = 2
_IMPOSSIBLE_PATHS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP)
_READER_GONE = 1
_INTERRUPTED = 130  # as if SIGINT had ended the process


def answer(command, work, interrupted="nothing is written"):
    """Does a command's work, and reports errors in one line.

    It handles `RocketError`, errors of the operating system, and interruptions. Any other exception
    is a bug in the program, and passes with its traceback.

    Args:
        command: its name, which begins the line.
        work: function without arguments that does it and returns the exit code; `None` is 0.
        interrupted: text to print after Ctrl-C: how to go on, or what was lost.

    Returns:
        The process's exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        # Without this, file names that are not UTF-8 cannot be printed.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = work() or 0
        sys.stdout.flush()  # otherwise, Python would notice a full disk only at exit
        return code
    except RocketError as error:
        complain(command, error.answer.format(error))
        return error.exit_code
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except OSError as error:
        complain(command, error)
        _give_up_full_output()
        return _MISTAKE if error.errno in _IMPOSSIBLE_PATHS else _SYSTEM_ERROR
    except KeyboardInterrupt:
        complain(command, f"interrupted; {interrupted}")
        return _INTERRUPTED


def complain(command, message):
    """Prints a message of a command to stderr as one line, without control characters."""
    line = " ".join(str(message).split())
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    print(f"{command}: {line}", file=sys.stderr)


def _give_up_full_output():
    """Drops output that cannot be written to stdout; Python would try again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
