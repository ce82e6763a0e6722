"""A release: its files agree on the version, and its wheel is complete."""

import importlib.util
import io
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import rocket_tf

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.fixture(scope="module")
def contents():
    specification = importlib.util.spec_from_file_location("contents", ROOT / ".ci" / "contents.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_citation_and_the_changelog_have_the_version():
    version = re.escape(rocket_tf.__version__)
    assert re.search(f"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    headings = re.findall("^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.match(f"{version}( |$)", headings[0])


def test_the_workflow_tests_every_supported_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {text.rpartition(" ")[2] for text in project["classifiers"] if ":: 3." in text}
    newest, lowest = re.findall(r"python: \[(.*?)\]", (WORKFLOWS / "tests.yml").read_text())
    assert set(re.findall(r'"(.*?)"', newest)) == named == {"3.11", "3.12", "3.13"}
    assert set(re.findall(r'"(.*?)"', lowest)) < named


def test_files_that_the_workflows_use_exist():
    called = {
        name
        for path in WORKFLOWS.glob("*.yml")
        for name in re.findall(r"(?:\.ci/|requirements)[\w.-]+", path.read_text())
    }
    assert {".ci/package", ".ci/site", "requirements-dev.txt"} <= called
    assert [name for name in called - {".ci/run"} if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "wheel, source, problem",
    [
        ((), (), None),
        (("-rocket_tf/py.typed",), (), "x.whl lacks rocket_tf/py.typed"),
        (("-rocket_tf/configs/digits.py",), (), "x.whl lacks rocket_tf/configs/digits.py"),
        (("+tests/nets.py",), (), "x.whl should not have tests/nets.py"),
        ((), ("-requirements.txt",), "x.tar.gz lacks requirements.txt"),
    ],
)
def test_an_incomplete_wheel_is_found(contents, tmp_path, capsys, wheel, source, problem):
    def changed(names, changes):
        for change in changes:
            names = names - {change[1:]} if change[0] == "-" else names | {change[1:]}
        return names

    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for name in changed({*contents.expected(), "x.dist-info/METADATA"}, wheel):
            archive.writestr(name, "")
    needed = {"LICENSE", "README.md", "pyproject.toml", "requirements.txt", "setup.py"}
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        for name in changed(needed, source):
            archive.addfile(tarfile.TarInfo(f"rocket_tf-1/{name}"), io.BytesIO())
    assert contents.main(tmp_path) == (1 if problem else 0)
    assert capsys.readouterr().out.splitlines()[:-1] == ([problem] if problem else [])
