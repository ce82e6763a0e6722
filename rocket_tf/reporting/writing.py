"""Writes reports: a table's files, a run's page."""

from rocket_tf.reporting import markdown, page, pictures
from rocket_tf.system import files

_PICTURES = {
    "learning_curves.png": "Learning curves",
    "reliability.png": "Predicted and observed rates of clicks",
    "gradient_flow.png": "Gradient flow: which term reaches which part",
    "attention_maps.png": "Attention maps of each group's output",
}


def write_table(result, output):
    """Writes a table as `<output>.json`, `.md`, `.png` (error bars) and `.html`.

    Args:
        result: the result of `Reproduction.result`.
        output: path without suffix.
    """
    files.write_json(f"{output}.json", result)
    files.write_text(f"{output}.md", markdown.table_as_markdown(result))
    error_bars = write_table_page(result, f"{output}.html")
    files.write_bytes(f"{output}.png", error_bars)


def write_table_page(result, path):
    """Writes the HTML page of a table, with error bars and learning curves; returns the bars."""
    error_bars = pictures.as_png(pictures.table_errors(result))
    shown = {"Errors": error_bars}
    if result["curves"]:
        caption = f"Learning curves of seed 0, {result['rows'][0]['title']}"
        shown[caption] = pictures.as_png(pictures.learning_curves(result["curves"]))
    files.write_text(path, page.table_page(result, shown))
    return error_bars


def write_run_page(folder, output):
    """Writes the page of a finished run, with the pictures in its folder.

    Args:
        folder: its `RunFolder`.
        output: path of the HTML file.

    Raises:
        ConfigError: if the folder holds no finished run.
    """
    shown = {
        caption: files.read_bytes(folder.pictures / name)
        for name, caption in _PICTURES.items()
        if (folder.pictures / name).exists()
    }
    files.write_text(output, page.run_page(folder, shown))
