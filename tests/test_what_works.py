"""Each statement in docs/what_works.md names tests that exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "what_works.md").read_text()


def names_in(path):
    """The names of all functions and classes in a file."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def test_every_statement_has_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line[2] != "|"]
    assert len(rows) > 30
    assert [row for row in rows if not re.search(r"\| `[\w/]+\.py::\w+`(, `\S+`)* \|$", row)] == []


def test_the_tests_exist():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    files = {path: names_in(TESTS / path) for path, _ in named}
    assert [f"{path}::{name}" for path, name in named if name not in files[path]] == []
    assert all(name.startswith(("test_", "Test")) for _, name in named)
