"""With only requirements.txt and the test tools installed, every test file can be collected."""

import ast
import re
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def _listed(path):
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _with_dependencies(requirements):
    found, left = set(), list(requirements)
    while left:
        requirement = left.pop()
        for extra in ("", *requirement.extras):
            if (need := (_normal(requirement.name), extra)) in found:
                continue
            found.add(need)
            try:
                needs = [Requirement(line) for line in requires(requirement.name) or ()]
            except PackageNotFoundError:  # needed only on another system or Python
                continue
            left += [r for r in needs if not r.marker or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def _imported_at_the_top(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_requirements_cover_the_imports_of_test_files():
    installed = _with_dependencies(
        _listed(ROOT / "requirements.txt") + _listed(ROOT / ".ci" / "test_tools.txt")
    )
    packages = {
        package
        for package, distributions in packages_distributions().items()
        if installed & {_normal(name) for name in distributions}
    }
    known = packages | set(sys.stdlib_module_names) | {"rocket_tf", "tests"}
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in _imported_at_the_top(path)
        if name not in known
    }
    assert not missing, f"name them in .ci/test_tools.txt, or import them in the test: {missing}"
