"""A table's result as Markdown, and its parts in words."""

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
    lines += [f"{recipe_in_words(result)} {result['note']}".strip(), ""]
    for row in result["rows"]:
        lines += [f"## {row['title']} ({row['dataset']})", ""]
        lines.append(f"| {' | '.join(HEADER)} |")
        lines.append("|---" * len(HEADER) + "|")
        lines += [f"| {' | '.join(line)} |" for line in lines_of_row(row)]
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


def recipe_in_words(result):
    """How the runs of a table were trained, and what the figures are."""
    recipe = result["recipe"]
    further = [
        f"{name}={value}"
        for name, value in recipe.items()
        if name not in ("epochs", "train_examples")
    ]
    return (
        f"Test errors in per cent after {recipe['epochs']} epochs on {recipe['train_examples']} "
        f"training examples{' (' + ', '.join(further) + ')' if further else ''}, never the best "
        "one. Differences are paired by seed."
    )


def order_in_words(order):
    """Whether the light nets come in the paper's order."""

    def name(pairs):
        return "; ".join(f"{lower} below {higher}" for lower, higher in pairs) or "none"

    holds = "holds" if order["agree"] == order["pairs"] else "does not hold throughout"
    return (
        f"The paper's order of the light nets {holds}: {order['agree']} of {order['pairs']} pairs "
        "of means come the paper's way round. Pairs whose difference is beyond its 95 % interval: "
        f"{name(order['certain'])}. Beyond it the other way round than this: "
        f"{name(order['against'])}."
    )


def _figures(cell):
    """A cell's figures: the paper's, mean and spread, median, difference, number of seeds."""
    paper = "–" if cell["paper"] is None else f"{cell['paper']:.2f}"
    if not cell["by_seed"]:
        return [paper, "not run", "–", "–", "0"]
    mean = f"{cell['mean']:.2f}"
    if cell["standard_deviation"] is not None:
        mean += f" ± {cell['standard_deviation']:.2f}"
    difference = cell.get("difference")
    if difference is None:
        words = "–"
    else:
        words = f"{difference['mean']:+.2f}"
        if difference["interval"]:
            words += " [{:+.2f}, {:+.2f}]".format(*difference["interval"])
    return [paper, mean, f"{cell['median']:.2f}", words, str(len(cell["by_seed"]))]
