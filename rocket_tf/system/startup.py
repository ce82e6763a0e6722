"""How a command starts: without the noise of the libraries it loads."""

import contextlib
import logging
import os
import sys
import tempfile

from absl import logging as absl_logging


def load_tensorflow_quietly():
    """Imports TensorFlow and lets it look for devices, keeping back what is no error.

    What the libraries print while they load is shown after all if loading fails. rocket_tf's own
    warnings stay, each on a line that begins with "rocket_tf: ".
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    absl_logging.set_verbosity(absl_logging.ERROR)
    logger = logging.getLogger("rocket_tf")
    if not logger.handlers:  # or it is loaded already
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("rocket_tf: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.WARNING)  # and not the root's, which absl has raised
    logger.propagate = False
    with stderr_kept_back():
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel(logging.ERROR)


@contextlib.contextmanager
def stderr_kept_back(*telling):
    """Keeps back what the process writes to stderr, libraries in C++ too; shows it on an error.

    Args:
        telling: kinds of exceptions that say all there is to say, on which it is not shown.
    """
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except telling:
            raise
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
