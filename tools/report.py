"""In a clone, `python -m tools.report` is `rocket-tf report`."""

import sys

from rocket_tf.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
