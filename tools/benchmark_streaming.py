"""In a clone, `python -m tools.benchmark_streaming` is `rocket-tf benchmark-streaming`."""

import sys

from rocket_tf.commands.benchmark_streaming import main

if __name__ == "__main__":
    sys.exit(main())
