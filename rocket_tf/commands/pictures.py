"""Draws pictures of runs and of models.

    rocket-tf pictures run runs/rocket
    rocket-tf pictures curves runs/rocket runs/no_block --output=curves.png
    rocket-tf pictures flow --model=rocket.keras --batch=batch.npz --output=flow.png
    rocket-tf pictures grids runs/digits/grid.json runs/mine/grid.json --output=grids.png

`run` draws learning curves, gradient flow and attention maps into a finished run's folder. `curves`
draws the learning curves of several runs side by side, for instance with and without gradient
block. `flow` shows which loss reaches which part of any saved RocketModel. The batch is a NumPy
file with `x` (or, for several inputs by name, `x.<name>`), `y` and optionally `sample_weight`.
`grids` draws grids of studies (`rocket-tf study --grid=…`) side by side, from their JSON files.
"""

import json
from pathlib import Path

from rocket_tf.commands import Parser
from rocket_tf.errors import ConfigError
from rocket_tf.reporting import pictures
from rocket_tf.reporting.saved_flow import check_files, flow_of_files
from rocket_tf.runs.folder import RunFolder
from rocket_tf.system import files
from rocket_tf.system.answering import answer
from rocket_tf.system.startup import load_tensorflow_quietly


def main(argv=None):
    """Draws what the arguments ask for; returns the process's exit code."""
    parser = Parser("pictures", __doc__)
    commands = parser.add_subparsers(
        required=True,
        metavar="run, curves, flow or grids",
        # Another word in their names would appear at the start of their messages.
        parser_class=lambda prog, **kwargs: Parser("pictures", **kwargs),
    )
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
    grids = commands.add_parser("grids", help="grids of studies, side by side")
    grids.add_argument("grids", nargs="+", type=Path, help="JSON files that study --grid wrote")
    grids.set_defaults(draw=_grids)
    for command in (curves, flow, grids):
        command.add_argument("--output", required=True, type=Path, help="PNG file to write")
    arguments = parser.parse_args(argv)
    return answer("pictures", lambda: print(f"written: {arguments.draw(arguments)}"))


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
    """The end of a path in which it differs from the others."""
    for length in range(1, len(path.parts) + 1):
        ends = [other.parts[-length:] for other in paths]
        if ends.count(path.parts[-length:]) == 1:
            return "/".join(path.parts[-length:])
    return str(path)


def _flow(arguments):
    check_files(arguments.model, arguments.batch)
    load_tensorflow_quietly()
    flow = flow_of_files(arguments.model, arguments.batch)
    pictures.save(pictures.gradient_flow(flow), arguments.output)
    return arguments.output


def _grids(arguments):
    from rocket_tf.reporting import grid_page

    grids = [_read_grid(path) for path in arguments.grids]
    pictures.save(grid_page.picture(*grids), arguments.output)
    return arguments.output


def _read_grid(path):
    expected = "expected a JSON file that study --grid wrote"
    try:
        grid = json.loads(files.read_text(path))
    except OSError as error:
        raise ConfigError(f"grids: got {path} ({error.strerror}), {expected}") from None
    except ValueError:
        raise ConfigError(f"grids: got {path}, which is not JSON; {expected}") from None
    if not isinstance(grid, dict) or not {"grid", "points", "config"} <= set(grid):
        raise ConfigError(f"grids: got {path}, which has no grid; {expected}")
    return grid
