"""In a clone, `python -m tools.pictures` is `rocket-tf pictures`."""

import sys

from rocket_tf.commands.pictures import main

if __name__ == "__main__":
    sys.exit(main())
