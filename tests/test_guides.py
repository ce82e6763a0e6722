"""The guides' Python code runs as it stands, each guide from top to bottom."""

import re
from pathlib import Path

import keras
import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = ("own_nets", "hints", "clicks", "image_folders", "choosing_hints", "from_distiller")


def run(guide):
    """The names that a guide's code leaves."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{guide}.md").read_text(), re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, f"{guide}.md", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_own_nets(tmp_path, capsys):
    names = run("own_nets")
    assert (tmp_path / "serving" / "words" / "1" / "saved_model.pb").exists()
    assert {"light_bought_loss", "booster_topic_accuracy"} <= set(names["history"].history)
    told = capsys.readouterr().out
    for line in re.findall(
        r"^ {4}((?:shared|light only|booster only) .*)", guide("own_nets"), re.M
    ):
        assert line in told  # the table of the guide


def test_hints(capsys):
    names = run("hints")
    assert [hint.follows for hint in names["rocket"].hints] == ["booster", "teacher"]
    assert "teacher_loss" in capsys.readouterr().out  # of the gradient flow


def guide(name):
    return (DOCS / f"{name}.md").read_text()


def test_clicks(tmp_path):
    names = run("clicks")
    assert names["answers"]["probabilities"].shape == (3, 2)


def test_image_folders(tmp_path):
    summary = run("image_folders")["summary"]
    assert summary["train_examples"] == 16 and summary["test_examples"] == 4
    assert (tmp_path / "runs" / "colours" / summary["export"] / "saved_model.pb").exists()


def test_choosing_hints():
    names = run("choosing_hints")
    assert names["best"] in names["losses"]


def test_from_distiller(tmp_path):
    names = run("from_distiller")
    assert isinstance(names["distiller"], keras.distillation.Distiller)
    assert (tmp_path / "serving" / "rocket" / "1").is_dir()


def test_every_guide_is_run_and_named_in_the_readme():
    readme = (DOCS.parent / "README.md").read_text()
    for name in GUIDES:
        assert f"docs/{name}.md" in readme
        assert f"def test_{name}(" in Path(__file__).read_text()
