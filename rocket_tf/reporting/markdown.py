"""A table's result as Markdown, and its parts in words."""

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
    """A table of `Reproduction.result` as Markdown, the paper's figures beside the measured ones.

    Args:
        result: the dict.

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
    """The lines of a table's row, a method each, as lists of texts under `HEADER`."""
    lines = [[cell["title"], *_figures(cell)] for cell in row["cells"]]
    excluded = ["–", "not defined for these nets", "–", "–", "–"]
    return lines + [[title, *excluded] for title in row["excluded"]]


def recipe_in_words(row):
    """How the runs of a table's row were trained, and what their figures are."""
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
    """Whether the light nets come in the paper's order."""

    def name(pairs):
        return "; ".join(f"{lower} below {higher}" for lower, higher in pairs) or "none"

    holds = "holds" if order["agree"] == order["pairs"] else "does not hold throughout"
    return (
        f"The paper's order of the light nets {holds}: {order['agree']} of {order['pairs']} pairs "
        "of means come the paper's way round. Pairs whose 95 % interval, each taken alone, leaves "
        f"0 out: {name(order['certain'])}. Those that contradict the paper so: "
        f"{name(order['against'])}."
    )


def table(header, rows):
    """The lines of a table, of rows of texts.

    Example:
        >>> table(("net", "error"), [("light", "1.71")])
        ['| net | error |', '|---|---|', '| light | 1.71 |']
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return [lines[0], "|---" * len(header) + "|", *lines[1:]]


def digits_of(result):
    """Digits after the point of a study's figures: errors are in per cent, AUCs are not."""
    return 2 if result["in_per_cent"] else 4


def mean_in_words(figures, digits=2):
    """A mean and, of several seeds, their standard deviation.

    Args:
        figures: dict as `rocket_tf.studies.statistics.describe` gives it.
        digits: after the point.

    Example:
        >>> mean_in_words({"mean": 1.712, "standard_deviation": 0.57})
        '1.71 ± 0.57'
    """
    mean, spread = f"{figures['mean']:.{digits}f}", figures["standard_deviation"]
    return mean if spread is None else f"{mean} ± {spread:.{digits}f}"


def difference_in_words(difference, digits=2):
    """A paired difference and, of several seeds, its 95 % interval; "–" for none.

    Args:
        difference: dict with "mean" and "interval", or `None`.
        digits: after the point.

    Example:
        >>> difference_in_words({"mean": -0.25, "interval": (-0.46, -0.04)})
        '-0.25 [-0.46, -0.04]'
    """
    if difference is None:
        return "–"
    words, interval = f"{difference['mean']:+.{digits}f}", difference["interval"]
    if not interval:
        return words
    return f"{words} [{', '.join(f'{each:+.{digits}f}' for each in interval)}]"


def count_in_words(count):
    """Multiply-adds as tables show them; `None` is "not known".

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
