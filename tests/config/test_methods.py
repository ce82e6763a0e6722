"""The paper's methods as configurations: each trains with the right teacher and terms."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import rocket_tf
from rocket_tf import config as options
from rocket_tf import gradient_flow, train
from rocket_tf.config.methods import METHODS, with_method
from rocket_tf.core.graph import common_layers
from rocket_tf.data.images import named as images
from rocket_tf.errors import ConfigError
from rocket_tf.networks import group_outputs
from rocket_tf.runs.building import build_model, build_nets
from tests.reference import attention, softmax
from tests.small_runs import card_of, quick_runs, small_config, state

ONE_EPOCH = {"epochs": 1, "train_examples": 64}

pytestmark = pytest.mark.usefixtures("few_test_digits")


def method_config(method, **changes):
    return with_method(small_config(**ONE_EPOCH, **changes), method)


CARD = card_of(small_config())


def trained_booster(seed=3):
    """A booster from another seed, which serves as a trained teacher."""
    _, booster = build_nets(small_config(seed=seed), CARD)
    return booster


def batch(count=16):
    data = images.load("digits")
    return data.train.inputs[:count].astype(np.float32), data.train.labels[:count]


def cross_entropy(labels, logits):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


# Single steps test the rockets with other hints, and TestTheSwitchesOfTable2 tests the others.
OTHER_HINTS = (
    "rocket_softmax_mse",
    "rocket_kd_hint",
    "rocket_standardized_kd",
    "rocket_dkd",
    "rocket_dist",
    "rocket_mutual",
)
SWITCHED = ("rocket_no_gradient_block", "rocket_no_sharing", "rocket_no_sharing_but_stem")
TRAINED = [method for method in METHODS if method not in (*OTHER_HINTS, *SWITCHED)]
EXPORTED = ("rocket_kd",)  # exports of other methods have their own tests


@pytest.fixture(scope="module")
def runs(few_test_digits, tmp_path_factory):
    """Runs of one epoch with each method of `TRAINED`; all teachers are the same booster."""
    folder = tmp_path_factory.mktemp("methods")
    summaries = {}
    for method in TRAINED:
        config = method_config(method, booster_run=str(folder / "booster"))
        with quick_runs(exported=method in EXPORTED):
            summaries[method] = train.train_and_evaluate(config, folder / method, verbose=False)
    return folder, summaries


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
class TestEveryMethod:
    @pytest.mark.parametrize("method", TRAINED)
    def test_trains_what_it_should(self, runs, method):
        folder, summaries = runs
        summary = summaries[method]
        joint = method.startswith("rocket")
        assert ("light" in summary) == (method != "booster")
        assert ("booster" in summary) == (joint or method == "booster")
        with_teacher = summary["method"] in options.METHODS_WITH_TEACHER
        assert ("teacher" in summary) == with_teacher
        line = json.loads((folder / method / "metrics.jsonl").read_text())
        assert ("hint_loss" in line) == joint
        assert ("teacher_loss" in line) == with_teacher
        assert all(np.isfinite(value) for value in line.values())
        assert ("export" in summary) == (method != "booster")
        export = folder / method / "light" / "1" / "saved_model.pb"
        assert export.exists() == (method in EXPORTED)

    def test_each_computes_something_else(self, runs):
        folder, _ = runs
        assert len({self.losses(folder / method) for method in TRAINED}) == len(TRAINED)

    def test_other_rockets_compute_something_else_too(self, runs, tmp_path):
        """The tests below run a single step of each rocket, which is faster."""
        found = {self.losses(runs[0] / method) for method in TRAINED}
        for method in (*OTHER_HINTS[:2], *SWITCHED):
            summary = train.train_and_evaluate(
                method_config(method), tmp_path / method, verbose=False
            )
            assert {"light", "booster", "export"} <= set(summary)
            losses = self.losses(tmp_path / method)
            assert np.isfinite(losses[:3]).all() and losses not in found
            found.add(losses)

    @staticmethod
    def losses(folder):
        """The losses of a run of one epoch; `None` for those that it does not have."""
        line = json.loads((folder / "metrics.jsonl").read_text())
        return tuple(line.get(f"{kind}_loss") for kind in ("light", "booster", "hint", "teacher"))

    def test_the_booster_is_trained_once_and_never_changed(self, runs):
        folder, summaries = runs
        assert not (folder / "kd" / "booster").exists()
        followed = state(folder / "booster")
        for method in ("kd", "at", "rocket_kd", "no_joint_training"):
            assert summaries[method]["teacher"] == summaries["booster"]["booster"]
            own = set(state(folder / method).values())
            # The run's checkpoint contains the teacher's tensors unchanged.
            teacher = {value for name, value in followed.items() if name.startswith("model/")}
            # These include the moving statistics of its batch normalization.
            assert len(teacher) > 50 and teacher <= own

    def test_evaluated_again(self, runs):
        folder, summaries = runs
        for method in ("kd", "rocket_kd"):
            assert train.evaluate(folder / method)["light"] == summaries[method]["light"]


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
class TestTheBoosterToFollow:
    def test_is_trained_first_if_there_is_none(self, runs, tmp_path):
        folder, summaries = runs
        config = method_config("kd")
        summary = train.train_and_evaluate(config, tmp_path / "kd", verbose=False)
        assert state(tmp_path / "kd" / "booster") == state(folder / "booster")
        assert state(tmp_path / "kd") == state(folder / "kd")
        assert summary["light"] == summaries["kd"]["light"]

    def test_one_run_serves_methods_with_other_settings(self):
        first = options.booster_config(method_config("kd", temperature=2.0, hint_weight=1.0))
        second = options.booster_config(method_config("at"))
        assert options.differences(first, second) == []
        assert first["method"] == "booster"

    @pytest.mark.parametrize(
        "method, unread",
        [
            ("light", {"hint", "temperature", "distillation_weight", "attention_weight"}),
            ("kd", {"hint", "hint_weight", "gradient_block", "attention_weight"}),
            ("at", {"hint", "gradient_block", "temperature", "distillation_weight"}),
            ("rocket", {"temperature", "distillation_weight", "attention_weight", "booster_run"}),
            ("rocket_kd_hint", {"distillation_weight", "attention_weight", "booster_run"}),
            ("rocket_standardized_kd", {"temperature", "distillation_weight"}),
            ("rocket_dkd", {"temperature", "standardize_logits"}),
            ("rocket_mutual", {"temperature", "attention_weight"}),
            ("rocket_softmax_mse", {"temperature", "hint_temperature", "standardize_logits"}),
            ("rocket_kd", {"attention_weight"}),
            ("no_joint_training", {"gradient_block", "temperature", "distillation_weight"}),
        ],
    )
    def test_fields_that_a_method_does_not_read(self, method, unread):
        named = set(options.unread_fields(method_config(method)))
        assert unread <= named
        # Fields that it reads are never among them.
        assert not named & set(METHODS[method].settings)

    def test_of_the_bottom_layout_equals_that_of_the_interval_layout(self):
        bottom = {
            "layout": "bottom",
            "light_depth": 0,
            "learning_rate_drops": (0.345, 0.645, 0.945),
            "booster_learning_rate_drops": (0.295, 0.595, 0.795),
        }
        recipe = {**small_config(), "light_depth": 16}
        interval = options.booster_config(with_method(small_config(light_depth=16), "kd"))
        assert interval["learning_rate_drops"] == (0.295, 0.595, 0.795)
        for method in ("kd", "rocket_kd", "no_joint_training"):
            own = options.booster_config({**recipe, **bottom, "method": method})
            assert options.differences(own, interval) == []
        alone = dict(with_method(small_config(**bottom), "booster"))
        assert options.differences(alone, interval, options.unread_fields(alone)) == []

    def test_a_light_net_of_the_bottom_layout_starts_from_the_interval_layouts_booster(self):
        _, teacher = build_nets(small_config(seed=3), CARD)
        config = method_config("no_joint_training", layout="bottom", light_depth=0)
        light = build_model(config, CARD, teacher).light
        copied = 0
        for layer in light.layers:
            if isinstance(layer, keras.layers.Conv2D):
                place = layer.name.removeprefix("shared_")
                # In the interval layout, only the first block of a group is shared.
                owner = "shared" if place == "stem" or "block0" in place else "booster"
                source = teacher.get_layer(f"{owner}_{place}")
                np.testing.assert_array_equal(layer.kernel, source.kernel)
                copied += 1
        assert (
            copied == 1 + 2 * 2 * 2 + 1
        )  # the stem, two groups of two blocks with two convolutions, a shortcut

    def test_fields_that_are_not_read_do_not_change_a_run(self, runs):
        folder, summaries = runs
        config = method_config("light", hint_weight=0.7, attention_weight=5.0)
        assert train.train_and_evaluate(config, folder / "light") == summaries["light"]
        changed = method_config("at", attention_weight=5.0)
        with pytest.raises(ConfigError, match=r"attention_weight: 1000\.0 → 5\.0"):
            train.train_and_evaluate(changed, folder / "at")

    @pytest.mark.parametrize(
        "changes, named",
        [({"split_seed": 1}, "split_seed"), ({"dataset": "cifar10"}, "dataset")],
    )
    def test_one_that_does_not_fit_is_refused_before_any_work(self, runs, tmp_path, changes, named):
        folder, _ = runs
        config = method_config("kd", booster_run=str(folder / "booster"), **changes)
        with pytest.raises(ConfigError, match=rf"config\.booster_run: .*{named}: "):
            train.train_and_evaluate(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_run_of_another_method_is_refused_as_booster(self, runs, tmp_path):
        folder, _ = runs
        config = method_config("kd", booster_run=str(folder / "light"))
        with pytest.raises(ConfigError, match="method: 'light' → 'booster'"):
            train.train_and_evaluate(config, tmp_path / "run")

    def test_another_one_is_refused_when_the_run_is_resumed(self, runs, tmp_path):
        folder, _ = runs
        other = str(tmp_path / "other")
        train.train_and_evaluate(method_config("booster", seed=5), other, verbose=False)
        config = method_config("kd", booster_run=other)
        with pytest.raises(ConfigError, match="follows another booster"):
            train.train_and_evaluate(config, folder / "kd")

    def test_a_run_is_evaluated_without_the_run_that_it_followed(self, runs, tmp_path):
        folder, summaries = runs
        copy = shutil.copytree(folder / "kd", tmp_path / "kd")
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "booster_run": "gone"}))
        assert train.evaluate(copy)["light"] == summaries["kd"]["light"]

    def test_one_that_has_seen_the_held_out_examples_is_refused(self, runs, tmp_path):
        folder, _ = runs
        config = method_config("kd", booster_run=str(folder / "booster"), validation_examples=20)
        with pytest.raises(ConfigError, match="validation_examples: 0 → 20"):
            train.train_and_evaluate(config, tmp_path / "run")

    def test_is_followed_under_another_precision(self, runs, tmp_path):
        folder, summaries = runs
        config = method_config("kd", booster_run=str(folder / "booster"), precision="mixed_float16")
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert summary["teacher"] == summaries["booster"]["booster"]

    def test_a_copy_needs_the_same_booster(self, runs, tmp_path):
        folder, _ = runs
        config = method_config(
            "no_joint_training", booster_run=str(folder / "booster"), booster_depth=22
        )
        with pytest.raises(ConfigError, match="booster_depth: 16 → 22"):
            train.train_and_evaluate(config, tmp_path / "run")
        # Distillation only needs the same classes.
        train.train_and_evaluate(
            method_config("kd", booster_run=str(folder / "booster"), light_depth=16),
            tmp_path / "run",
            verbose=False,
        )


class TestTerms:
    """Terms equal formulas of the paper and of the authors' release in float64 NumPy."""

    def test_kd(self):
        teacher = trained_booster()
        config = method_config("kd", distillation_weight=0.9, temperature=4.0)
        model = build_model(config, CARD, teacher)
        x, y = batch()
        light = model.light(x).numpy().astype(np.float64)
        target = teacher(x).numpy().astype(np.float64)
        p, q = softmax(light / 4), softmax(target / 4)
        # The release averages KL over examples and classes; cross-entropy adds the entropy.
        kl = np.mean(q * np.log(q / p))
        entropy = -np.mean(q * np.log(q))
        expected = 0.9 * 2 * 16 * kl + 0.1 * np.mean(cross_entropy(y, light))
        loss = model.evaluate(x, y, return_dict=True, verbose=0)["loss"]
        np.testing.assert_allclose(loss - 0.9 * 2 * 16 * entropy, expected, rtol=1e-4)

        # The gradient at the logits equals that of the formula with KL.
        logits = tf.Variable(light)
        with tf.GradientTape() as tape:
            terms = model.objective_terms(x, y, {"light": logits})
            objective = tf.add_n([weight * value for weight, value in terms.values()])
        one_hot = np.eye(10)[y]
        count = len(y)
        gradient = 0.9 * 2 * 4 * (p - q) / (count * 10) + 0.1 * (softmax(light) - one_hot) / count
        np.testing.assert_allclose(tape.gradient(objective, logits), gradient, rtol=1e-4, atol=1e-7)

    def test_at(self):
        teacher = trained_booster()
        model = build_model(method_config("at", attention_weight=1e3), CARD, teacher)
        x, y = batch()
        maps = []
        for net in (model.light, teacher):
            outputs = [net.get_layer(name).output for name in group_outputs(net)]
            activations = keras.Model(net.input, outputs)(x)
            maps.append([attention(each.numpy().astype(np.float64)) for each in activations])
        expected = sum(np.mean((mine - theirs) ** 2) for mine, theirs in zip(*maps, strict=True))
        logs = model.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["teacher_loss"], expected, rtol=1e-4)
        np.testing.assert_allclose(logs["loss"], logs["light_loss"] + 1e3 * expected, rtol=1e-4)

    def test_rocket_kd_adds_the_distillation_term_to_the_rocket(self):
        teacher = trained_booster()
        model = build_model(method_config("rocket_kd", hint_weight=0.03), CARD, teacher)
        x, y = batch()
        logits = {net: value.numpy().astype(np.float64) for net, value in model(x).items()}
        target = teacher(x).numpy().astype(np.float64)
        mse = np.mean(np.sum((logits["light"] - logits["booster"]) ** 2, -1))
        q, log_p = softmax(target / 4), np.log(softmax(logits["light"] / 4))
        distillation = 16 * np.mean(-np.sum(q * log_p, -1))
        labels = sum(np.mean(cross_entropy(y, value)) for value in logits.values())
        expected = labels + 0.03 * mse + 2 * 0.9 / 10 * distillation
        loss = model.evaluate(x, y, return_dict=True, verbose=0)["loss"]
        np.testing.assert_allclose(loss, expected, rtol=1e-4)

    def test_no_joint_training_starts_from_a_copy_and_follows_the_fixed_logits(self):
        teacher = trained_booster()
        config = method_config("no_joint_training", hint_weight=0.5)
        model = build_model(config, CARD, teacher)
        fresh, booster = build_nets(config, CARD)
        shared = {layer.name for layer in common_layers(fresh, booster)}
        trained = {layer.name: layer for layer in teacher.layers}
        for layer in model.light.layers:
            for index, value in enumerate(layer.get_weights()):
                source = (
                    trained[layer.name] if layer.name in shared else fresh.get_layer(layer.name)
                )
                np.testing.assert_array_equal(value, source.get_weights()[index])
                assert layer is not source
        assert shared
        x, y = batch()
        mse = np.mean(np.sum((model.light(x) - teacher(x)).numpy() ** 2, -1))
        logs = model.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["teacher_loss"], mse, rtol=1e-4)
        np.testing.assert_allclose(logs["loss"], logs["light_loss"] + 0.5 * mse, rtol=1e-4)


