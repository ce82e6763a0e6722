"""Exports the light net of a finished run, and checks each export on the run's test images.

    rocket-tf export --workdir=runs/digits --formats=savedmodel,litert,onnx

It writes <output>/light/<version>, <output>/litert/<version> and <output>/onnx/<version>. With
keras, it writes <output>/keras/<version>, which also holds the booster, for another training.
"""

from pathlib import Path

from rocket_tf.commands import Parser
from rocket_tf.config import check_fields
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.serving.runtimes import check_folder, check_formats
from rocket_tf.system.answering import answer
from rocket_tf.system.startup import load_tensorflow_quietly

_COLUMNS = "{:<20} {:>10} {:>12} {:>14}  {}"


def main(argv=None):
    """Exports what the arguments ask for; returns the process's exit code."""
    arguments = _parse(argv)
    return answer("export", lambda: _export(arguments))


def _parse(argv):
    parser = Parser("export", __doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a finished run")
    parser.add_argument(
        "--formats",
        default="savedmodel",
        help="some of savedmodel,litert,onnx,keras (%(default)s)",
    )
    parser.add_argument("--output", type=Path, help="folder to write to (the run's own)")
    parser.add_argument(
        "--optimize",
        action="store_true",
        help="SavedModel with folded batch normalization and constant weights, if that is faster",
    )
    parser.add_argument(
        "--precision",
        help="Keras dtype policy of the SavedModel (the run's own); other formats are float32",
    )
    parser.add_argument(
        "--calibration_examples",
        type=int,
        default=500,
        help="training images that set the ranges of int8 (%(default)s)",
    )
    parser.add_argument("--data_dir", default="", help="folder of TensorFlow Datasets")
    parser.add_argument("--data_path", default="", help="where your own data is now (the run's)")
    arguments = parser.parse_args(argv)
    arguments.formats = arguments.formats.split(",")
    return arguments


def _export(arguments):
    check_formats(arguments.formats)
    check_folder(arguments.output or arguments.workdir, arguments.formats)
    if arguments.calibration_examples < 1:
        raise ConfigError(
            f"--calibration_examples: got {arguments.calibration_examples}, expected at least 1"
        )
    config, _ = RunFolder(arguments.workdir).read_finished()
    if arguments.precision is not None:
        check_fields({**config, "precision": arguments.precision})
    print("Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    from rocket_tf.runs.exports import export_run

    print(f"Exporting the light net of {arguments.workdir}", flush=True)
    print(_COLUMNS.format("", "kB", "test error", "difference", "path"))
    for export in export_run(**vars(arguments)):
        print(
            _COLUMNS.format(
                export.kind,
                f"{export.size / 1000:.0f}",
                "-" if export.test_error is None else f"{export.test_error:.2f} %",
                f"{export.difference:.1e}",
                export.path,
            ),
            flush=True,
        )
    print("difference: of logits to the trained model's, in float32; relative for logits above 1")
