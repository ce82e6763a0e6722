"""Starts a command without the output of the libraries that it loads."""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading

from absl import logging as absl_logging


def load_tensorflow_quietly():
    """Imports TensorFlow and lets it look for devices, without output that is not an error.

    If loading fails, the output of the libraries is shown after all. Warnings of rocket_tf are
    always shown, each on a line that begins with "rocket_tf: ".
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    absl_logging.set_verbosity(absl_logging.ERROR)
    logger = logging.getLogger("rocket_tf")
    if not logger.handlers:  # none on the first call
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("rocket_tf: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.WARNING)  # not the root's level, which absl has raised
    logger.propagate = False
    with _interruptible(), stderr_kept_back(KeyboardInterrupt):
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel(logging.ERROR)


@contextlib.contextmanager
def _interruptible():
    """A context in which Ctrl-C is a KeyboardInterrupt; loading libraries may change that."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    previous, received = signal.getsignal(signal.SIGINT), []

    def interrupt(number, frame):
        received.append(number)
        previous(number, frame)

    if callable(previous):
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def stderr_kept_back(*telling):
    """Holds back output to stderr, including C++ libraries', and shows it on an error.

    Args:
        telling: kinds of exceptions that need no further output.
    """
    with tempfile.TemporaryFile() as captured:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except telling:
            raise
        except BaseException:
            captured.seek(0)
            os.write(stderr, captured.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
