"""In a clone, `python -m tools.make_images` is `rocket-tf make-images`."""

import sys

from rocket_tf.commands.make_images import main

if __name__ == "__main__":
    sys.exit(main())
