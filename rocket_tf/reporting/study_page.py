"""A study's result as text, Markdown, one self-contained page, and a configuration."""

import json
import textwrap
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.reporting import markdown, page, study_pictures
from rocket_tf.reporting.pictures import as_png, gradient_flow, learning_curves
from rocket_tf.system import files

_HEADER = ("method", "net", "mean ± sd", "median", "difference [95 % interval]", "seeds")
_COSTS = (
    "method",
    "net",
    "parameters",
    "multiply-adds",
    "seconds of a run, median",
    "latency in ms, median",
    "99th percentile",
)


def write_study(result, output):
    """Writes `<output>.json`, `.md`, `.html` and `<output>_config.py`.

    Args:
        result: the result of `study_result.result_of`.
        output: path without suffix.
    """
    files.write_json(f"{output}.json", result)
    files.write_text(Path(f"{output}.md"), as_text(result))
    files.write_text(Path(f"{output}.html"), study_page(result))
    files.write_text(Path(f"{output}_config.py"), as_configuration(result))


def as_text(result):
    """The verdict and the table in Markdown."""
    lines = [*_wrapped(result["verdict"] or ""), "", *_wrapped(_about(result)), ""]
    for header, rows in ((_HEADER, _figures(result)), (_COSTS, _costs(result))):
        lines += [*markdown.table(header, rows), ""]
    lines += [*_wrapped(_latency(result)), ""]
    lines += [*_wrapped(_choice(result)), ""] if result["search"] else []
    return "\n".join([*lines, f"    {result['command']}", ""]).lstrip("\n")


def _wrapped(text):
    return textwrap.wrap(text, 100)


def study_page(result):
    """A self-contained HTML page: verdict, tables, pictures, configuration."""
    pictures = {"The light net's figure, seed by seed": as_png(study_pictures.by_seed(result))}
    if result["search"]:
        pictures["The search for the hint"] = as_png(study_pictures.search(result["search"]))
    if any(result["curves"].values()):
        pictures["Learning curves of seed 0"] = as_png(learning_curves(result["curves"]))
        pictures["Their last epochs"] = as_png(study_pictures.last_epochs(result["curves"]))
    if any(row["errors_by_class"] for row in result["rows"]):
        pictures["Errors by class"] = as_png(study_pictures.errors_by_class(result))
    if result["gradient_flow"]:
        pictures["Gradient flow of the rocket, seed 0"] = as_png(
            gradient_flow(result["gradient_flow"])
        )
    parts = [
        page.paragraph(result["verdict"] or ""),
        page.paragraph(_about(result)),
        page.table(_HEADER, _figures(result)),
        page.paragraph(_choice(result) if result["search"] else ""),
        page.heading("What it costs"),
        page.table(_COSTS, _costs(result)),
        page.paragraph(_latency(result)),
        *page.images(pictures),
        *page.origin(result, result["config"].items()),
    ]
    return page.whole("Does the rocket help?", parts)


def as_configuration(result):
    """A configuration file with the study's final fields."""
    skip = ("seed", "split_seed", "booster_run", "method", "evaluate_test", "data_dir", "pictures")
    skip += ("own_functions", "own_code", "own_code_sha256")  # in that file, --config finds them
    lines = [
        f"    config.{name} = {_as_code(value)}"
        for name, value in result["config"].items()
        if name not in skip and _as_field(value) != options.FIELDS[name].default
    ]
    return "\n".join(
        [
            f'"""The final configuration of a study.\n\n{result["command"]}\n"""',
            "",
            "from rocket_tf import config as options",
            "from rocket_tf.config.methods import with_method",
            "",
            "",
            'def get_config(method="rocket"):',
            '    """The chosen hint, and the other fields as given."""',
            "    config = options.default()",
            *lines,
            "    return with_method(config, method)",
            "",
        ]
    )


