"""The README's Python code runs unchanged, and the README is short and complete."""

import re
from pathlib import Path

import keras

from rocket_tf.core.graph import common_layers

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "b'" in capsys.readouterr().out
    assert (tmp_path / "serving" / "digits" / "1" / "saved_model.pb").exists()
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    shared = common_layers(loaded.light, loaded.booster)
    assert [layer.name for layer in shared] == ["shared"]


def test_it_has_at_most_130_lines():
    assert len(README.splitlines()) <= 130


def test_the_table_of_configurations_is_complete():
    configs = {path.name for path in (Path(__file__).parents[1] / "configs").glob("*.py")}
    first_cells = re.findall(r"^\| (`configs/[^|]*)\|", README, re.MULTILINE)
    assert set(re.findall(r"`configs/(\w+\.py)`", "".join(first_cells))) == configs