class TestTheSwitchesOfTable2:
    """Which losses reach which parts of whole wide residual nets."""

    def flow(self, method):
        with_teacher = method_config(method).method in options.METHODS_WITH_TEACHER
        model = build_model(
            method_config(method), CARD, trained_booster() if with_teacher else None
        )
        x, y = batch()
        return gradient_flow(model, x, y)

    def test_gradient_block(self):
        blocked, open_ = self.flow("rocket"), self.flow("rocket_no_gradient_block")
        assert blocked["hint_loss"]["booster only"] == 0
        assert open_["hint_loss"]["booster only"] > 0
        assert blocked["hint_loss"]["light only"] == pytest.approx(
            open_["hint_loss"]["light only"], rel=1e-5
        )
        assert blocked["hint_loss"]["shared"] > 0
        assert blocked["hint_loss"]["shared"] != pytest.approx(
            open_["hint_loss"]["shared"], rel=1e-3
        )
        for term in ("light_loss", "booster_loss"):
            assert blocked[term] == pytest.approx(open_[term], rel=1e-5)

    def test_sharing(self):
        flow = self.flow("rocket_no_sharing")
        assert {flow[term]["shared"] for term in flow} == {None}
        assert flow["light_loss"]["booster only"] == flow["hint_loss"]["booster only"] == 0
        assert flow["booster_loss"]["light only"] == 0
        assert flow["booster_loss"]["booster only"] > 0

    def test_sharing_but_the_stem(self):
        flow = self.flow("rocket_no_sharing_but_stem")
        for term in ("light_loss", "booster_loss", "hint_loss"):
            assert flow[term]["shared"] > 0
        ownership = rocket_tf.ownership(
            build_model(method_config("rocket_no_sharing_but_stem"), CARD)
        )
        assert ownership.parameters["shared"] == 3 * 3 * 16  # of the stem on grey images

    def test_joint_training(self):
        flow = self.flow("no_joint_training")
        assert set(flow) == {"light_loss", "teacher_loss"}
        for term in flow.values():
            assert (term["shared"], term["booster only"]) == (None, None)
            assert term["light only"] > 0


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"hint": "logits_mse", "hint_temperature": 9.0}, None),
        ({"hint": "kd"}, 3.0),
        pytest.param({"hint": "kd", "hint_temperature": 5.0}, 5.0, marks=pytest.mark.slow),
        ({"hint": "kd", "standardize_logits": True}, 2.0),
        ({"hint": "kd", "standardize_logits": True, "hint_temperature": 1.5}, 1.5),
        pytest.param({"hint": "dkd"}, 4.0, marks=pytest.mark.slow),
        pytest.param({"hint": "dist"}, 1.0, marks=pytest.mark.slow),
    ],
)
def test_temperatures_and_weights_of_hints_in_both_directions(changes, expected):
    config = small_config(temperature=3.0, hint_weight=0.2, booster_hint_weight=0.1, **changes)
    hint, back = build_model(config, CARD).hints
    assert (hint.follows, hint.weight, back.follows, back.weight) == ("booster", 0.2, "light", 0.1)
    for each in (hint, back):
        assert each.loss.name == changes["hint"] and each.temperature == expected
        assert getattr(each.loss, "standardize", False) == ("standardize_logits" in changes)
    reads = "temperature" not in options.unread_fields(config)
    assert reads == (changes == {"hint": "kd"})


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=[pytest.mark.slow] * (method != "rocket_mutual"))
        for method in OTHER_HINTS
    ],
)
def test_a_step_with_another_hint(method):
    model = build_model(method_config(method), CARD)
    flow = gradient_flow(model, *batch())
    assert all(np.isfinite(value) for term in flow.values() for value in term.values())
    names = ["light_loss", "booster_loss", "hint_loss"]
    assert list(flow) == names + ["booster_hint_loss"] * (method == "rocket_mutual")
    assert flow["hint_loss"]["booster only"] == 0 < flow["hint_loss"]["light only"]
    if method == "rocket_mutual":
        back = flow["booster_hint_loss"]
        assert back["light only"] == 0 < back["booster only"]
