"""Checks an export before it is served: files, loader, signatures, batches, warm-up, checkpoint.

    rocket-tf serve-check runs/digits/light

It names the first check that fails; the exit code is then 1.
"""

from rocket_tf.commands import Parser
from rocket_tf.errors import ConfigError
from rocket_tf.serving.checks import prove
from rocket_tf.serving.prediction import find_export
from rocket_tf.system.answering import answer


def main(argv=None):
    """Runs the checks and prints what passed; returns the process's exit code."""
    parser = Parser("serve_check", __doc__)
    parser.add_argument("export", help="version of a SavedModel, or folder of versions: the newest")
    parser.add_argument(
        "--workdir", help="run whose checkpoint it is compared with (the run that contains it)"
    )
    arguments = parser.parse_args(argv)
    return answer("serve_check", lambda: _check(arguments))


def _check(arguments):
    def restore(*arguments):
        from rocket_tf.runs import finished  # TensorFlow is loaded by then

        return finished.restore(*arguments)

    directory = find_export(arguments.export)
    if not directory.is_dir():
        raise ConfigError(f"{directory}: is a file, expected the folder of a SavedModel")
    print(f"Checking {directory}", flush=True)
    for name, result in prove(directory, arguments.workdir, restore):
        print(f"ok  {name:<11} {result}", flush=True)
    print("All checks passed.")
