"""In a clone, `python -m tools.latency` is `rocket-tf latency`."""

import sys

from rocket_tf.commands.latency import main

if __name__ == "__main__":
    sys.exit(main())
