"""Runs the Python code of a page, and writes below each block what it prints.

    python docs/notebook.py docs/five_minutes.md

Blocks run from top to bottom in one namespace and in a folder of their own. The PNG pictures that
they save there, and that the page shows, are written beside the page, with a checksum of the code.
`tests/test_notebook.py` runs the pages again and compares.
"""

import contextlib
import hashlib
import io
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

# A block of code, and what it printed.
_BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```output\n.*?```\n)?", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# By how much of itself a number with a decimal point may differ: what a training gives depends on
# the machine.
_TOLERANCE = 0.3


def executed(text, folder):
    """Runs a page's code.

    Args:
        text: the page, in Markdown.
        folder: where the code runs.

    Returns:
        The page with the outputs of this run.
    """
    names = {"__name__": "__main__"}

    def run(match):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match[1], "the page's code", "exec"), names)
        output = f"\n```output\n{printed.getvalue().rstrip()}\n```\n" if printed.getvalue() else ""
        return f"```python\n{match[1]}```\n{output}"

    with contextlib.chdir(folder):
        return _BLOCK.sub(run, text)


def pictures(text):
    """The PNG files that a page shows and that lie beside it, a list of names."""
    return re.findall(r"!\[[^]]*\]\(([^/)]+\.png)\)", text)


def checksum(text):
    """The SHA-256 of a page's code."""
    return hashlib.sha256("\n".join(_BLOCK.findall(text)).encode()).hexdigest()


def differences(page, run):
    """Where a page does not say what a run of it gave.

    Whole numbers and words must be the same; numbers with a decimal point may be 30 % off.

    Args:
        page: the page as it stands.
        run: the page with the outputs of a run, as `executed` gives it.

    Returns:
        A list of pairs of lines.
    """
    lines, others = page.splitlines(), run.splitlines()
    longer = max(len(lines), len(others))
    pairs = zip(*([*each, *[""] * (longer - len(each))] for each in (lines, others)), strict=True)
    return [(line, other) for line, other in pairs if not _alike(line, other)]


def _alike(line, other):
    numbers, others = _NUMBER.findall(line), _NUMBER.findall(other)
    # Columns are as wide as their numbers.
    if _NUMBER.sub("0", line).split() != _NUMBER.sub("0", other).split():
        return False
    return all(map(_close, numbers, others))


def _close(number, other):
    if "." not in number:
        return number == other
    return abs(float(number) - float(other)) <= _TOLERANCE * float(number)


def main(path):
    """Writes the outputs of a page's code into the page, and its pictures beside it."""
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        text = executed(path.read_text(), folder)
        for name in pictures(text):
            origin = PngInfo()
            origin.add_text("code", checksum(text))
            with Image.open(f"{folder}/{name}") as picture:
                picture.save(path.with_name(name), pnginfo=origin)
    path.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
