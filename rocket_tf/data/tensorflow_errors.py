"""What TensorFlow's exceptions say to people."""

import re


def reason(error):
    """What an exception says, in one line and without the names of TensorFlow's nodes."""
    text = (getattr(error, "message", None) or str(error)).partition("\n")[0]
    text = re.sub(r"\{\{.*?\}\} ?|Error in user-defined .* iterator: \S+: | ?\[Op:.*", "", text)
    return f"{type(error).__name__}: {text.strip(' .')}"
