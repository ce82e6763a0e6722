"""In a clone, `python -m tools.serve_check` is `rocket-tf serve-check`."""

import sys

from rocket_tf.commands.serve_check import main

if __name__ == "__main__":
    sys.exit(main())
