"""Chooses a hint's weight on a validation split: a search in which all weights get all seeds."""

from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.config.methods import METHODS
from rocket_tf.errors import ConfigError
from rocket_tf.studies import running, statistics
from rocket_tf.studies.search import Candidate, Search, has_diverged, note_divergence

# The methods whose objective has a hint with this weight.
METHODS_WITH_HINT = [
    name
    for name, method in METHODS.items()
    if "hint_weight" not in options.unread_fields({**options.default(), **method.settings})
]


class WeightSearch:
    """Runs every weight with every seed.

    Unlike a study's search, it uses the configuration's split for all seeds, from 0 on, as for the
    weights of the committed results.

    Args:
        config: name of a bundled configuration.
        method: one of `METHODS_WITH_HINT`.
        weights: list of numbers.
        validation_examples: number of training examples to hold out.
        seeds: number of seeds, from 0 on.
        settings: dict of other fields.
        runs: folder for the runs.

    Raises:
        ConfigError: if a run cannot be made with these settings, or its folder holds another run.
    """

    def __init__(self, config, method, weights, validation_examples, seeds, settings, runs):
        if seeds < 1 or validation_examples < 1:
            raise ConfigError(
                f"--seeds, --validation_examples: got {seeds} and {validation_examples}, expected "
                "whole numbers of at least 1"
            )
        self._config = ready_configs.load(config, method)
        self._config.update({"validation_examples": validation_examples, **settings})
        self._folder = Path(runs) / f"{config}_{method}"
        self._data = None
        candidates = [Candidate(self._config["hint"], weight) for weight in weights]
        self._search = Search(candidates, range(seeds), self._run, drops=False)
        self._search.state()  # which checks all runs

    def complete(self):
        """Trains the runs that are not finished, and compares all.

        Returns:
            The result of `compare`.
        """

        def say(run, error):
            note_divergence(run, error, f"weight {run.config['hint_weight']:g}")

        to_do = [run for run in self._search.state()["runs"] if not has_diverged(run)]
        running.complete(to_do, self._data, diverged=say)
        errors = self._search.state()["errors"]
        return compare({candidate.weight: values for candidate, values in errors.items()})

    def _run(self, candidate, seed):
        weight = candidate.weight
        config = {**self._config, "hint_weight": weight, "seed": seed}
        config["booster_run"] = str(self._folder / "booster" / f"seed{seed}")
        workdir = self._folder / f"weight{weight:g}" / f"seed{seed}"
        run, self._data = running.planned(
            f"weight {weight:g}, seed {seed}", config, workdir, self._data
        )
        return run


def compare(errors):
    """Chooses a weight, from a dict from weights to validation errors in per cent by seed.

    Returns:
        Dict with "chosen", the weight with the lowest mean error (at equal errors, the smaller
        weight), and "validation_errors", the figures of each weight.
    """
    figures = {
        weight: {"by_seed": values, **statistics.describe(values)}
        for weight, values in sorted(errors.items())
    }
    return {
        "chosen": min(figures, key=lambda weight: figures[weight]["mean"]),
        "validation_errors": {f"{weight:g}": entry for weight, entry in figures.items()},
    }
