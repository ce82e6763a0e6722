"""Prints all fields: `python -m rocket_tf.config`, which takes no arguments."""

import sys

from rocket_tf.config.configuration import describe, shortened
from rocket_tf.errors import ConfigError
from rocket_tf.system.answering import answer


def main(argv):
    """Prints the fields; raises a `ConfigError` for arguments."""
    if argv:
        raise ConfigError(
            f"{shortened(argv[0])}: not expected; this command takes no arguments and prints all "
            "fields"
        )
    print(describe())


if __name__ == "__main__":
    sys.exit(answer("config", lambda: main(sys.argv[1:])))
