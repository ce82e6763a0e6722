"""How much the light net gains from a column that only the booster reads, on simulated logs."""

from rocket_tf.reporting import markdown
from rocket_tf.studies import click_comparison, statistics
from rocket_tf.studies.click_comparison import ClickComparison
from rocket_tf.studies.study import Arm

_DIGITS = 4  # decimals
FIGURES = {
    **click_comparison.FIGURES,
    "test_calibration": "predicted ÷ observed",
    "test_calibration_error": "ECE",
}
_STRENGTHS = {"noise": "is noise", "weak": "says little", "strong": "says much"}
_TITLES = {
    f"rocket_dwell_{strength}": f"rocket whose booster reads dwell, which {words}"
    for strength, words in _STRENGTHS.items()
}
ARMS = (
    Arm("light", "light"),
    Arm("rocket", "rocket"),
    *(
        Arm(
            f"rocket_dwell_{strength}",
            "rocket",
            {"simulated_dwell": strength, "booster_only": ("dwell",)},
        )
        for strength in _STRENGTHS
    ),
)
# The rows, by arm and net, with their titles.
NETS = {
    ("light", "light"): "light net alone",
    ("rocket", "light"): "light net in the rocket",
    **{(arm, "light"): f"light net in the {title}" for arm, title in _TITLES.items()},
    ("rocket", "booster"): "booster in the rocket",
    **{(arm, "booster"): f"booster in the {title}" for arm, title in _TITLES.items()},
}


class DwellComparison(ClickComparison):
    """Light net alone, rocket, and rockets whose booster reads the simulated dwell time.

    The logs of a seed differ only in that column. Arguments are those of `ClickComparison`.
    """

    arms = ARMS
    rows = NETS
    figures = FIGURES

    def result(self, command):
        """Like `ClickComparison`, with the paired difference of each row to the plain rocket."""
        result = super().result(command)
        rocket = result["rows"][1]
        for row in result["rows"]:
            for figure in FIGURES:
                by_seed, base = row[figure]["by_seed"], rocket[figure]["by_seed"]
                row[figure]["difference_to_rocket"] = statistics.paired_difference(by_seed, base)
        return result


def as_markdown(result):
    """A result of `DwellComparison` as tables in Markdown: the figures, and their differences."""
    head = ["net", *(f"{title}, mean ± sd" for title in FIGURES.values())]
    figures = [
        [row["title"], *(markdown.mean_in_words(row[name], _DIGITS) for name in FIGURES)]
        for row in result["rows"]
    ]
    lines = markdown.table(head, figures)
    for key, first, title in (
        ("difference", 0, "light net alone"),
        ("difference_to_rocket", 1, "light net in the rocket"),
    ):
        head = [f"difference to: {title} [95 % interval]", *FIGURES.values()]
        rows = [
            [row["title"], *(_difference(row[name][key]) for name in FIGURES)]
            for index, row in enumerate(result["rows"])
            if index != first
        ]
        lines += ["", *markdown.table(head, rows)]
    return "\n".join([*lines, "", f"    {result['command']}", ""])


def _difference(difference):
    return markdown.difference_in_words(difference, _DIGITS) if difference else ""
