"""Runs that start from a finished run, as on the next day."""

import contextlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data import catalog, open_data
from rocket_tf.data.clicks import made_up
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs import init_runs, summary
from rocket_tf.runs.building import build_nets
from rocket_tf.runs.finished import restore
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.starts import prepared
from tests.small_runs import (
    SMALL_CLICK_LOG,
    interrupted_after_step,
    metrics,
    quick_runs,
    small_config,
    state,
)

FIELDS = {**SMALL_CLICK_LOG, "hash_buckets": 400, "checkpoint_every_steps": 1}


def config(log, init_run="", method="rocket", **changes):
    config = bundled.load("clicks", method)
    config.update({**FIELDS, "data_path": str(log), "init_run": str(init_run), **changes})
    return config


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two days with different ids; on the second, prices are five times as high."""
    folder = tmp_path_factory.mktemp("days")
    for day, number in (("first", 1), ("second", 2)):
        made_up.write(folder / day, 250, seed=number, rows_in_group=90, test_rows=60)
    for path in (folder / "second").glob("*.parquet"):
        table = pq.read_table(path)
        prices = pa.array(5 * table["price"].to_numpy())
        column = table.schema.get_field_index("price")
        pq.write_table(table.set_column(column, "price", prices), path, row_group_size=90)
    return folder


@pytest.fixture(scope="module")
def old(days, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "old"
    with quick_runs():
        train.train_and_evaluate(config(days / "first"), workdir, verbose=False)
    return workdir


@pytest.fixture(scope="module")
def run(days, old, tmp_path_factory):
    """The second day's run, and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "new"
    with quick_runs():
        own = config(days / "second", old)
        return workdir, train.train_and_evaluate(own, workdir, verbose=False)


def test_the_old_nets_are_evaluated_on_the_new_data_first(days, old, run):
    model, _, _ = restore(old)
    second = open_data(dict(config(days / "second")))
    inputs, labels = second.test.inputs, second.test.labels
    for net in ("light", "booster"):
        own_net = getattr(model, net)
        logits = np.float64(own_net({n: tf.constant(inputs[n]) for n in own_net.input}))
        logits -= logits.max(1, keepdims=True)
        own = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        log_loss = -own[np.arange(len(labels)), labels].mean()
        clicked, others = (own[labels == label, 1] - own[labels == label, 0] for label in (1, 0))
        wins = (clicked[:, None] > others).mean() + (clicked[:, None] == others).mean() / 2
        before = run[1]["before"][net]
        assert before["test_log_loss"] == pytest.approx(log_loss, abs=2e-6)
        assert before["test_auc"] == pytest.approx(wins, abs=1e-6)
        assert run[1][net]["test_log_loss"] != before["test_log_loss"]
    table = closing_table(run[1], "runs/new")
    assert f"{run[1]['before']['light']['test_auc']:.4f}" in table
    assert "\nlight before " in table and "\nbooster before " in table


def test_weights_without_a_step_are_the_old_ones(days, old, run):
    tables = [restore(path)[0].get_layer("shared_item_embedding") for path in (old, run[0])]
    before, after = (table.get_weights()[0] for table in tables)
    is_same = (before == after).all(axis=1)
    # Most of the 400 rows belong to the 250 items and histories of the second day.
    assert 10 < is_same.sum() < 250


def test_numbers_are_scaled_as_in_the_old_run(days, old, run):
    cards = [json.loads((path / "data_card.json").read_text())["card"] for path in (old, run[0])]
    assert cards[0]["moments"] == cards[1]["moments"]
    ratio = open_data(dict(config(days / "second"))).card.moments["price"][0]
    assert ratio > 4 * cards[0]["moments"]["price"][0]
    layers = [restore(path)[0].get_layer("shared_price_scaled") for path in (old, run[0])]
    np.testing.assert_array_equal(*(np.asarray(layer.mean) for layer in layers))


def test_the_old_run_is_no_longer_needed(days, run, tmp_path):
    workdir, found = run
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy)
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(json.dumps({**json.loads(text), "init_run": "gone"}))
    with quick_runs():
        assert train.evaluate(copy)["light"] == found["light"]
        # The same for data that was opened with the new day's card.
        opened = open_data(dict(config(days / "second")))
        assert train.evaluate(copy, data=opened)["booster"] == found["booster"]


