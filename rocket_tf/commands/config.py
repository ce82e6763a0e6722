"""Prints all fields of a configuration, with their units and defaults.

rocket-tf config
"""

from rocket_tf.commands import Parser
from rocket_tf.config import describe
from rocket_tf.system.answering import answer


def main(argv=None):
    """Prints the fields; returns the process's exit code."""
    Parser("config", __doc__).parse_args(argv)
    return answer("config", lambda: print(describe()))
