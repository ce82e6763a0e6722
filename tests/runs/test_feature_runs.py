"""A run whose features are given one by one, from a streamed log to an export of raw values."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.errors import ConfigError
from rocket_tf.networks import Feature
from rocket_tf.runs.finished import restore
from rocket_tf.serving import checks, example_messages

FEATURES = (
    Feature("user", "category", buckets=30, dimension=3),
    Feature("item", "category", min_count=3, dimension=4),
    Feature("tags", "tags", buckets=9, length=3, weights="shares", dimension=2),
    Feature("seen", "history", of="item", length=2),
    Feature("liked", "history", of="user", length=3),
    Feature("look", "vector", length=2),
    Feature("when", "time", dimension=2),
    {"name": "position", "kind": "category", "integers": True, "buckets": 6, "served_as": 1},
    Feature("dwell", "number"),
)


def write(folder):
    random = np.random.default_rng(4)
    for part, rows in (("train", 150), ("test", 40)):
        tags = [random.choice(["a", "b", "Ω"], size) for size in random.integers(0, 5, rows)]
        columns = {
            "click": random.integers(0, 2, rows),
            "user": random.integers(0, 40, rows),
            "item": np.minimum(random.integers(0, 30, rows), random.integers(0, 30, rows)),
            "tags": [own.tolist() for own in tags],
            "shares": [random.random(len(own)).round(2).tolist() for own in tags],
            "seen": [random.integers(0, 30, size).tolist() for size in random.integers(0, 4, rows)],
            "liked": [[1, 2]] * rows,
            "look": random.normal(size=(rows, 2)).tolist(),
            "when": 1_700_000_000 + 5000 * np.arange(rows),
            "position": random.integers(1, 9, rows),
            "dwell": random.random(rows),
        }
        pq.write_table(pa.table(columns), folder / f"{part}.parquet", row_group_size=60)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    write(folder)
    config = bundled.load("clicks", "rocket")
    config.update(
        {
            "dataset": "click_log",
            "data_path": str(folder),
            "features": FEATURES,
            "booster_only": ("dwell",),
            "request_columns": ("user", "when"),
            "streaming": "always",
            "shuffle_row_groups": 2,
            "epochs": 1,
            "batch_size": 70,
            "light_tower": (6,),
            "booster_tower": (7, 5),
            "learning_rate": 0.01,
            "pictures": False,
        }
    )
    workdir = tmp_path_factory.mktemp("runs") / "run"
    summary = train.train_and_evaluate(config, workdir, verbose=False)
    elsewhere = folder.rename(
        folder.with_name("elsewhere")
    )  # the run's folder has all that the nets need
    return {**config, "data_path": str(elsewhere)}, workdir, summary


def test_the_export_takes_raw_values_and_has_the_position_that_it_is_served_as(run):
    _, workdir, summary = run
    model, _, _ = restore(workdir)
    exported = tf.saved_model.load(str(workdir / summary["export"]))
    serve = exported.signatures["serve_candidates"]
    once = {
        "user": np.array([7]),
        "when": np.array([1_700_003_000]),
        "seen": np.array([[5, -1]]),
        "liked": np.array([[1, 2, -1]]),
    }
    candidates = {
        "item": np.array([3, 9999, 0]),
        "tags": np.array([["a", "b", ""], ["", "", ""], ["Ω", "new", "a"]], object),
        "shares": np.array([[0.5, 1.5, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 0.0]], np.float32),
        "look": np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0]], np.float32),
    }
    taken = serve.structured_input_signature[1]
    assert set(taken) == {*once, *candidates}
    assert {name for name, each in taken.items() if each.shape[0] == 1} == set(once)
    given = {name: tf.constant(value) for name, value in (once | candidates).items()}
    every = candidates | {name: np.repeat(value, 3, axis=0) for name, value in once.items()}

    def at(position):
        values = every | {"position": np.full(3, position)}
        return model.light({name: tf.constant(values[name]) for name in model.light.input})

    answers = serve(**given)["logits"]
    np.testing.assert_allclose(answers, at(1), rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(at(2)) - answers).min() > 1e-6
    found = dict(checks.prove(workdir / summary["export"], restore=restore))
    assert "computes what the checkpoint" in found["checkpoint"]
    assert found["warm-up"] == "3 requests replayed"  # one of each signature
    messages = example_messages.serialized(every)
    of_examples = exported.signatures["serve_examples"](examples=tf.constant(messages))["logits"]
    np.testing.assert_allclose(of_examples, answers, rtol=1e-5, atol=1e-6)


def test_its_vocabulary_is_kept_with_the_run(run):
    config, workdir, _ = run
    log = pq.read_table(f"{config['data_path']}/train.parquet")
    items, counts = np.unique(log["item"].to_numpy(), return_counts=True)
    order = np.lexsort((items, -counts))
    expected = items[order][counts[order] >= 3]
    assert 5 < len(expected) < len(items)
    model, _, _ = restore(workdir)
    lookup = model.light.get_layer("shared_item_ids")
    np.testing.assert_array_equal(lookup.get_vocabulary()[1:], expected)
    assert model.light.get_layer("shared_item_embedding").input_dim == len(expected) + 1


def test_another_feature_is_another_run(run):
    config, workdir, _ = run
    changed = options.with_named(config, {"features.user.buckets": 31})
    with pytest.raises(ConfigError, match=r"\(features\.user\.buckets: 30 → 31\); give"):
        train.train_and_evaluate({**config, **changed}, workdir)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"item": {"min_count": 0, "vocabulary": ["a"]}}, "got vocabulary=.*of one or more integ"),
        ({"user": {"dtype": "int64"}, "tags": {"dtype": "int64"}}, "Feature 'tags': got dtype"),
        ({"tags": {"integers": True}}, "Feature 'tags': got dtype='string', expected 'int64' with"),
        ({"position": {"served_as": "first"}}, "Feature 'position': .*served_as='first'"),
    ],
)
def test_features_that_do_not_fit_the_data(run, changes, said):
    from rocket_tf.runs.building import build_nets

    config, workdir, _ = run
    card = restore_card(workdir)
    overrides = {
        f"features.{name}.{field}": value
        for name, fields in changes.items()
        for field, value in fields.items()
    }
    with pytest.raises(ConfigError, match=f"config.features: .*{said}"):
        build_nets({**config, **options.with_named(config, overrides)}, card)


def restore_card(workdir):
    from rocket_tf.runs.folder import RunFolder

    folder = RunFolder(workdir)
    return folder.known_data(folder.read_config()).card