@contextlib.contextmanager
def killed_before_the_first_step(monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.fitting, "fit", kill)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_killed_run_ends_as_an_uninterrupted_one(days, old, run, tmp_path, monkeypatch):
    workdir, aside = tmp_path / "run", tmp_path / "aside"
    shutil.copytree(old, aside / "old")
    own = config(days / "second", aside / "old")
    evaluations, measure = [], summary.figures_now

    def figures_now(run):
        evaluations.append(measure(run))
        if len(evaluations) == 1:
            raise KeyboardInterrupt
        return evaluations[-1]

    monkeypatch.setattr(summary, "figures_now", figures_now)
    with quick_runs():
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(own, workdir, verbose=False)
        assert not (workdir / "before.json").exists()
        with killed_before_the_first_step(monkeypatch):
            train.train_and_evaluate(own, workdir, verbose=False)
        assert len(evaluations) == 2 and (workdir / "before.json").exists()
        with interrupted_after_step(2, steps=3):
            train.train_and_evaluate(own, workdir, verbose=False)
        shutil.rmtree(aside)
        resumed = train.train_and_evaluate(own, workdir, verbose=False)
    assert len(evaluations) == 2
    assert resumed == run[1]
    assert metrics(workdir) == metrics(run[0])
    assert state(workdir) == state(run[0])

    (workdir / "summary.json").unlink()
    (workdir / "before.json").unlink()
    with quick_runs(), pytest.raises(ConfigError, match=r"before\.json is damaged \(it is missing"):
        train.train_and_evaluate(own, workdir, verbose=False)


def test_an_old_run_that_has_changed_is_refused(days, old, tmp_path, monkeypatch):
    copy, workdir = tmp_path / "old", tmp_path / "run"
    shutil.copytree(old, copy)
    own = config(days / "second", copy)
    with quick_runs(), killed_before_the_first_step(monkeypatch):
        train.train_and_evaluate(own, workdir, verbose=False)
    kept = json.loads((workdir / "before.json").read_text())
    (workdir / "before.json").write_text(json.dumps({**kept, "weights": "another"}))
    with quick_runs(), pytest.raises(ConfigError, match=r"init_run: .* does not have the weights"):
        train.train_and_evaluate(own, workdir, verbose=False)
    (copy / "checkpoints" / "epoch-1.index").unlink()
    with quick_runs(), pytest.raises(ConfigError, match=r"init_run: .* lacks its checkpoint epo"):
        train.train_and_evaluate(own, workdir, verbose=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_run": "nowhere"}, r"init_run: nowhere holds no run \(no config.json\); expected"),
        ({"light_tower": (5,)}, r"holds a run of other nets \(light_tower: \[6\] → \[5\]\); exp"),
        ({"hash_buckets": 41}, r"other nets \(hash_buckets: 400 → 41\)"),
        ({"method": "light"}, r"other nets \(method: 'rocket' → 'light'\)"),
        ({"method": "kd"}, r"init_run: got '.*' with method=kd, expected '': it is for built-in"),
    ],
)
def test_other_nets_are_one_line(days, old, tmp_path, changes, message):
    own = config(days / "second", **{"init_run": old, **changes})
    with pytest.raises(ConfigError, match=message):
        prepared(own, RunFolder(tmp_path))


def test_an_image_run_is_one_line(old, tmp_path):
    with pytest.raises(ConfigError, match=r"init_run: got '.*' with dataset=digits, expected ''"):
        prepared(small_config(init_run=str(old)), RunFolder(tmp_path))


def test_an_unfinished_run_and_one_on_images_are_one_line(days, old, tmp_path):
    copy = tmp_path / "old"
    shutil.copytree(old, copy)
    found = (copy / "summary.json").read_text()
    (copy / "summary.json").unlink()
    own = config(days / "second", copy)
    with pytest.raises(ConfigError, match=r"init_run: .* holds a run that is not finished; finis"):
        prepared(own, RunFolder(tmp_path))
    (copy / "summary.json").write_text(found)
    (copy / "config.json").write_text(json.dumps(dict(small_config())))
    with pytest.raises(ConfigError, match=r"holds a run with dataset=digits, not the built-in"):
        prepared(own, RunFolder(tmp_path))


def rewritten(log, folder, name, change):
    """A log with a column changed."""
    folder.mkdir()
    for path in log.glob("*.parquet"):
        table = pq.read_table(path)
        column = table.schema.get_field_index(name)
        changed = change(table[name].to_numpy())
        table = table.set_column(column, name, pa.array(changed))
        pq.write_table(table, folder / path.name, row_group_size=90)
    return folder


