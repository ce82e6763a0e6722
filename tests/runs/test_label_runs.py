"""Click logs with several labels: how they are read, trained on, measured, resumed and exported."""

import json
import types

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data import click_dataset, open_data
from rocket_tf.data.clicks import made_up
from rocket_tf.errors import ConfigError, DamagedDataError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.reporting.writing import write_run_page
from rocket_tf.runs import init_runs
from rocket_tf.runs import pictures as run_pictures
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import restore
from rocket_tf.runs.folder import RunFolder
from rocket_tf.serving import checks, example_messages, model_card
from tests.reference import click_figures
from tests.small_logs import write_log
from tests.small_runs import (
    SMALL_CLICK_LOG,
    interrupted_after_step,
    metrics,
    quick_runs,
    state,
)

LABELS = ("click", "bought")
ROWS = {
    "click": [1, 0, 0, 1, 1],
    "bought": [0, 0, 0, 1, 0],
    "late": [1, 1, 0, 1, 1],
    "user": [4, 4, 5, 5, 5],
    "item": [7, 9, 8, 5, 6],
}


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", ["csv", "tfrecord", "parquet"])
def test_labels_are_read_by_name(tmp_path, form, streaming, capsys):
    log = write_log(tmp_path / "log", form, ROWS)
    labels = ("bought", "click", "late")
    fields = {"batch_size": 3, "label_columns": labels, "streaming": streaming}
    batches = list(click_dataset(log, "test", **fields).as_numpy_iterator())
    assert all(sorted(inputs) == ["item", "user"] for inputs, _ in batches)
    for label in labels:
        found = [own[label] for _, own in batches]
        assert [each.shape for each in found] == [(3, 1), (2, 1)] and found[0].dtype == np.int64
        np.testing.assert_array_equal(np.concatenate(found)[:, 0], ROWS[label])
    trained = []
    for inputs, own in click_dataset(log, **fields).as_numpy_iterator():
        trained += zip(inputs["item"], *(own[label][:, 0] for label in labels), strict=True)
    assert sorted(trained) == sorted(zip(*(ROWS[n] for n in ("item", *labels)), strict=True))
    line = "5 training and 5 test examples, of which 20.0% and 20.0% have bought=1, 60.0% and"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("bad", [None, 2])
@pytest.mark.parametrize(
    ("form", "streaming", "place"),
    [
        ("csv", "never", "train.csv: line 5"),
        ("csv", "always", "train.csv: line 5"),
        ("parquet", "never", "train.parquet: row group 2, row 1"),
    ],
)
def test_a_missing_or_invalid_label_is_one_line(tmp_path, form, streaming, place, bad):
    bought = [0, 0, 0, bad, 0]
    if form == "csv":
        bought = ["" if value is None else value for value in bought]
    log = write_log(tmp_path / "log", form, {**ROWS, "bought": bought})
    settings = {"dataset": "click_log", "data_path": str(log), "streaming": streaming}
    with pytest.raises(DamagedDataError, match=rf"{place}: label \S+ in 'bought'; expected 0 or 1"):
        open_data({**settings, "label_columns": LABELS})
    open_data(settings)  # without the field, it is any column


def config(log, method="rocket", **changes):
    config = bundled.load("clicks", method)
    config.update(
        {
            **SMALL_CLICK_LOG,
            "data_path": str(log),
            "label_columns": LABELS,
            "weight_column": "w",
            "label_weights": (1.0, 0.5),
            "hint_weight": 0.3,
            **changes,
        }
    )
    options.check_fields(config)
    return config


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    made_up.write(folder / "plain", 250, seed=1, rows_in_group=90, test_rows=60)
    random = np.random.default_rng(0)
    (folder / "log").mkdir()
    for path in (folder / "plain").glob("*.parquet"):
        table = pq.read_table(path)
        bought = table["click"].to_numpy() * random.integers(0, 2, len(table))
        table = table.append_column("bought", pa.array(bought))
        weights = random.choice([0.0, 0.5, 3.0], len(table))
        table = table.append_column("w", pa.array(weights))
        pq.write_table(table, folder / "log" / path.name, 90)
    return folder / "log"


