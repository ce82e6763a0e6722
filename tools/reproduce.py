"""In a clone, `python -m tools.reproduce` is `rocket-tf reproduce`."""

import sys

from rocket_tf.commands.reproduce import main

if __name__ == "__main__":
    sys.exit(main())
