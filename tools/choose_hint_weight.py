"""In a clone, `python -m tools.choose_hint_weight` is `rocket-tf choose-hint-weight`."""

import sys

from rocket_tf.commands.choose_hint_weight import main

if __name__ == "__main__":
    sys.exit(main())
