"""Formats a table's result and its parts as Markdown."""

from rocket_tf import config as options
from rocket_tf.data.catalog import DATASETS

INTRODUCTION = "Test errors in per cent. Differences are paired by seed."
HEADER = (
    "method",
    "paper, median of 3",
    "mean ± sd",
    "median",
    "difference to the first row [95 % interval]",
    "seeds",
)


def table_as_markdown(result):
    """Formats a result as Markdown, with the paper's figures beside the measured ones.

    Args:
        result: dict from `Reproduction.result`.

    Returns:
        Text.
    """
    lines = [f"# {result['title']}", ""]
    lines += [f"{INTRODUCTION} {result['note']}".strip(), ""]
    for row in result["rows"]:
        lines += [f"## {row['title']} ({row['dataset']})", "", recipe_in_words(row), ""]
        lines += table(HEADER, lines_of_row(row))
        if row["order"]:
            lines += ["", order_in_words(row["order"])]
        lines.append("")
    lines += [f"    {result['command']}", ""]
    return "\n".join(lines)


def lines_of_row(row):
    """The lines of a table's row, one for each method: lists of strings for `HEADER`."""
    lines = [[cell["title"], *_figures(cell)] for cell in row["cells"]]
    excluded = ["–", "not defined for these nets", "–", "–", "–"]
    return lines + [[title, *excluded] for title in row["excluded"]]


def recipe_in_words(row):
    """Describes how the runs of a table's row were trained, and their figures."""
    config = row["config"]
    available = config["train_examples"] or DATASETS[row["dataset"]].train_examples
    held_out = config["validation_examples"]
    text = f"{config['epochs']} epochs on {available - held_out} training examples"
    if config["precision"] != "float32":
        text += f", {config['precision']}"
    if options.is_before_0_2(options.with_older_fields(config)):
        text += ", recipe before 0.2"
    if held_out:
        return f"{text}; the epoch is chosen on {held_out} held-out training examples."
    return f"{text}; errors are the last epoch's, never the best one's."


def order_in_words(order):
    """Describes whether the light nets are in the paper's order."""

    def name(pairs):
        return "; ".join(f"{lower} below {higher}" for lower, higher in pairs) or "none"

    holds = "holds" if order["agree"] == order["pairs"] else "does not hold throughout"
    return (
        f"The paper's order of the light nets {holds}: {order['agree']} of {order['pairs']} pairs "
        "of means have the paper's order. Pairs whose 95 % interval (not corrected for multiple "
        f"comparisons) excludes 0: {name(order['certain'])}. Those that contradict the paper in "
        "the same way: "
        f"{name(order['against'])}."
    )


def as_start(text):
    """The text as a sentence starts, without a change to abbreviations.

    Example:
        >>> as_start("AUC"), as_start("test error")
        ('AUC', 'Test error')
    """
    return text[:1].upper() + text[1:]


def table(header, rows):
    """The lines of a Markdown table, from rows of strings.

    Example:
        >>> table(("net", "error"), [("light", "1.71")])
        ['| net | error |', '|---|---|', '| light | 1.71 |']
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return [lines[0], "|---" * len(header) + "|", *lines[1:]]


def digits_of(result):
    """The number of decimals for a study's figures: errors are in per cent, AUCs are not."""
    return 2 if result["in_per_cent"] else 4


def mean_in_words(figures, digits=2):
    """Formats a mean and, for several seeds, the standard deviation.

    Args:
        figures: dict from `rocket_tf.studies.statistics.describe`.
        digits: number of decimals.

    Example:
        >>> mean_in_words({"mean": 1.712, "standard_deviation": 0.57})
        '1.71 ± 0.57'
    """
    mean, spread = f"{figures['mean']:.{digits}f}", figures["standard_deviation"]
    return mean if spread is None else f"{mean} ± {spread:.{digits}f}"


def difference_in_words(difference, digits=2):
    """Formats a paired difference and, for several seeds, its 95 % interval; "–" for `None`.

    Args:
        difference: dict with "mean" and "interval", or `None`.
        digits: number of decimals.

    Example:
        >>> difference_in_words({"mean": -0.25, "interval": (-0.46, -0.04)})
        '-0.25 [-0.46, -0.04]'
    """
    if difference is None:
        return "–"
    words, interval = f"{difference['mean']:+.{digits}f}", difference["interval"]
    if not interval:
        return words
    return f"{words} [{', '.join(f'{bound:+.{digits}f}' for bound in interval)}]"


def count_in_words(count):
    """Formats multiply-adds for tables; `None` becomes "not known".

    Example:
        >>> count_in_words(26657408), count_in_words(None)
        ('26,657,408', 'not known')
    """
    return "not known" if count is None else f"{count:,}"


def _figures(cell):
    """A cell's figures: the paper's, mean and spread, median, difference, number of seeds."""
    paper = "–" if cell["paper"] is None else f"{cell['paper']:.2f}"
    if not cell["by_seed"]:
        return [paper, "not run", "–", "–", "0"]
    difference = difference_in_words(cell.get("difference"))
    seeds = str(len(cell["by_seed"]))
    return [paper, mean_in_words(cell), f"{cell['median']:.2f}", difference, seeds]