@pytest.fixture(scope="module")
def run(log, tmp_path_factory):
    """A run of two epochs, one of them chosen by validation, and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    own = config(log, streaming="always", epochs=2, validation_examples=60, pictures=True)
    with quick_runs(exported=True):
        return workdir, train.train_and_evaluate(own, workdir, verbose=False)


def test_each_head_has_its_figures(log, run):
    workdir, summary = run
    model, _, _ = restore(workdir)
    data = open_data(dict(config(log, validation_examples=60)))
    for examples in ("test", "validation"):
        inputs, labels = getattr(data, examples).first(100)
        assert labels.shape == (60, 2)
        tensors = {name: tf.constant(inputs[name]) for name in model.booster.input}
        for net in ("light", "booster"):
            logits = getattr(model, net)(tensors, training=False)
            for place, label in enumerate(LABELS):
                scores = np.float64(logits[label]).ravel()
                expected = click_figures(
                    scores, labels[:, place], np.float64(inputs["w"]), inputs["hour"]
                )
                for name, value in expected.items():
                    found = summary[net]["labels"][label][f"{examples}_{name}"]
                    assert found == pytest.approx(value, rel=2e-5), (net, label, name)
            first = summary[net]["labels"]["click"]
            assert first.items() <= summary[net].items()
    table = closing_table(summary, workdir)
    for net in ("light", "booster"):
        for label in LABELS:
            (line,) = [line for line in table.splitlines() if line.startswith(f"{net} {label} ")]
            assert f"{summary[net]['labels'][label]['test_auc']:.4f}" in line
            has_costs = f"{summary[net]['parameters']:,}" in line
            assert has_costs == (label == "click")


def test_the_first_label_chooses_the_epoch(run):
    workdir, summary = run
    by_label = {
        label: [line[f"val_light_{label}_auc"] for line in metrics(workdir)] for label in LABELS
    }
    assert summary["epoch"] == 1 + int(np.argmax(by_label["click"]))
    assert len(set(by_label["click"])) == 2


def test_the_objective_is_a_cross_entropy_of_each_label_and_its_hint(log, run):
    model, _, _ = restore(run[0])
    inputs, labels = open_data(dict(config(log))).test.first(70)
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    by_name = {label: labels[:, place : place + 1] for place, label in enumerate(LABELS)}
    weights = np.float64(inputs["w"])
    logs = model.test_on_batch(inputs, by_name, inputs["w"], return_dict=True)
    total, hint, logits = 0.0, 0.0, {}
    for net in ("light", "booster"):
        own = getattr(model, net)({n: inputs[n] for n in model.light.input}, training=False)
        logits[net] = {label: np.float64(value)[:, 0] for label, value in own.items()}
        for label, weight in zip(LABELS, (1.0, 0.5), strict=True):
            scores, given = logits[net][label], by_name[label][:, 0]
            entropy = (weights * (np.logaddexp(0, scores) - given * scores)).mean()
            assert logs[f"{net}_{label}_loss"] == pytest.approx(entropy, rel=1e-5)
            total += weight * entropy
    for label in LABELS:
        hint += (weights * (logits["light"][label] - logits["booster"][label]) ** 2).mean()
    assert logs["hint_loss"] == pytest.approx(hint, rel=1e-4)
    assert logs["loss"] == pytest.approx(total + 0.3 * hint, rel=1e-5)


@pytest.mark.slow
def test_in_memory_and_ended_once_it_is_the_same_run(log, run, tmp_path):
    own = config(log, streaming="never", epochs=2, validation_examples=60, checkpoint_every_steps=1)
    with quick_runs():
        with interrupted_after_step(3, steps=2):
            train.train_and_evaluate(own, tmp_path / "run", verbose=False)
        resumed = train.train_and_evaluate(own, tmp_path / "run", verbose=False)
        assert resumed == run[1]
        assert train.evaluate(tmp_path / "run") == run[1]
    assert metrics(tmp_path / "run") == metrics(run[0])
    assert state(tmp_path / "run") == state(run[0])


def test_the_export_answers_for_each_label(log, run, tmp_path):
    workdir, summary = run
    model, _, _ = restore(workdir)
    served = tf.saved_model.load(str(workdir / summary["export"])).signatures
    inputs, _ = open_data(dict(config(log))).test.first(5)
    light = {name: tf.constant(inputs[name]) for name in model.light.input}
    own = {n: v if n == "user" or n == "history" else v[:5] for n, v in light.items()}
    once = {name: own[name][:1] for name in ("user", "history")}
    rows = {**own, **{name: tf.repeat(value, 5, axis=0) for name, value in once.items()}}
    expected = model.light(rows, training=False)
    given = {name: value for name, value in own.items() if name not in once}
    found = {
        "serving_default": served["serving_default"](**rows),
        "serve_candidates": served["serve_candidates"](**given, **once),
        "serve_examples": served["serve_examples"](
            examples=tf.constant(
                example_messages.serialized({n: v.numpy() for n, v in rows.items()})
            )
        ),
    }
    for name, answers in found.items():
        assert len(answers) == 6, name
        for label in LABELS:
            scores = np.float64(expected[label])
            np.testing.assert_allclose(
                answers[f"{label}_probabilities"], 1 / (1 + np.exp(-scores)), rtol=1e-5
            )
            np.testing.assert_array_equal(answers[f"{label}_classes"], scores[:, 0] > 0)
    proved = dict(checks.prove(workdir / summary["export"], restore=restore))
    assert "computes what the checkpoint" in proved["checkpoint"]
    assert proved["warm-up"] == "3 requests replayed"
    assert proved["labels"] == "the classes have no names"
    card = model_card.card_of(workdir / summary["export"]).read_text()
    bought = summary["light"]["labels"]["bought"]
    assert f"| label bought | {bought['test_error']:.2f} % |" in card
    (export,) = export_run(workdir, ["savedmodel"], output=tmp_path)
    data = open_data(dict(config(log))).test
    tensors = {name: tf.constant(data.inputs[name]) for name in model.light.input}
    wrong = (np.asarray(model.light(tensors)["click"])[:, 0] > 0) != data.labels[:, 0]
    assert export.test_error == pytest.approx(100 * wrong.mean())


def test_an_export_of_another_label_is_detected(run):
    workdir, summary = run

    def swapped(*arguments):
        model, *others = restore(*arguments)
        click, bought = (model.light.output[label] for label in LABELS)
        light = keras.Model(model.light.input, {"click": bought, "bought": click}, name="light")
        return (types.SimpleNamespace(light=light), *others)

    with pytest.raises(checks.CheckFailed, match=r"checkpoint: \w+_logits differ by"):
        list(checks.prove(workdir / summary["export"], restore=swapped))


def test_its_pictures(log, run):
    drawn = {path.name for path in (run[0] / "pictures").iterdir()}
    assert drawn == {"learning_curves.png", "reliability.png", "gradient_flow.png"}
    model, _, _ = restore(run[0])
    data = open_data(dict(config(log)))
    bins = run_pictures.reliability_of(model, data.test, data.card)
    assert list(bins) == list(LABELS) and list(bins["bought"]) == ["light", "booster"]
    weights = np.float64(data.test.inputs["w"])
    for place, label in enumerate(LABELS):
        for net, sums in bins[label].items():
            figures = run[1][net]["labels"][label]
            assert sums[0].sum() == pytest.approx(weights.sum())
            assert sums[2].sum() == pytest.approx((weights * data.test.labels[:, place]).sum())
            error = np.abs(sums[1] - sums[2]).sum() / sums[0].sum()
            assert error == pytest.approx(figures["test_calibration_error"], abs=1e-6)


def test_its_page(run, tmp_path):
    write_run_page(RunFolder(run[0]), tmp_path / "page.html")
    figures = run[1]["booster"]["labels"]["bought"]
    row = f"<td>booster: bought</td><td>{figures['test_auc']:.4f}</td>"
    text = (tmp_path / "page.html").read_text()
    assert row in text and "Predicted and observed rates" in text


def test_errors_by_class_are_those_of_the_first_label(log, run):
    found = train.evaluate(run[0], details=True)
    model, _, _ = restore(run[0])
    data = open_data(dict(config(log))).test
    tensors = {name: tf.constant(data.inputs[name]) for name in model.light.input}
    labels = data.labels[:, 0]
    for net in ("light", "booster"):
        missed = (np.asarray(getattr(model, net)(tensors)["click"])[:, 0] > 0) != labels
        expected = [int(missed[labels == own].sum()) for own in (0, 1)]
        assert found[net]["errors_by_class"] == expected
    assert set(found["gradient_flow"]) == {
        *(f"{net}_{label}_loss" for net in ("light", "booster") for label in LABELS),
        "hint_loss",
    }


@pytest.mark.slow
def test_methods_that_follow_a_trained_booster(log, tmp_path):
    own = config(log, "kd", distillation_weight=0.75, weight_column="")
    with quick_runs():
        summary = train.train_and_evaluate(own, tmp_path / "kd", verbose=False)
        booster = json.loads((tmp_path / "kd" / "booster" / "summary.json").read_text())
    assert list(summary["light"]["labels"]) == list(booster["booster"]["labels"]) == list(LABELS)
    assert "val_booster_bought_auc" in metrics(tmp_path / "kd" / "booster")[0]
    model, _, _ = restore(tmp_path / "kd")
    assert model.objective.label_weights == {"light_click": 0.25, "light_bought": 0.125}
    other = config(log, "kd", label_columns=(), label_weights=(), weight_column="")
    other.booster_run = str(tmp_path / "kd" / "booster")
    with pytest.raises(ConfigError, match=r"booster does not fit \(label_columns: \['click', 'b"):
        RunFolder(tmp_path / "other").check(other, open_data(dict(other)))


def test_a_next_day_has_the_same_labels(log, run, tmp_path):
    def scaled(**changes):
        own = dict(config(log, init_run=str(run[0]), **changes))
        init_runs.check(own)
        return init_runs.with_old_scales(own, RunFolder(tmp_path / "new"), open_data(own))

    assert scaled().card.outputs == LABELS
    message = r"other nets \(label_columns: \('click', 'bought'\) → \(\)\)"
    with pytest.raises(ConfigError, match=message):
        scaled(label_columns=(), label_weights=())


def test_features_go_with_labels_and_weights(log):
    features = ({"name": "user", "kind": "category"}, {"name": "price", "kind": "number"})
    fields = {"dataset": "click_log", "data_path": str(log), "features": features}
    data = open_data({**fields, "label_columns": LABELS, "weight_column": "w"})
    inputs, labels = data.test.first(4)
    assert sorted(inputs) == ["price", "user", "w"] and labels.shape == (4, 2)
    assert data.card.outputs == LABELS and data.card.columns.weight == "w"
