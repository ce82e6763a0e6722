"""In a clone, `python -m tools.compare_clicks` is `rocket-tf compare-clicks`."""

import sys

from rocket_tf.commands.compare_clicks import main

if __name__ == "__main__":
    sys.exit(main())
