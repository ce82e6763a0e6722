"""Chooses a hint's weight on a validation split, never on the test examples.

    python -m tools.choose_hint_weight --config=digits --method=rocket_softmax_mse
        --weights=0.3,1,3,10 --validation_examples=500 --seeds=2

Trains with every weight and seed, and takes the weight with the least mean validation error (of
clicks, the highest AUC; 100 · (1 - AUC) counts as the error); runs that are there are not run
again. Writes the figures into `--output`, a JSON file.
"""

import argparse
import sys
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.config.methods import METHODS
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import statistics
from rocket_tf.system import files
from rocket_tf.system.startup import load_tensorflow_quietly

# Those whose objective reads the weight.
_METHODS_WITH_HINT = [
    name
    for name, method in METHODS.items()
    if "hint_weight" not in options.unread_fields({**options.default(), **method.settings})
]


def main(argv=None):
    """Runs what the arguments say; returns the process's exit code."""
    arguments = _parse(argv)
    try:
        runs, data = _runs(arguments)
    except ConfigError as error:
        print(f"choose_hint_weight: {error}", file=sys.stderr)
        return 2
    load_tensorflow_quietly()
    import keras

    from rocket_tf import train
    from rocket_tf.errors import NonFiniteLossError

    errors = {}
    for number, (weight, config, workdir) in enumerate(runs, 1):
        print(f"== run {number} of {len(runs)}: weight {weight:g}, {workdir}", flush=True)
        try:
            summary = train.train_and_evaluate(config, workdir, data=data)
            error = validation_error(summary["light"])
        except NonFiniteLossError as divergence:
            print(f"weight {weight:g} diverges, which counts as an error of 100 %: {divergence}")
            error = 100.0
        except KeyboardInterrupt:
            print("choose_hint_weight: interrupted; the same command goes on", file=sys.stderr)
            return 130
        except (ConfigError, RuntimeError, OSError) as fault:
            print("choose_hint_weight: " + " ".join(str(fault).split()), file=sys.stderr)
            return 1
        keras.backend.clear_session()
        errors.setdefault(weight, []).append(error)
    result = compare(errors)
    for weight, figures in result["validation_errors"].items():
        print(f"weight {weight}: {figures['mean']:.2f} %, by seed {figures['by_seed']}")
    print(f"chosen: {result['chosen']:g}")
    if arguments.output:
        asked = {name: vars(arguments)[name] for name in vars(arguments) if name != "runs"}
        files.write_json(arguments.output, {"arguments": asked, **result})
    return 0


def validation_error(figures):
    """What decides of a run: its validation error in per cent; of clicks, 100 · (1 - AUC)."""
    if "validation_auc" in figures:
        return 100 * (1 - figures["validation_auc"])
    return figures["validation_error"]


def compare(errors):
    """Which weight is chosen, from a dict from weights to validation errors in per cent, by seed.

    Returns:
        Dict with "chosen", the weight with the least mean error (the smaller one of equals), and
        "validation_errors", the figures of each weight.
    """
    figures = {
        weight: {"by_seed": values, **statistics.describe(values)}
        for weight, values in sorted(errors.items())
    }
    return {
        "chosen": min(figures, key=lambda weight: figures[weight]["mean"]),
        "validation_errors": {f"{weight:g}": each for weight, each in figures.items()},
    }


def _parse(argv):
    parser = argparse.ArgumentParser(
        prog="choose_hint_weight",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, choices=ready_configs.paths())
    parser.add_argument("--method", required=True, choices=_METHODS_WITH_HINT)
    parser.add_argument("--weights", required=True, help="weights, with commas between")
    parser.add_argument("--validation_examples", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], help="any field, as --set=epochs=20")
    parser.add_argument("--runs", default="runs/hint_weight", help="(default: %(default)s)")
    parser.add_argument("--output", help="JSON file to write")
    return parser.parse_args(argv)


def _runs(arguments):
    """Weight, configuration and folder of each run, all of them checked; and their data."""
    settings = {"validation_examples": arguments.validation_examples}
    settings |= options.parse_overrides(arguments.set)
    weights = [options.parse_override("hint_weight", text) for text in arguments.weights.split(",")]
    if arguments.seeds < 1 or arguments.validation_examples < 1:
        raise ConfigError(
            f"--seeds, --validation_examples: got {arguments.seeds} and "
            f"{arguments.validation_examples}, expected whole numbers of at least 1"
        )
    runs, data = [], None
    pair = f"{arguments.config}_{arguments.method}"
    for seed in range(arguments.seeds):
        for weight in weights:
            config = ready_configs.load(arguments.config, arguments.method)
            config.update({**settings, "hint_weight": weight, "seed": seed})
            config.booster_run = str(Path(arguments.runs) / pair / "booster" / f"seed{seed}")
            data = options.check(config, data)
            workdir = Path(arguments.runs) / pair / f"weight{weight:g}" / f"seed{seed}"
            RunFolder(workdir).check(config, data)
            runs.append((weight, config, workdir))
    return runs, data


if __name__ == "__main__":
    sys.exit(main())
