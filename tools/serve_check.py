"""Proves an export before it is served: files, loader, signatures, batches, warm-up, checkpoint.

    python -m tools.serve_check runs/digits/light

The first check that fails is named, and the exit code is 1.
"""

import argparse
import sys

from rocket_tf.errors import ConfigError


def main(argv=None):
    """Runs the checks and prints what passed; returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="serve_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("export", help="version of a SavedModel, or folder of versions: the newest")
    parser.add_argument(
        "--workdir", help="run whose checkpoint it is compared with (that in which it lies)"
    )
    arguments = parser.parse_args(argv)
    from rocket_tf.errors import CheckFailed
    from rocket_tf.serving.checks import prove
    from rocket_tf.serving.prediction import find_export

    def restore(*arguments):
        from rocket_tf.runs import finished  # TensorFlow is loaded by then

        return finished.restore(*arguments)

    try:
        directory = find_export(arguments.export)
        if not directory.is_dir():
            raise ConfigError(f"{directory}: is a file, expected the folder of a SavedModel")
    except ConfigError as error:
        print(f"serve_check: {error}", file=sys.stderr)
        return 2
    print(f"Checking {directory}", flush=True)
    try:
        for name, told in prove(directory, arguments.workdir, restore):
            print(f"ok  {name:<11} {told}", flush=True)
    except CheckFailed as error:
        print(f"serve_check: failed: {error}", file=sys.stderr)
        return 1
    print("All checks passed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
