"""In a clone, `python -m tools.study` is `rocket-tf study`."""

import sys

from rocket_tf.commands.study import main

if __name__ == "__main__":
    sys.exit(main())
