"""Draws pictures of runs and of models.

    python -m tools.pictures run runs/rocket
    python -m tools.pictures curves runs/rocket runs/no_block --output=curves.png
    python -m tools.pictures flow --model=rocket.keras --batch=batch.npz --output=flow.png

`run` draws learning curves, gradient flow and attention maps into a finished run's folder. `curves`
sets the learning curves of several runs side by side, such as with and without gradient
block. `flow` shows which loss reaches which part of any saved RocketModel; the batch is a NumPy
file with `x` (or, for several inputs by name, `x.<name>`), `y` and, if wanted, `sample_weight`.
"""

import argparse
import sys
import zipfile
from pathlib import Path

from rocket_tf.errors import ConfigError
from rocket_tf.reporting import pictures
from rocket_tf.runs.folder import RunFolder
from rocket_tf.system.startup import load_tensorflow_quietly


def main(argv=None):
    """Draws what the arguments ask for; returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="all pictures of a run, into its folder")
    run.add_argument("workdir", type=Path, help="folder of a finished run")
    run.set_defaults(draw=_run)
    curves = commands.add_parser("curves", help="learning curves of runs, side by side")
    curves.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    curves.set_defaults(draw=_curves)
    flow = commands.add_parser("flow", help="which loss reaches which part of a model")
    flow.add_argument("--model", required=True, type=Path, help="RocketModel saved as .keras")
    flow.add_argument("--batch", required=True, type=Path, help=".npz file with x and y")
    flow.set_defaults(draw=_flow)
    for command in (curves, flow):
        command.add_argument("--output", required=True, type=Path, help="PNG file to write")
    arguments = parser.parse_args(argv)
    try:
        written = arguments.draw(arguments)
    except ConfigError as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        print("pictures: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    print(f"written: {written}")
    return 0


def _run(arguments):
    folder = RunFolder(arguments.workdir)
    folder.read_config()
    load_tensorflow_quietly()
    from rocket_tf import train

    train.draw_pictures(arguments.workdir)
    return folder.pictures


def _curves(arguments):
    histories = {}
    for path in arguments.runs:
        folder = RunFolder(path)
        folder.read_config()
        histories[_short_name(path, arguments.runs)] = folder.read_metrics()
    pictures.save(pictures.learning_curves(histories), arguments.output)
    return arguments.output


def _short_name(path, paths):
    """The end of a path that tells it from the others."""
    for length in range(1, len(path.parts) + 1):
        ends = [other.parts[-length:] for other in paths]
        if ends.count(path.parts[-length:]) == 1:
            return "/".join(path.parts[-length:])
    return str(path)


def _flow(arguments):
    for name in ("model", "batch"):
        if not getattr(arguments, name).is_file():
            raise ConfigError(f"--{name}: {getattr(arguments, name)} is not there")
    load_tensorflow_quietly()
    import keras
    import numpy as np

    import rocket_tf.core.rocket_model  # noqa: F401  which tells Keras what a RocketModel is
    from rocket_tf.analysis.gradient_flow import gradient_flow

    try:
        batch = dict(np.load(arguments.batch))
        model = keras.models.load_model(arguments.model)
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"--model, --batch: cannot be read ({' '.join(str(error).split())}); expected a "
            "RocketModel saved as .keras and a .npz file"
        ) from None
    # A model with several inputs has an array for each, such as x.user and x.item.
    inputs = {name.removeprefix("x."): batch[name] for name in batch if name.startswith("x.")}
    inputs = inputs or batch.get("x")
    if inputs is None or "y" not in batch:
        raise ConfigError(
            f"--batch: {arguments.batch} holds {', '.join(batch)}, expected x, y and, if wanted, "
            "sample_weight"
        )
    try:
        flow = gradient_flow(model, inputs, batch["y"], batch.get("sample_weight"))
    except ValueError as error:
        raise ConfigError(f"--model, --batch: {' '.join(str(error).split())}") from None
    pictures.save(pictures.gradient_flow(flow), arguments.output)
    return arguments.output


if __name__ == "__main__":
    sys.exit(main())
