"""Light net, booster and rocket on simulated click logs: a study without held-out examples."""

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.reporting import markdown
from rocket_tf.studies import statistics
from rocket_tf.studies.study import Arm, Study
from rocket_tf.system.provenance import machine, software

_DIGITS = 4  # decimals
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
    """All arms on the same logs; each seed has one log and one start.

    Like the committed tables, it trains on all training impressions and shows the last epoch. A
    study would hold some out and choose an epoch.

    Args:
        seeds: number of seeds, from 0 on.
        settings: dict of fields that differ from `configs/clicks.py`.
        runs: folder for the runs.

    Raises:
        ConfigError: if a run cannot be made with these settings, or its folder holds another run.
    """

    arms: tuple[Arm, ...] = ARMS
    rows = NETS
    figures = FIGURES
    holds_out = False
    diverged = None  # a run that diverges ends the comparison
    kind_in_messages = "comparison"

    def __init__(self, seeds, settings, runs):
        super().__init__(ready_configs.load("clicks"), self.arms, seeds, settings, runs)

    def result(self, command):
        """The results, fit for JSON.

        Args:
            command: the command that gives these figures.

        Returns:
            Dict with "rows", one for each net: its title, and for each of `figures` the values by
            seed, their mean, spread and median, and the paired difference to the first row.
        """
        rows = []
        for (arm, net), title in self.rows.items():
            summaries = {seed: summary[net] for seed, summary in self.summaries(arm).items()}
            row = {"title": title, "multiply_adds": summaries[0]["multiply_adds"]}
            for figure in self.figures:
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
    rows = []
    for row in result["rows"]:
        cells = [markdown.mean_in_words(row[figure], _DIGITS) for figure in FIGURES]
        difference = row["test_auc"]["difference"] if rows else None
        words = markdown.difference_in_words(difference, _DIGITS) if difference else ""
        rows.append([row["title"], *cells, words, markdown.count_in_words(row["multiply_adds"])])
    return "\n".join([*markdown.table(head, rows), "", f"    {result['command']}", ""])
