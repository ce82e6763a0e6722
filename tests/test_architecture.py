"""The architecture: imports run downward, files are small, and the top folder holds few files."""

from pathlib import Path

import pytest

from tests.sources import imports_of

PACKAGE = Path(__file__).parents[1] / "rocket_tf"
# From top to bottom. Packages in one line do not import each other.
LAYERS = (
    ("main",),
    ("commands",),
    ("studies", "benchmarks"),
    ("train",),
    ("runs",),
    ("serving", "reporting", "distribution"),
    ("config",),
    ("analysis", "networks", "optimizers"),
    ("core",),
    ("metrics", "data"),
    ("system",),
    ("errors",),
)
RANKS = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
# The public package, and a name kept for configuration files written before 0.2.
FACES = ("__init__", "methods")


def violations(place, source):
    """The imports of a file that do not run down the layers.

    Args:
        place: the file's path in the package, such as "core/hints.py".
        source: the text of the file.
    """
    own = Path(place).parts[0].removesuffix(".py")
    if own in FACES:
        return []
    wrong = []
    for name in imports_of(source):
        package = name.split(".")[1] if "." in name else None
        is_own = package in (own, None)
        if not is_own and (package not in RANKS or RANKS[package] <= RANKS[own]):
            wrong.append(f"{place} imports {name}")
    return wrong


def sources():
    return {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}


def test_every_package_has_a_layer():
    own = {Path(place).parts[0].removesuffix(".py") for place in sources()}
    assert own == {*RANKS, *FACES}


def test_imports_run_downward():
    assert [line for place, text in sources().items() for line in violations(place, text)] == []


@pytest.mark.parametrize(
    "place, source",
    [
        ("core/hints.py", "from rocket_tf.runs import folder"),
        ("core/hints.py", "def f():\n    import rocket_tf.config.fields"),
        ("data/pipeline.py", "from rocket_tf.metrics.ranking import ExactAUC"),
        ("runs/folder.py", "from rocket_tf import train"),
        ("system/files.py", "from rocket_tf.new import thing"),
        ("core/hints.py", "from .heads import flat"),
    ],
)
def test_an_import_that_runs_upward_is_found(place, source):
    assert violations(place, source)


def test_files_have_at_most_400_lines():
    lengths = {place: len(text.splitlines()) for place, text in sources().items()}
    assert [place for place, length in lengths.items() if length > 400] == []


def test_the_top_folder_has_at_most_six_files():
    assert len([place for place in sources() if "/" not in place]) <= 6
