"""The configurations of the BARS benchmark's data, on stand-ins of the same form."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data import open_data
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs.finished import restore
from tests.small_runs import metrics, quick_runs

CATEGORIES = {
    "criteo": [f"C{number}" for number in range(1, 27)],
    "avazu": [f"feat_{number}" for number in range(1, 23)],
}
NUMBERS = {"criteo": [f"I{number}" for number in range(1, 14)], "avazu": []}
SMALL = {
    "batch_size": 40,
    "hash_buckets": 30,
    "light_tower": (4,),
    "booster_tower": (5,),
    "pictures": False,
}


def write(folder, name):
    """Writes train.csv, valid.csv and test.csv: a header, labels, scaled numbers, integer ids."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, rows in (("train", 70), ("valid", 9), ("test", 31)):
        with (folder / f"{part}.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["label", *NUMBERS[name], *CATEGORIES[name]])
            for _ in range(rows):
                numbers = random.random(len(NUMBERS[name])).round(6)
                ids = random.integers(0, 2_000_000, len(CATEGORIES[name]))
                lines.writerow([random.integers(0, 2), *numbers, *ids])
    return folder


@pytest.mark.parametrize("name", ["criteo", "avazu"])
def test_a_run_reads_all_columns_and_has_no_gauc(name, tmp_path, capsys):
    log = write(tmp_path / "log", name)
    config = bundled.load(name)
    with pytest.raises(ConfigError, match=r"data_path: got '' with dataset=click_log"):
        options.check_fields(config)
    config.update({**SMALL, "data_path": str(log)})
    with quick_runs():
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
    assert "not read, being neither train* nor test*: valid.csv" in capsys.readouterr().out
    assert summary["train_examples"] == 70 and summary["test_examples"] == 31
    assert {"test_auc", "test_log_loss", "test_calibration"} < set(summary["light"])
    assert "test_gauc" not in summary["light"] and "GAUC" not in closing_table(summary, "run")
    (line,) = metrics(tmp_path / "run")
    assert "val_light_auc" in line and "val_light_gauc" not in line
    card = json.loads((tmp_path / "run" / "data_card.json").read_text())["card"]
    assert set(card["dtypes"].values()) <= {"int64", "float32"}
    model, _, _ = restore(tmp_path / "run")
    assert sorted(model.light.input) == sorted([*CATEGORIES[name], *NUMBERS[name]])
    inputs = open_data(dict(config)).test.inputs
    logits = np.float64(model.light({n: tf.constant(inputs[n]) for n in model.light.input}))
    labels, right = open_data(dict(config)).test.labels, logits[:, 1] > logits[:, 0]
    error = 100 * np.mean(right != labels)
    assert summary["light"]["test_error"] == pytest.approx(error, abs=1e-3)