def test_columns_of_another_kind(days, old, tmp_path):
    def scaled(log, **changes):
        own = dict(config(log, old, **changes))
        return init_runs.with_old_scales(own, RunFolder(tmp_path / "run"), open_data(own))

    changes = {"number_columns": (), "history_length": 5}
    message = r"other nets \(number_columns: \('price',\) → \(\); history_length: 4 → 5\)"
    with pytest.raises(ConfigError, match=message):
        scaled(days / "second", **changes)
    texts = rewritten(days / "second", tmp_path / "texts", "user", lambda ids: ids.astype(str))
    message = r"a run whose nets read 'user' as int64, here string"
    with pytest.raises(ConfigError, match=message):
        scaled(texts)
    # Nets built from this day alone would read these prices as float64.
    far = rewritten(days / "second", tmp_path / "far", "price", lambda price: price + 1e9)
    data = scaled(far)
    assert open_data(dict(config(far))).card.dtypes["price"] == "float64"
    assert data.card.dtypes["price"] == "float32"
    assert data.card.moments == RunFolder(old).known_data(dict(config(far))).card.moments
    model, _, _ = restore(old)
    inputs = dict(data.test.inputs)
    as_float32 = {**inputs, "price": inputs["price"].astype(np.float32)}
    np.testing.assert_array_equal(
        model.predict(inputs, verbose=0), model.predict(as_float32, verbose=0)
    )


