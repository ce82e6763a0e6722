"""What TensorFlow's exceptions say to people."""

import contextlib
import re

from rocket_tf.errors import DamagedDataError


def reason(error):
    """What an exception says, in one line and without the names of TensorFlow's nodes."""
    text = (getattr(error, "message", None) or str(error)).partition("\n")[0]
    text = re.sub(r"\{\{.*?\}\} ?|Error in user-defined .* iterator: \S+: | ?\[Op:.*", "", text)
    return f"{type(error).__name__}: {text.strip(' .')}"


@contextlib.contextmanager
def damage_named():
    """Within it, `DamagedDataError`s of examples that are streamed come out of TensorFlow as such.

    TensorFlow makes its own errors of what is raised while batches are read.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"DamagedDataError: (.*)", error.message)
        if found is None:
            raise
        raise DamagedDataError(found[1]) from error
