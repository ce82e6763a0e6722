"""Runs on images that may have several classes: figures, resuming, evaluation, exports."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config.cross_checks import check_with_data
from rocket_tf.data import open_data
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import export_arguments, restore
from rocket_tf.serving.prediction import Classifier
from tests.metrics.test_average_precision import by_loop
from tests.small_runs import interrupted_after_step, metrics, quick_runs, small_config, state

CLASSES = ["left", "none", "right", "upper"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """42 images whose halves are bright or dark; 14 of them are the test part."""
    root = tmp_path_factory.mktemp("halves")
    random = np.random.default_rng(0)
    rows = {"image": [], "label": [], "part": []}
    for number in range(42):
        pixels = random.integers(0, 80, (10, 13, 3))
        chosen = random.random(3) < 0.4
        places = {"left": np.s_[:, :6], "right": np.s_[:, 7:], "upper": np.s_[:5]}
        names = [name for name, own in zip(places, chosen, strict=True) if own]
        for name in names:
            pixels[places[name]] += 80
        # No test image has "none", so its average precision is undefined.
        part = "test" if number % 3 == 1 else "train"
        rows["image"].append(f"{number}.png")
        rows["label"].append(names or (["none"] if part == "train" else []))
        rows["part"].append(part)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / f"{number}.png")
    pq.write_table(pa.table(rows), root / "labels.parquet")
    lines = ["image,label,part"]
    lines += [f"{n},{';'.join(y)},{p}" for n, y, p in zip(*rows.values(), strict=True)]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def config_of(folder, streaming="always", **changes):
    config = small_config(
        dataset="image_folder",
        data_path=str(folder),
        labels_file="labels.parquet",
        part_column="part",
        image_size=8,
        streaming=streaming,
        train_examples=0,
        validation_examples=6,
        batch_size=8,
        epochs=2,
        booster_depth=10,
        flip=True,
        checkpoint_every_steps=1,
    )
    config.update(changes)
    return config


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    with quick_runs():
        summary = train.train_and_evaluate(config_of(folder), workdir, False)
    return workdir, summary


def test_figures_are_those_of_the_logits(folder, finished):
    workdir, summary = finished
    assert (summary["train_examples"], summary["test_examples"]) == (22, 14)
    model, _, _ = restore(workdir)
    data = open_data(config_of(folder))
    assert data.class_names == CLASSES and data.card.multi_label
    details = train.evaluate(workdir, details=True)
    assert details["gradient_flow"]
    for examples in ("test", "validation"):
        images, labels = getattr(data, examples).first(20)
        assert labels.dtype == np.float32 and set(labels.flat) == {0, 1}
        for net in ("light", "booster"):
            logits = getattr(model, net)(images, training=False).numpy()
            wrong = (logits > 0) != (labels > 0)
            own = summary[net]
            assert own[f"{examples}_error"] == pytest.approx(100 * wrong.mean(), abs=1e-3)
            present = labels.any(0)
            assert present.sum() > 1
            with_absent = np.concatenate([labels * present, np.zeros_like(labels[:, :1])], 1)
            expected = by_loop(with_absent, np.concatenate([logits, logits[:, :1]], 1))
            assert own[f"{examples}_map"] == pytest.approx(expected, abs=1e-5)
            if examples == "test":
                assert details[net]["errors_by_class"] == wrong.sum(0).tolist()
    assert f"{summary['light']['test_map']:.4f}" in closing_table(summary, workdir)


def test_the_loss_is_binary_cross_entropy_of_the_logits(folder, finished):
    model, _, _ = restore(finished[0])
    images, labels = open_data(config_of(folder)).test.first(7)
    logs = model.test_on_batch(images, labels, return_dict=True)
    for net in ("light", "booster"):
        logits = getattr(model, net)(images, training=False).numpy().astype(np.float64)
        entropy = np.logaddexp(0, logits) - labels * logits
        assert logs[f"{net}_loss"] == pytest.approx(entropy.mean(), rel=1e-5)


def test_the_epoch_with_the_highest_precision_is_chosen(finished):
    workdir, summary = finished
    found = [line["val_light_map"] for line in metrics(workdir)]
    assert len(found) == 2 and summary["epoch"] == 1 + int(np.argmax(found))


@pytest.mark.slow
def test_in_memory_from_csv_and_ended_once_it_is_the_same_run(folder, finished, tmp_path):
    config = config_of(folder, "never", labels_file="labels.csv", class_separator=";")
    with quick_runs():
        with interrupted_after_step(4, steps=3):
            train.train_and_evaluate(config, tmp_path / "run", False)
        assert train.train_and_evaluate(config, tmp_path / "run", False) == finished[1]
    assert metrics(tmp_path / "run") == metrics(finished[0])
    assert state(tmp_path / "run") == state(finished[0])


def test_evaluation_reads_the_test_part_alone(folder, finished, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "moved")
    rows = pq.read_table(folder / "labels.parquet").to_pylist()
    for row in rows:
        if row["part"] == "train":
            (moved / row["image"]).unlink()
    with quick_runs():
        assert train.evaluate(finished[0], data_path=str(moved)) == finished[1]
        (row,) = [row for row in rows if row["image"] == "4.png"]
        row["label"] = ["left", "right"] if row["label"] != ["left", "right"] else ["upper"]
        pq.write_table(pa.Table.from_pylist(rows), moved / "labels.parquet")
        with pytest.raises(ConfigError, match=r"has changed since .*test_labels: \w+ → \w+"):
            train.evaluate(finished[0], data_path=str(moved))


def test_exports_give_a_probability_for_each_class(folder, finished, tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    (export,) = export_run(finished[0], ["onnx"], output=tmp_path)
    assert export.test_error == pytest.approx(finished[1]["light"]["test_error"], abs=1e-3)
    model, _, _ = restore(finished[0])
    data = open_data(config_of(folder))
    assert export_arguments(data, model.light) == {"multi_label": True}
    images, _ = data.test.first(3)
    expected = 1 / (1 + np.exp(-model.light(images, training=False).numpy()))
    classify = Classifier(export.path)
    names = [f"{number}.png" for number in (1, 10, 13)]  # sorted by name
    found = classify([str(folder / name) for name in names])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert classify.name(2) == CLASSES[2]


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"method": "kd"}, "method: got kd with several classes per image"),
        ({"method": "rocket_kd"}, "method: got rocket_kd"),
        ({"hint": "kd"}, "hint: got 'kd' .*expected 'logits_mse'"),
        ({"hint": "softmax_mse"}, "hint: got 'softmax_mse'"),
        ({"hint": "dist"}, "hint: got 'dist'"),
        ({"label_smoothing": 0.1}, "label_smoothing: got 0.1"),
        ({"mixup": 0.2}, "mixup: got 0.2"),
        ({"cutmix": 0.2}, "cutmix: got 0.2"),
        ({"class_weights": [1.0, 2.0, 1.0, 1.0]}, "class_weights: got "),
        ({"balance_classes": True}, "balance_classes: got True"),
    ],
)
def test_fields_for_single_labels_are_refused(folder, finished, changes, named):
    config = {**config_of(folder), **changes}
    options.check_fields(config)
    card = open_data(config_of(folder, "never")).card
    with pytest.raises(ConfigError, match=rf"^config\.{named}") as error:
        check_with_data(config, card, 22)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("method", ["light", "booster", "at", "no_joint_training"])
def test_methods_without_softmax_are_accepted(folder, method):
    config = {**config_of(folder), "method": method}
    check_with_data(config, open_data(config_of(folder, "never")).card, 22)
