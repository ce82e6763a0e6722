"""In a clone, `python -m tools.benchmark` is `rocket-tf benchmark`."""

import sys

from rocket_tf.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
