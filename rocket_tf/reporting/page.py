"""A self-contained HTML page about a run or a table, without a server or other files."""

import base64
import html

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.config.methods import METHODS
from rocket_tf.reporting import markdown

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table, figure { display: block; max-width: 100%; margin: 1rem 0; overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
th { background: #f3f3f3; }
pre { background: #f3f3f3; padding: .7rem; overflow-x: auto; white-space: pre-wrap; }
img { max-width: 100%; }
@media (max-width: 40rem) { img { max-width: 40rem; } td, th { padding: .25rem .4rem; } }
"""
# The figures that are shown for each of several labels.
_OF_LABELS = {
    "test_auc": "AUC",
    "test_gauc": "GAUC",
    "test_log_loss": "log loss",
    "test_calibration": "calibration",
    "test_calibration_error": "ECE",
}


def table_page(result, pictures):
    """A page about a table.

    Args:
        result: dict from `Reproduction.result`.
        pictures: dict from captions to PNG files' bytes.

    Returns:
        HTML text.
    """
    parts = [paragraph(markdown.INTRODUCTION), paragraph(result["note"])]
    for row in result["rows"]:
        parts.append(heading(f"{row['title']} ({row['dataset']})"))
        parts.append(paragraph(markdown.recipe_in_words(row)))
        parts.append(table(markdown.HEADER, markdown.lines_of_row(row)))
        if row["order"]:
            parts.append(paragraph(markdown.order_in_words(row["order"])))
        config = table(("field", "value"), row["config"].items())
        parts.append(f"<details><summary>configuration</summary>{config}</details>")
    parts += images(pictures)
    return whole(result["title"], [*parts, *origin(result)])


def run_page(folder, pictures):
    """A page about a finished run.

    Args:
        folder: its `RunFolder`.
        pictures: dict from captions to PNG files' bytes.

    Returns:
        HTML text.

    Raises:
        ConfigError: if the folder holds no finished run.
    """
    config, summary = folder.read_finished()
    nets = [
        (
            net,
            f"{net_figures['test_error']:.2f} %",
            f"{net_figures['parameters']:,}",
            markdown.count_in_words(net_figures["multiply_adds"]),
        )
        for net, net_figures in summary.items()
        if isinstance(net_figures, dict) and "test_error" in net_figures
    ]
    labels = [
        (f"{net}: {label}", *(_figure(figures, name) for name in _OF_LABELS))
        for net in ("light", "booster")
        for label, figures in summary.get(net, {}).get("labels", {}).items()
    ]
    last = folder.metrics_of(config["epochs"])
    return whole(
        f"Run {folder.path.name}: {summary['method']} on {config['dataset']}",
        [
            table(("net", "test error", "parameters", "multiply-adds"), nets),
            table(("label", *_OF_LABELS.values()), labels) if labels else "",
            paragraph(
                f"After epoch {summary['epoch']} of {summary['epochs']}, "
                f"{summary['train_examples']} training and {summary['test_examples']} test "
                f"examples, seed {summary['seed']}."
            ),
            *images(pictures),
            heading("How to get it"),
            code(command_of(config)),
            heading("Metrics of the last epoch"),
            table(("metric", "value"), [(name, f"{last[name]:.6g}") for name in last]),
            heading("Configuration"),
            table(
                ("field", "value", "meaning"),
                [(name, config[name], field.meaning) for name, field in options.FIELDS.items()],
            ),
            heading("Versions"),
            table(("package", "version"), summary["versions"].items()),
        ],
    )


def _figure(figures, name):
    return "" if figures.get(name) is None else f"{figures[name]:.4f}"


def command_of(config):
    """The shortest command that trains with a configuration: file, method, and overrides.

    A file with its own functions is not executed here, so every difference from the defaults is an
    override.
    """
    candidates = []
    if config["own_functions"]:
        fields = _fields_to_set(options.default(), config)
        fields = [field for field in fields if field != "own_code_sha256"]
        candidates.append((0, False, config["own_code"], fields))
    for name in ready_configs.paths():
        for method in METHODS:
            fields = _fields_to_set(dict(ready_configs.load(name, method)), config)
            suffix = "" if method == "rocket" else f":{method}"
            candidates.append((len(fields), bool(suffix), f"configs/{name}.py{suffix}", fields))
    _, _, path, fields = min(candidates)
    overrides = [f"--config.{field}={_typed(config[field])}" for field in fields]
    return " ".join(["python -m rocket_tf.main", f"--config={path}", *overrides])


def _fields_to_set(ready, config):
    """The fields that differ between configurations, if the difference has an effect."""
    ignored = options.fields_without_effect(config)
    return [
        field
        for field in options.FIELDS
        if field not in ignored and options.differences(ready, config, _all_but(field))
    ]


def _all_but(field):
    return [name for name in options.FIELDS if name != field]


def _typed(value):
    return f'"{tuple(value)}"' if isinstance(value, list | tuple) else str(value)


def whole(title, parts):
    """A page made of parts in HTML."""
    title = html.escape(title)
    body = "\n".join(filter(None, parts))
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def origin(result, config=()):
    """The parts that say how to reproduce a result: command, configuration, versions, machine.

    Args:
        result: dict with "command", "versions" and "machine".
        config: pairs of fields and values; empty: the page has them elsewhere.
    """
    parts = [heading("How to get it"), code(result["command"])]
    if config:
        parts += [heading("Configuration"), table(("field", "value"), config)]
    versions = {**result["versions"], **result["machine"]}
    return [*parts, heading("Versions and machine"), table(("what", "which"), versions.items())]


def heading(text):
    """A heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text):
    """A paragraph; empty for empty text."""
    return f"<p>{html.escape(text)}</p>" if text else ""


def code(text):
    """A command or a program."""
    return f"<pre>{html.escape(text)}</pre>"


def table(header, rows):
    """A table."""

    def line(cells, tag):
        inner = "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    return "\n".join(
        ["<table>", line(header, "th"), *(line(row, "td") for row in rows), "</table>"]
    )


def images(pictures):
    """A list of parts with pictures and captions, from a dict of captions to PNG files' bytes."""
    parts = []
    for caption, png in pictures.items():
        data = base64.b64encode(png).decode()
        parts.append(heading(caption))
        image = f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{image}</figure>")
    return parts
