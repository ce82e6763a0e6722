"""In a clone, `python -m tools.predict` is `rocket-tf predict`."""

import sys

from rocket_tf.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
