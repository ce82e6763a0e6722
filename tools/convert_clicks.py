"""In a clone, `python -m tools.convert_clicks` is `rocket-tf convert-clicks`."""

import sys

from rocket_tf.commands.convert_clicks import main

if __name__ == "__main__":
    sys.exit(main())