class TestFeatures:
    """Runs whose columns are given one by one."""

    FEATURES = (
        {"name": "user", "kind": "category", "buckets": 50, "dimension": 3},
        {"name": "item", "kind": "category", "buckets": 60, "dimension": 3},
        {"name": "hour", "kind": "category", "min_count": 10, "dimension": 4},
        {"name": "query", "kind": "category", "min_count": 1, "dimension": 2, "missing": True},
        {"name": "history", "kind": "history", "of": "item", "length": 3},
        {"name": "price", "kind": "number"},
    )
    SIMPLE = (
        *("category_columns", "number_columns", "history_column", "history_length"),
        *("hash_buckets", "embedding_dimension"),
    )

    def config(self, log, init_run="", features=FEATURES):
        simple = {name: bundled.load("clicks")[name] for name in self.SIMPLE}
        return config(log, init_run, features=features, **simple)

    @pytest.fixture(scope="class")
    def old(self, days, tmp_path_factory):
        workdir = tmp_path_factory.mktemp("runs") / "features"
        with quick_runs():
            train.train_and_evaluate(self.config(days / "first"), workdir, verbose=False)
        return workdir

    @pytest.fixture(scope="class")
    def run(self, days, old, tmp_path_factory):
        """The second day's run, its summary, and the weights before its first step, by layer."""
        workdir, begun = tmp_path_factory.mktemp("runs") / "new", {}
        fit = train.fitting.fit

        def recorded(run, restored):
            layers = (run.model.light, run.model.booster)
            begun.update({own.name: own.get_weights() for net in layers for own in net.layers})
            fit(run, restored)

        with quick_runs(exported=True), pytest.MonkeyPatch.context() as patch:
            patch.setattr(train.fitting, "fit", recorded)
            own = self.config(days / "second", old)
            return workdir, train.train_and_evaluate(own, workdir, verbose=False), begun

    @staticmethod
    def vocabularies(*workdirs):
        cards = [json.loads((path / "data_card.json").read_text())["card"] for path in workdirs]
        return [card["vocabularies"] for card in cards]

    def test_new_ids_stand_behind_the_known_ones(self, days, old, run):
        known, after = self.vocabularies(old, run[0])
        second = open_data(dict(self.config(days / "second"))).card.vocabularies
        for name in ("hour", "query"):
            new = [value for value in second[name] if value not in known[name]]
            assert new and set(known[name]) - set(second[name])
            assert after[name] == known[name] + new
        ids = restore(run[0])[0].light.get_layer("shared_hour_ids").get_vocabulary()
        assert list(ids[1:]) == after["hour"]

    def test_known_rows_are_the_old_ones_and_new_rows_are_initial_ones(self, days, old, run):
        known, after = self.vocabularies(old, run[0])
        trained, _, _ = restore(old)
        card = json.loads((run[0] / "data_card.json").read_text())["card"]
        initial, _ = build_nets(dict(self.config(days / "second", old)), catalog.from_json(card))
        missing = {"hour": 0, "query": 1}
        for name, last in missing.items():
            layer = f"shared_{name}_embedding"
            (before,), (fresh,) = (
                net.get_layer(layer).get_weights() for net in (trained.light, initial)
            )
            (begun,) = run[2][layer]
            first, end = 1 + len(known[name]), 1 + len(after[name])
            assert len(before) == first + last and len(begun) == end + last
            np.testing.assert_array_equal(begun[:first], before[:first])
            np.testing.assert_array_equal(begun[end:], before[first:])
            np.testing.assert_array_equal(begun[first:end], fresh[first:end])
            assert len(np.unique(begun[first:end], axis=0)) == end - first
            # New rows are trained, too.
            (now,) = restore(run[0])[0].light.get_layer(layer).get_weights()
            assert (now[first:end] != begun[first:end]).any(axis=1).sum() > 1
        for layer, weights in run[2].items():
            if weights and layer not in ("shared_hour_embedding", "shared_query_embedding"):
                for mine, theirs in zip(
                    weights, self.layer_of(trained, layer).get_weights(), strict=True
                ):
                    np.testing.assert_array_equal(mine, theirs)

    @staticmethod
    def layer_of(model, name):
        (layer, *_) = [
            own for net in (model.light, model.booster) for own in net.layers if own.name == name
        ]
        return layer

    def test_before_is_of_the_old_nets_as_they_were(self, days, old, run):
        model, _, _ = restore(old)
        second = open_data(dict(self.config(days / "second")))
        inputs, labels = second.test.inputs, second.test.labels
        known, after = self.vocabularies(old, run[0])
        assert np.isin(inputs["hour"], after["hour"][len(known["hour"]) :]).sum() > 5
        for net in ("light", "booster"):
            own = getattr(model, net)
            logits = np.float64(own({n: tf.constant(inputs[n]) for n in own.input}))
            logits -= np.log(np.exp(logits).sum(1, keepdims=True))
            log_loss = -logits[np.arange(len(labels)), labels].mean()
            assert run[1]["before"][net]["test_log_loss"] == pytest.approx(log_loss, abs=2e-6)

    @pytest.mark.slow
    def test_killed_before_and_after_the_first_step(self, days, old, run, tmp_path, monkeypatch):
        own, workdir = self.config(days / "second", old), tmp_path / "run"
        with quick_runs():
            with killed_before_the_first_step(monkeypatch):
                train.train_and_evaluate(own, workdir, verbose=False)
            with interrupted_after_step(2, steps=3):
                train.train_and_evaluate(own, workdir, verbose=False)
            assert train.train_and_evaluate(own, workdir, verbose=False) == run[1]
        assert metrics(workdir) == metrics(run[0])
        assert state(workdir) == state(run[0])

    def test_the_export_knows_new_ids(self, days, run):
        (after,) = self.vocabularies(run[0])
        serve = tf.saved_model.load(str(run[0] / run[1]["export"])).signatures["serving_default"]
        inputs, _ = open_data(dict(self.config(days / "second"))).test.first(1)
        model, _, _ = restore(run[0])
        hours = [after["hour"][-1], after["hour"][0], 10**6, -(10**6)]
        rows = {name: np.repeat(inputs[name], 4, axis=0) for name in model.light.input}
        rows["hour"] = np.array(hours)
        logits = serve(**{name: tf.constant(value) for name, value in rows.items()})["logits"]
        assert len({tuple(row) for row in logits.numpy().tolist()}) == 3  # two are unknown
        light = model.light({name: tf.constant(value) for name, value in rows.items()})
        np.testing.assert_allclose(logits, light, rtol=1e-5, atol=1e-6)

    @pytest.mark.slow
    def test_a_third_day_goes_on_from_the_second(self, days, old, run, tmp_path):
        own = dict(self.config(days / "first", run[0]))
        data = init_runs.with_old_scales(own, RunFolder(tmp_path / "third"), open_data(own))
        after = self.vocabularies(run[0])[0]
        assert {n: list(own) for n, own in data.card.vocabularies.items()} == after

    def test_other_features_are_other_nets(self, days, old, tmp_path):
        changed = ({**self.FEATURES[0], "buckets": 51}, *self.FEATURES[1:])
        own = self.config(days / "second", old, features=changed)
        with pytest.raises(ConfigError, match=r"holds a run of other nets \(features.user.buckets"):
            train.train_and_evaluate(own, tmp_path / "new", verbose=False)
        assert not (tmp_path / "new").exists()
