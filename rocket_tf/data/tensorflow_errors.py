"""Readable messages of TensorFlow's exceptions."""

import contextlib
import re

from rocket_tf.errors import DamagedDataError


def reason(error):
    """The message of an exception in one line, without the names of TensorFlow's nodes."""
    text = (getattr(error, "message", None) or str(error)).partition("\n")[0]
    text = re.sub(r"\{\{.*?\}\} ?|Error in user-defined .* iterator: \S+: | ?\[Op:.*", "", text)
    return f"{type(error).__name__}: {text.strip(' .')}"


@contextlib.contextmanager
def damage_named():
    """A context in which `DamagedDataError`s of streamed examples pass through TensorFlow.

    TensorFlow replaces exceptions that are raised while batches are read by its own.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        match = re.search(r"DamagedDataError: (.*)", error.message)
        if match is None:
            raise
        raise DamagedDataError(match[1]) from error
