"""Pages that show the output of their code, and the tool that runs them."""

import importlib.util
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.testing.compare import compare_images
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def notebook():
    specification = importlib.util.spec_from_file_location("notebook", DOCS / "notebook.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_five_minutes(notebook, tmp_path):
    """If outputs differ, `python docs/notebook.py docs/five_minutes.md` updates the page."""
    page = (DOCS / "five_minutes.md").read_text()
    with matplotlib.rc_context({"backend": "agg"}):
        run = notebook.executed(page, tmp_path)
    assert notebook.differences(page, run) == []
    assert page.count("```output") == 5
    assert notebook.pictures(page) == ["five_minutes.png"]
    found, expected = tmp_path / "five_minutes.png", DOCS / "five_minutes.png"
    with Image.open(expected) as picture:
        assert picture.text["code"] == notebook.checksum(page)
    # Small differences between curves are within this tolerance; moved axes are not.
    assert compare_images(expected, found, tol=30) is None


PAGE = """# A page

```python
x = 3
print("x is", x, "of 0.51 %")
```

```output
{}
```

Text with 1.5.

```python
from PIL import Image

Image.new("L", (x, 1)).save("picture.png")
```

![Alt
text](picture.png) and ![another](elsewhere/picture.png)
"""


def test_outputs_are_replaced_and_code_runs_in_a_folder(notebook, tmp_path):
    page = PAGE.format("x is 2\nas it was")
    assert notebook.executed(page, tmp_path) == PAGE.format("x is 3 of 0.51 %")
    assert Image.open(tmp_path / "picture.png").size == (3, 1)
    assert notebook.pictures(page) == ["picture.png"]


def test_a_first_run_adds_outputs(notebook, tmp_path):
    page = PAGE.replace("\n```output\n{}\n```\n", "")
    assert notebook.executed(page, tmp_path) == PAGE.format("x is 3 of 0.51 %")


@pytest.mark.parametrize(
    "output, count",
    [
        ("x is 3 of 0.51 %", 0),
        ("x  is 3 of 0.40 %", 0),  # 30 % of 0.40 is 0.12
        ("x is 3 of 0.39 %", 1),
        ("x is 4 of 0.51 %", 1),  # whole numbers are exact
        ("x is 3 of 0.51", 1),
        ("x is -3 of 0.51 %", 1),
        ("x is 3 of 51 %", 1),
        ("", 1),
    ],
)
def test_stale_outputs_are_found(notebook, tmp_path, output, count):
    page = PAGE.format(output)
    found = notebook.differences(page, notebook.executed(page, tmp_path))
    assert found == [(output, "x is 3 of 0.51 %")][:count]


def test_an_extra_line_is_found(notebook, tmp_path):
    page = PAGE.format("x is 3 of 0.51 %\nstale")
    assert ("stale", "```") in notebook.differences(page, notebook.executed(page, tmp_path))


def test_the_command_writes_page_and_pictures(notebook, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE.format("stale"))
    notebook.main(path)
    assert path.read_text() == PAGE.format("x is 3 of 0.51 %")
    picture = Image.open(tmp_path / "picture.png")
    assert picture.size == (3, 1)
    assert picture.text == {"code": notebook.checksum(path.read_text())}
    assert notebook.checksum(PAGE) == picture.text["code"]  # the checksum ignores outputs
    assert notebook.checksum(PAGE.replace("x = 3", "x = 4")) != picture.text["code"]


def test_a_shifted_picture_differs(tmp_path):
    """The tolerance of `test_five_minutes` is too small for moved axes."""
    pixels = np.asarray(Image.open(DOCS / "five_minutes.png").convert("RGB"))
    Image.fromarray(np.roll(pixels, 4, axis=0)).save(tmp_path / "moved.png")
    assert compare_images(DOCS / "five_minutes.png", tmp_path / "moved.png", tol=30) is not None