def _as_code(value):
    """A field's value in Python, strings between double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(_as_field(value))


def _as_field(value):
    """A field's value as a configuration has it; JSON makes lists of tuples."""
    return tuple(value) if isinstance(value, list) else value


def _about(result):
    examples = result["examples"]
    return (
        f"{markdown.as_start(result['figure_title'])}"
        f"{' in per cent' if result['in_per_cent'] else ''}, "
        f"paired by seed; {examples['training']} training, {examples['validation']} validation "
        f"and {examples['test']} test examples. Each run's epoch is chosen on the validation "
        "examples."
    )


def _choice(result):
    """Describes which hint was chosen, and whether others are equally good."""
    candidates = result["search"]["candidates"]
    best = next((candidate for candidate in candidates if candidate["chosen"]), None)
    if best is None:
        return "The search for the hint is not finished."
    same_hint = sorted(
        (candidate for candidate in candidates if candidate["hint"] == best["hint"]),
        key=lambda candidate: candidate["weight"],
    )
    index = same_hint.index(best)
    neighbours = same_hint[max(index - 1, 0) : index] + same_hint[index + 1 : index + 2]
    rest = [
        candidate
        for candidate in candidates
        if candidate is not best and candidate not in neighbours
    ]
    words = [
        f"Chosen hint: {best['hint']} with weight {best['weight']:g}, of {len(candidates)} on "
        "seeds and splits that the table does not use."
    ]
    if neighbours:
        within = [
            _compared_with_noise(candidate["difference"]) == _WITHIN for candidate in neighbours
        ]
        words.append(
            "The choice is flat; its neighbours are within the noise:"
            if all(within)
            else "Its neighbours on the same seeds:"
        )
        words.append(f"{'; '.join(map(_difference_to_chosen, neighbours))}.")
    if rest:
        words.append(f"The others: {'; '.join(map(_difference_to_chosen, rest))}.")
    return " ".join(words)


_WITHIN = "within the noise"


def _compared_with_noise(difference):
    """Whether a candidate's difference to the chosen one exceeds the noise, in words."""
    if difference["interval"] is None:
        return "one seed cannot show it"
    low, high = difference["interval"]
    return _WITHIN if low <= 0 <= high else "beyond the noise"


def _difference_to_chosen(candidate):
    difference = candidate["difference"]
    words = f"{candidate['hint']} with weight {candidate['weight']:g} {difference['mean']:+.2f}"
    if difference["interval"] is not None:
        low, high = difference["interval"]
        words += f" [{low:+.2f}, {high:+.2f}] points over {difference['seeds']} seeds"
    return f"{words}, {_compared_with_noise(difference)}"


def _latency(result):
    """Describes the latencies; empty if they were not measured."""
    latency = result.get("latency")
    if not latency:
        return ""
    runtime = "the SavedModel in TensorFlow's C++ library"
    threads = "one thread" if latency["threads"] == 1 else f"{latency['threads']} threads"
    words = f"Latency: one export of each net, {runtime}, batches of {latency['batch']}, {threads}."
    ratio = latency["light_to_booster"]
    return words if ratio is None else f"{words} Light net ÷ booster: {ratio:.2f}."


def _figures(result):
    digits = markdown.digits_of(result)
    return [
        (
            row["title"],
            row["net"],
            markdown.mean_in_words(row, digits),
            f"{row['median']:.{digits}f}",
            markdown.difference_in_words(row["difference"], digits),
            str(len(row["by_seed"])),
        )
        for row in result["rows"]
    ]


def _costs(result):
    return [
        (
            row["title"],
            row["net"],
            f"{row['parameters']:,}",
            markdown.count_in_words(row["multiply_adds"]),
            f"{row['seconds']:.0f}",
            *(
                f"{row['latency'][name]:.2f}" if row.get("latency") else "–"
                for name in ("p50_ms", "p99_ms")
            ),
        )
        for row in result["rows"]
    ]
