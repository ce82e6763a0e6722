"""Light net, booster and rocket on simulated click logs, side by side over seeds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.markdown import count_in_words
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import running, statistics
from rocket_tf.studies.running import PlannedRun
from rocket_tf.system.provenance import machine, software

FIGURES = {"test_auc": "AUC", "test_gauc": "GAUC", "test_log_loss": "log loss"}


@dataclasses.dataclass(frozen=True)
class Method:
    """What is trained in one way.

    Attributes:
        method: of the configuration, after its colon.
        settings: fields in which it differs beside that.
        nets: whose figures are shown: titles by net.
    """

    method: str
    nets: Mapping[str, str]
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)


METHODS = {
    "light": Method("light", {"light": "light net alone"}),
    "rocket": Method(
        "rocket", {"light": "light net in the rocket", "booster": "booster in the rocket"}
    ),
    "rocket_booster_routing": Method(
        "rocket",
        {"light": "light net in the rocket, shared layers learn from the booster alone"},
        {"shared_layers_learn_from": "booster"},
    ),
    "booster": Method("booster", {"booster": "booster alone"}),
}


class ClickComparison:
    """All methods on the same logs, one log and one start a seed.

    Args:
        seeds: how many seeds, from 0 on.
        settings: dict of fields that differ from `configs/clicks.py`.
        runs: folder for the runs.

    Raises:
        ConfigError: if a run cannot be made as asked, or its folder holds another one.
    """

    def __init__(self, seeds, settings, runs):
        if seeds < 1:
            raise ConfigError(f"--seeds: got {seeds}, expected at least 1")
        fixed = {"seed", "split_seed", "method", "shared_layers_learn_from"}
        if fixed & set(settings):
            raise ConfigError(
                f"--set: got {min(fixed & set(settings))}, which the comparison itself sets"
            )
        self.settings = dict(settings)
        self.seeds = range(seeds)
        self.runs, data = {}, None
        for seed in self.seeds:
            for name, method in METHODS.items():
                config = ready_configs.load("clicks", method.method)
                config.update({**self.settings, **method.settings})
                config.update(seed=seed, split_seed=seed, pictures=False)
                data = options.check(config, data)
                folder = RunFolder(Path(runs) / name / f"seed{seed}")
                folder.check(config, data)
                title = f"{name}, seed {seed}"
                self.runs[name, seed] = PlannedRun(title, dict(config), folder, data.card)
        self._data = data

    def complete(self):
        """Trains the runs that are not finished."""
        running.complete(list(self.runs.values()), self._data)

    def result(self, command):
        """What came out, as JSON can hold it.

        Args:
            command: what gives these figures.

        Returns:
            Dict with "rows", one a net: its title, and for each of `FIGURES` the values by seed,
            their mean, spread and median, and the paired difference to the first row.
        """
        rows = []
        for name, method in METHODS.items():
            for net, title in method.nets.items():
                summaries = {
                    seed: self.runs[name, seed].folder.read_summary()[net] for seed in self.seeds
                }
                row = {"title": title, "multiply_adds": summaries[0]["multiply_adds"]}
                for figure in FIGURES:
                    by_seed = {seed: summary[figure] for seed, summary in summaries.items()}
                    base = rows[0][figure]["by_seed"] if rows else by_seed
                    row[figure] = {
                        "by_seed": by_seed,
                        **statistics.describe(list(by_seed.values())),
                        "difference": statistics.paired_difference(by_seed, base),
                    }
                rows.append(row)
        config = self.runs["rocket", 0].config
        return {
            "command": command,
            "config": {name: config[name] for name in options.FIELDS},
            "rows": rows,
            "versions": software("tensorflow", "keras"),
            "machine": machine(),
        }


def as_markdown(result):
    """A result of `ClickComparison` as a table in Markdown."""
    titles = [f"{title}, mean ± sd" for title in FIGURES.values()]
    head = ["net", *titles, "AUC, difference to the first row [95 % interval]", "multiply-adds"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in result["rows"]:
        cells = [_with_spread(row[figure]) for figure in FIGURES]
        difference = "" if row is result["rows"][0] else _difference(row["test_auc"])
        cells = [row["title"], *cells, difference, count_in_words(row["multiply_adds"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"    {result['command']}", ""])


def _with_spread(figures):
    spread = figures["standard_deviation"]
    return f"{figures['mean']:.4f}" + ("" if spread is None else f" ± {spread:.4f}")


def _difference(figures):
    difference = figures["difference"]
    text = f"{difference['mean']:+.4f}"
    if difference["interval"]:
        text += " [{:+.4f}, {:+.4f}]".format(*difference["interval"])
    return text
