"""Runs on clicks, from a configuration to an export that scores candidates."""

import csv

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

import rocket_tf
from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled as ready_configs
from rocket_tf.data import open_data
from rocket_tf.data.clicks.simulated import simulate
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs.building import build_nets
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import restore
from rocket_tf.serving import checks
from tests.small_runs import metrics, quick_runs, state

SMALL = {
    "epochs": 2,
    "train_examples": 900,
    "batch_size": 200,  # an uneven last batch
    "hash_buckets": 50,
    "embedding_dimension": 4,
    "light_tower": (8,),
    "booster_tower": (16, 8),
    "learning_rate": 0.01,
}


pytestmark = pytest.mark.usefixtures("few_simulated_clicks")


def small_config(method="rocket", **changes):
    config = ready_configs.load("clicks", method)
    config.update({**SMALL, **changes})
    options.check(config)
    return config


@pytest.fixture(scope="module")
def run(few_simulated_clicks, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("clicks") / "run"
    return workdir, train.train_and_evaluate(small_config(), workdir, verbose=False)


def test_figures_equal_scikit_learns(run):
    workdir, summary = run
    model, config, _ = restore(workdir)
    data = open_data(config)
    inputs = {name: data.test.inputs[name] for name in model.light.input}
    tensors = tf.nest.map_structure(tf.constant, inputs)
    labels, users = data.test.labels, data.test.inputs["user"]
    for net in ("light", "booster"):
        scores = tf.nn.softmax(tf.cast(getattr(model, net)(tensors), tf.float64))[:, 1].numpy()
        own = summary[net]
        assert own["test_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=2e-6)
        assert own["test_log_loss"] == pytest.approx(log_loss(labels, scores), abs=2e-6)
        assert own["test_error"] == pytest.approx(100 * np.mean((scores > 0.5) != labels), abs=1e-3)
        of_users = [
            (roc_auc_score(labels[users == user], scores[users == user]), (users == user).sum())
            for user in np.unique(users)
            if 0 < labels[users == user].mean() < 1
        ]
        areas, impressions = zip(*of_users, strict=True)
        rate = labels.mean()
        assert own["test_calibration"] == pytest.approx(scores.mean() / rate, abs=2e-6)
        bins = np.minimum(np.floor(scores * 20), 19)
        error = sum(abs(scores[bins == b].sum() - labels[bins == b].sum()) for b in range(20))
        assert own["test_calibration_error"] == pytest.approx(error / len(labels), abs=2e-6)
        gauc = np.average(areas, weights=impressions)
        assert own["test_gauc"] == pytest.approx(gauc, abs=2e-6)


def test_metrics_table_and_pictures(run):
    workdir, summary = run
    last = metrics(workdir)[-1]
    assert last["val_light_auc"] == pytest.approx(summary["light"]["test_auc"], abs=1e-6)
    assert "light_auc" not in last and "light_loss" in last
    table = closing_table(summary, workdir)
    assert "GAUC" in table and f"{summary['light']['test_calibration']:.3f}" in table
    assert last["val_booster_calibration_error"] == pytest.approx(
        summary["booster"]["test_calibration_error"], abs=1e-6
    )
    drawn = {path.name for path in (workdir / "pictures").iterdir()}
    assert drawn == {"learning_curves.png", "reliability.png", "gradient_flow.png"}


def test_candidates_are_scored_as_impressions_are(run):
    workdir, summary = run
    signatures = tf.saved_model.load(str(workdir / summary["export"])).signatures
    data = open_data(small_config())
    of_request = ("user", "hour", "device", "history")
    inputs = {name: tf.constant(array[:5]) for name, array in data.test.inputs.items()}
    inputs |= {name: tf.repeat(inputs[name][:1], 5, axis=0) for name in of_request}
    expected = signatures["serving_default"](**inputs)
    once = {name: inputs[name][:1] for name in of_request}
    answers = signatures["serve_candidates"](**{**inputs, **once})
    assert set(answers) == {"logits", "probabilities", "classes", "class_names"}
    np.testing.assert_allclose(answers["logits"], expected["logits"], rtol=1e-6)
    specification = signatures["serve_candidates"].structured_input_signature[1]
    assert specification["history"].shape == (1, 20) and specification["item"].shape == (None,)
    assert specification["device"].dtype == tf.string


def test_the_export_passes_all_checks(run):
    workdir, _ = run
    results = dict(checks.prove(workdir / "light" / "1", restore=restore))
    assert "serve_candidates(" in " ".join(results.values())
    assert results["agreement"] == "serve_examples as serving_default"
    assert any("computes what the checkpoint" in line for line in results.values())


def test_other_formats_are_refused(run):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(ConfigError, match=r"--formats: got litert for a net that reads ids"):
        list(export_run(run[0], ["litert"]))


@pytest.mark.slow
def test_evaluated_again_and_exported_again(run):
    workdir, summary = run
    assert train.evaluate(workdir)["light"] == summary["light"]
    (export,) = export_run(workdir, ["savedmodel"])
    first, second = (
        tf.saved_model.load(str(workdir / "light" / version)).signatures for version in ("1", "2")
    )
    named = {"serving_default", "serve_candidates", "serve_examples"}
    assert set(first) == set(second) == named
    assert export.test_error == pytest.approx(summary["light"]["test_error"], abs=1e-3)


@pytest.mark.slow
def test_resumed_equals_uninterrupted(tmp_path):
    changes = {"learning_rate_drops": (), "pictures": False}
    for epochs, name in ((1, "again"), (2, "again"), (2, "at once")):
        config = small_config(epochs=epochs, **changes)
        with quick_runs(traced=True):
            train.train_and_evaluate(config, tmp_path / name, verbose=False)
    assert metrics(tmp_path / "again") == metrics(tmp_path / "at once")
    assert state(tmp_path / "again") == state(tmp_path / "at once")


@pytest.mark.slow
def test_two_replicas_compute_the_same_where_there_is_no_batch_normalization(tmp_path):
    """The light net has none, so alone it trains alike on one device and on two."""
    one, two = (
        train.train_and_evaluate(
            small_config("light", replicas=replicas), tmp_path / f"{replicas}", verbose=False
        )
        for replicas in (1, 2)
    )
    for name in ("test_auc", "test_gauc", "test_log_loss"):
        assert one["light"][name] == pytest.approx(two["light"][name], abs=1e-4)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("kd", marks=pytest.mark.slow),
        pytest.param("rocket_kd", marks=pytest.mark.slow),
        pytest.param("no_joint_training", marks=pytest.mark.slow),
        "booster",
        pytest.param("rocket_no_sharing", marks=pytest.mark.slow),
    ],
)
def test_other_methods(method, tmp_path):
    config = small_config(method, epochs=1, pictures=False)
    with quick_runs(traced=True):
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
    net = "booster" if method == "booster" else "light"
    assert 0.4 < summary[net]["test_auc"] < 1


