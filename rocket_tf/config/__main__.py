"""Prints all fields: `python -m rocket_tf.config`."""

import sys

from rocket_tf.config.configuration import describe
from rocket_tf.system.answering import answer

if __name__ == "__main__":
    sys.exit(answer("config", lambda: print(describe())))
