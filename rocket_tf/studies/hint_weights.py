"""A hint's weight, chosen on a validation split."""

from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.config.methods import METHODS
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import running, statistics
from rocket_tf.studies.running import PlannedRun

# Those whose objective reads the weight.
METHODS_WITH_HINT = [
    name
    for name, method in METHODS.items()
    if "hint_weight" not in options.unread_fields({**options.default(), **method.settings})
]
_ERROR_OF_DIVERGENCE = 100.0  # per cent


class WeightSearch:
    """Every weight with every seed.

    Args:
        config: name of a configuration that comes along.
        method: one of `METHODS_WITH_HINT`.
        weights: list of numbers.
        validation_examples: how many training examples are held out.
        seeds: how many seeds, from 0 on.
        settings: dict of further fields.
        runs: folder for the runs.

    Raises:
        ConfigError: if a run cannot be made as asked, or its folder holds another one.
    """

    def __init__(self, config, method, weights, validation_examples, seeds, settings, runs):
        if seeds < 1 or validation_examples < 1:
            raise ConfigError(
                f"--seeds, --validation_examples: got {seeds} and {validation_examples}, expected "
                "whole numbers of at least 1"
            )
        settings = {"validation_examples": validation_examples, **settings}
        folder = Path(runs) / f"{config}_{method}"
        self._weights, self.runs, data = [], [], None
        for seed in range(seeds):
            for weight in weights:
                own = ready_configs.load(config, method)
                own.update({**settings, "hint_weight": weight, "seed": seed})
                own.booster_run = str(folder / "booster" / f"seed{seed}")
                data = options.check(own, data)
                run_folder = RunFolder(folder / f"weight{weight:g}" / f"seed{seed}")
                run_folder.check(own, data)
                self._weights.append(weight)
                title = f"weight {weight:g}, seed {seed}"
                self.runs.append(PlannedRun(title, own, run_folder, data.card))
        self._data = data

    def complete(self):
        """Trains the runs that are not finished, and compares all.

        Returns:
            What `compare` gives.
        """

        def say(run, error):
            weight = run.config["hint_weight"]
            print(f"weight {weight:g} diverges, which counts as an error of 100 %: {error}")

        errors = {}
        summaries = running.complete(self.runs, self._data, diverged=say)
        for weight, summary in zip(self._weights, summaries, strict=True):
            error = _ERROR_OF_DIVERGENCE if summary is None else validation_error(summary["light"])
            errors.setdefault(weight, []).append(error)
        return compare(errors)


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
