"""In a clone, `python -m tools.interruptions` is `rocket-tf interruptions`."""

import sys

from rocket_tf.commands.interruptions import main

if __name__ == "__main__":
    sys.exit(main())