class TestSwitches:
    @pytest.fixture(scope="class")
    def one_epoch(self, few_simulated_clicks, tmp_path_factory):
        workdir = tmp_path_factory.mktemp("one_epoch")
        first, again = (self.last(workdir / name) for name in ("first", "again"))
        assert first == again  # so that only the switch differs
        return first

    @staticmethod
    def last(tmp_path, **changes):
        config = small_config(epochs=1, pictures=False, **changes)
        with quick_runs(traced=True):
            train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        return metrics(tmp_path / "run")[-1]

    @pytest.mark.parametrize(
        "changes",
        [
            {"shared_layers_learn_from": "booster"},
            pytest.param({"history_attention": True}, marks=pytest.mark.slow),
            pytest.param({"embedding_dimension": 5}, marks=pytest.mark.slow),
            pytest.param({"hash_buckets": 51}, marks=pytest.mark.slow),
            pytest.param({"light_tower": (9,)}, marks=pytest.mark.slow),
            pytest.param({"booster_tower": (17, 8)}, marks=pytest.mark.slow),
            {"booster_dropout": 0.5},
            pytest.param({"share": False}, marks=pytest.mark.slow),
            {"seed": 1},
            pytest.param({"split_seed": 1}, marks=pytest.mark.slow),
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_each_has_an_effect(self, one_epoch, changes, tmp_path):
        assert self.last(tmp_path, **changes)["loss"] != one_epoch["loss"]

    def test_history_length(self):
        config = small_config(history_length=3)
        assert open_data(config).train.inputs["history"].shape == (900, 3)
        light, booster = build_nets(config, open_data(config).card)
        assert light.input["history"].shape == booster.input["history"].shape == (None, 3)

    def test_validation_takes_the_latest_and_chooses_by_auc(self, tmp_path):
        config = small_config(epochs=3, validation_examples=300, pictures=False)
        data, whole = open_data(config), open_data(small_config())
        for name, array in data.validation.inputs.items():
            np.testing.assert_array_equal(array, whole.train.inputs[name][-300:])
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        areas = [line["val_light_auc"] for line in metrics(tmp_path / "run")]
        assert summary["epoch"] == 1 + areas.index(max(areas))
        assert summary["light"]["validation_auc"] == pytest.approx(max(areas), abs=1e-6)


class TestOnesOwnLog:
    @pytest.fixture
    def folder(self, tmp_path):
        """A log in CSV, with users that the nets do not read."""
        clicks, _ = simulate(examples=600, users=20, items=30)
        folder = tmp_path / "log"
        folder.mkdir()
        for name, part in (("train", clicks.train), ("test", clicks.test)):
            with (folder / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["clicked", "who", "item", "device", "price", "before"])
                for index, label in enumerate(part.labels):
                    row = {name: array[index] for name, array in part.inputs.items()}
                    before = " ".join(str(item) for item in row["history"] if item >= 0)
                    values = (row[name] for name in ("user", "item", "device", "price"))
                    writer.writerow([label, *values, before])
        return folder

    def log_config(self, folder, **changes):
        return small_config(
            **{
                "dataset": "click_log",
                "data_path": str(folder),
                "train_examples": 0,
                "label_column": "clicked",
                "user_column": "who",
                "category_columns": ("item", "device"),
                "number_columns": ("price",),
                "request_columns": ("device",),
                "history_column": "before",
                "history_length": 4,
                "epochs": 1,
                "pictures": False,
                **changes,
            }
        )

    def test_is_trained_on_and_exported(self, folder, tmp_path):
        config = self.log_config(folder)
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert (summary["train_examples"], summary["test_examples"]) == (540, 60)
        model, _, _ = restore(tmp_path / "run")
        assert set(model.light.input) == {"item", "device", "price", "before"}  # not the user
        assert model.light.input["before"].shape == (None, 4)
        signatures = tf.saved_model.load(str(tmp_path / "run" / summary["export"])).signatures
        specification = signatures["serve_candidates"].structured_input_signature[1]
        shapes = {name: tensor.shape[0] for name, tensor in specification.items()}
        assert shapes == {"before": 1, "device": 1, "item": None, "price": None}
        data = open_data(config)
        inputs = {name: tf.constant(data.test.inputs[name]) for name in model.light.input}
        gauc = rocket_tf.GroupAUC()
        gauc.update_state(data.test.labels, model.light(inputs), groups=data.test.inputs["who"])
        assert summary["light"]["test_gauc"] == pytest.approx(gauc.result(), abs=1e-5)
        prices = data.train.inputs["price"].astype(np.float64)
        scaled = model.light.get_layer("shared_price_scaled")
        np.testing.assert_allclose(np.ravel(scaled.mean), prices.mean(), rtol=1e-5)
        np.testing.assert_allclose(np.ravel(scaled.variance), prices.var(), rtol=1e-5)

    def test_data_that_has_changed_is_refused(self, folder, tmp_path):
        """Evaluation and export read only the test part."""
        config = self.log_config(folder)
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        with (folder / "train.csv").open("a") as file:
            file.write("1,3,7,phone,100.0,\n")
        with pytest.raises(ConfigError, match=r"data_path: .*has changed.*540 → 541"):
            train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert train.evaluate(tmp_path / "run") == summary
        with (folder / "test.csv").open("a") as file:
            file.write("1,3,7,phone,100.0,\n")
        for again in (
            lambda: train.evaluate(tmp_path / "run"),
            lambda: list(export_run(tmp_path / "run", ["savedmodel"])),
        ):
            with pytest.raises(ConfigError, match=r"data_path: .*has changed.*60 → 61"):
                again()
        assert not (tmp_path / "run" / "light" / "2").exists()

    def test_constant_numbers(self, folder, tmp_path):
        for name in ("train.csv", "test.csv"):
            lines = [line.split(",") for line in (folder / name).read_text().splitlines()]
            rows = [lines[0], *([*line[:4], "5.0", line[5]] for line in lines[1:])]
            (folder / name).write_text("\n".join(map(",".join, rows)) + "\n")
        card = open_data(self.log_config(folder)).card
        assert card.moments == {"price": (5.0, 1.0)}

    @pytest.mark.parametrize(
        "changes, fragment",
        [
            ({"data_path": "nowhere"}, "config.data_path: .*nowhere"),
            ({"label_column": "click"}, "no column 'click'.*did you mean 'clicked'"),
            ({"number_columns": ("device",)}, "config.*device"),
            (
                {"category_columns": ("item", "city"), "request_columns": ("city",)},
                "no column 'city'",
            ),
            ({"request_columns": ("devise",)}, "request_columns: got 'devise', expected columns"),
            ({"user_column": "price"}, "user_column: got 'price', which is"),
            ({"user_column": "clicked"}, "user_column: got 'clicked', which is"),
        ],
        ids=["folder", "label", "number", "category", "request", "user", "user as label"],
    )
    def test_mistakes_are_answered_before_anything_is_written(self, folder, changes, fragment):
        with pytest.raises(ConfigError, match=fragment) as error:
            self.log_config(folder, **changes)
        assert "\n" not in str(error.value)
