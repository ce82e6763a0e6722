"""In a clone, `python -m tools.export` is `rocket-tf export`."""

import sys

from rocket_tf.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
