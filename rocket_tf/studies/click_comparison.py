"""Light net, booster and rocket on simulated click logs: a study of which nothing is held out."""

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.reporting.markdown import count_in_words
from rocket_tf.studies import statistics
from rocket_tf.studies.study import Arm, Study
from rocket_tf.system.provenance import machine, software

FIGURES = {"test_auc": "AUC", "test_gauc": "GAUC", "test_log_loss": "log loss"}
ARMS = (
    Arm("light", "light"),
    Arm("rocket", "rocket"),
    Arm("rocket_booster_routing", "rocket", {"shared_layers_learn_from": "booster"}),
    Arm("booster", "booster"),
)
# The rows, by arm and net, with their titles.
NETS = {
    ("light", "light"): "light net alone",
    ("rocket", "light"): "light net in the rocket",
    ("rocket", "booster"): "booster in the rocket",
    (
        "rocket_booster_routing",
        "light",
    ): "light net in the rocket, shared layers learn from the booster alone",
    ("booster", "booster"): "booster alone",
}


class ClickComparison(Study):
    """All `ARMS` on the same logs, one log and one start a seed.

    Like the committed tables, it trains on all training impressions and shows the last epoch, where
    a study holds some out to choose one.

    Args:
        seeds: how many seeds, from 0 on.
        settings: dict of fields that differ from `configs/clicks.py`.
        runs: folder for the runs.

    Raises:
        ConfigError: if a run cannot be made as asked, or its folder holds another one.
    """

    holds_out = False
    diverged = None  # it ends the comparison
    kind_in_messages = "comparison"

    def __init__(self, seeds, settings, runs):
        super().__init__(ready_configs.load("clicks"), ARMS, seeds, settings, runs)

    def result(self, command):
        """What came out, as JSON can hold it.

        Args:
            command: what gives these figures.

        Returns:
            Dict with "rows", one a net: its title, and for each of `FIGURES` the values by seed,
            their mean, spread and median, and the paired difference to the first row.
        """
        rows = []
        for (arm, net), title in NETS.items():
            summaries = {seed: each[net] for seed, each in self.summaries(arm).items()}
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
        config = self.planned("rocket", 0).config
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
