"""In a clone, `python -m tools.make_clicks` is `rocket-tf make-clicks`."""

import sys

from rocket_tf.commands.make_clicks import main

if __name__ == "__main__":
    sys.exit(main())
