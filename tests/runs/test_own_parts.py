"""Nets, hints, losses and callbacks of a configuration file: their effects, and their mistakes."""

import shlex
import shutil
import subprocess
import textwrap

import keras
import numpy as np
import pytest

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import own_code
from rocket_tf.data import open_data
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.page import command_of
from rocket_tf.runs import finished, own_parts
from rocket_tf.runs.building import build_model
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.rehearsal import rehearse
from rocket_tf.studies.running import PlannedRun, complete
from tests.in_process import run_here
from tests.small_runs import metrics, quick_runs

NETS = """\
import keras
from keras import layers
import rocket_tf

def build_nets(data):
    images = keras.Input((8, 8, 1), name="images")
    low = layers.Dense(6, "relu", name="shared")(layers.Flatten(name="flat")(images / 255))
    def net(role, units):
        x = layers.Dense(units, name=f"{role}_hidden")(low)
        return keras.Model(images, layers.Dense(10, name=f"{role}_logits")(x), name=role)
    return net("light", 3), net("booster", 5)
"""
HINTS = """
def build_hints(data):
    return [rocket_tf.Hint("softmax_mse", 0.5, name="own_hint")]
"""
LOSSES = """
def build_losses(data):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=3)
"""
CALLBACKS = """
class Seen(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["seen"] = 10.0 + epoch

def build_callbacks(data):
    return [Seen()]
"""
DIGITS = {
    "dataset": "digits",
    "epochs": 2,
    "train_examples": 400,
    "batch_size": 200,
    "optimizer": "adam",
    "weight_decay": 0.0,
    "pictures": False,
}


def config_of(folder, source, **changes):
    """The configuration of a run whose file has this source."""
    file = folder / "my_nets.py"
    file.write_text(source)
    config = {**options.default(), **DIGITS, **own_code.fields_of(file), **changes}
    options.check_fields(config)
    return config


def model_of(config, folder, teacher=None):
    data = open_data(config)
    own = own_parts.of(config, data, folder / "no_copy.py")
    return build_model(config, data.card, teacher, own)


class TestWhatAFileDefines:
    def test_is_found_without_running_it(self, tmp_path):
        file = tmp_path / "file.py"
        file.write_text("from x import build_hints\nbuild_losses = 3 / 0\ndef build_net(): pass\n")
        fields = own_code.fields_of(file)
        assert fields["own_functions"] == ("build_hints", "build_losses")
        printed = subprocess.run(["sha256sum", file], capture_output=True, text=True).stdout
        assert fields["own_code_sha256"] == printed.split()[0]
        file.write_text("def get_config():\n    def build_nets(data): pass\n")
        assert own_code.fields_of(file) == {}

    def test_fields_of_built_in_nets_are_not_read(self, tmp_path):
        unread = options.unread_fields(config_of(tmp_path, NETS))
        assert {"light_depth", "layout", "share", "booster_dropout", "booster_backbone"} <= {
            *unread
        }
        assert not {"hint", "hint_weight", "own_code", "own_code_sha256"} & {*unread}
        assert {"hint", "hint_weight"} <= {
            *options.unread_fields(config_of(tmp_path, NETS + HINTS))
        }


class TestParts:
    def test_make_the_rocket(self, tmp_path):
        model = model_of(config_of(tmp_path, NETS + HINTS + LOSSES), tmp_path)
        assert model.light.count_params() == 65 * 6 + 7 * 3 + 4 * 10
        assert [(hint.name, hint.weight) for hint in model.hints] == [("own_hint", 0.5)]
        # In float64 NumPy, with the class that the loss leaves out.
        x = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1)).astype("uint8")
        y = np.array([3, 1, 0, 3, 9, 5, 2])
        model.run_eagerly = True
        logs = model.test_on_batch(x, y, return_dict=True)
        exponentials = {}
        for role in ("light", "booster"):
            z = x.reshape(7, 64) / 255.0
            for name in ("shared", f"{role}_hidden", f"{role}_logits"):
                kernel, bias = getattr(model, role).get_layer(name).get_weights()
                z = z @ kernel.astype("float64") + bias
                z = np.maximum(z, 0) if name == "shared" else z
            exponentials[role] = p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            wanted = -np.log(p[np.arange(7), y])[y != 3].mean()
            assert logs[f"{role}_loss"] == pytest.approx(wanted, rel=1e-5)
        distance = ((exponentials["light"] - exponentials["booster"]) ** 2).sum(1).mean()
        assert logs["own_hint"] == pytest.approx(distance, rel=1e-4)

    def test_the_seed_decides_the_initial_weights(self, tmp_path):
        kernels = []
        for seed in (4, 5, 4):
            keras.utils.set_random_seed(int(1e3) + len(kernels))
            model = model_of(config_of(tmp_path, NETS, seed=seed), tmp_path)
            kernels.append(model.light.get_layer("light_hidden").get_weights()[0])
        np.testing.assert_array_equal(kernels[0], kernels[2])
        assert not np.array_equal(kernels[0], kernels[1])

    def test_own_functions_can_be_left_out(self, tmp_path):
        config = config_of(tmp_path, NETS + HINTS, own_functions=("build_nets",), hint="kd")
        assert [hint.loss.name for hint in model_of(config, tmp_path).hints] == ["kd"]
        config = config_of(tmp_path, NETS + HINTS, own_functions=("build_hints",), light_depth=10)
        config |= {"booster_depth": 16}
        model = model_of(config, tmp_path)
        assert [hint.name for hint in model.hints] == ["own_hint"]
        assert model.light.get_layer("light_logits").output.shape == (None, 10)

    def test_a_net_alone(self, tmp_path):
        alone = NETS.replace('net("booster", 5)\n', "None\n")
        for method, source, units in (("light", alone, 3), ("booster", NETS, 5)):
            model = model_of(config_of(tmp_path, source, method=method), tmp_path)
            assert model.booster is None and not model.hints
            assert model.light.layers[-1].get_weights()[0].shape == (units, 10)

    def test_a_light_net_starts_from_the_layers_of_a_booster_with_other_names(self, tmp_path):
        config = config_of(tmp_path, NETS.replace(', name="shared"', ""))
        teacher = model_of(config | {"method": "booster", "seed": 7}, tmp_path).light
        config |= {"method": "no_joint_training"}
        model = model_of(config, tmp_path, teacher)
        (own,) = (x for x in model.light.layers if x.weights and x.output.shape[-1] == 6)
        (trained,) = (x for x in teacher.layers if x.weights and x.output.shape[-1] == 6)
        assert own is not trained
        np.testing.assert_array_equal(own.get_weights()[0], trained.get_weights()[0])


MISTAKES = {
    "typo": (NETS.replace("layers.Flatten", "layers.Flaten"), 7, "build_nets(data) raises Attri"),
    "exception": (NETS + "def build_hints(data):\n    x = {}\n    return x['a']\n", 14, "KeyError"),
    "softmax": (NETS.replace("Dense(10", 'Dense(10, "softmax"'), 5, "must end in logits"),
    "input": (NETS.replace("(8, 8, 1)", "(9, 7, 1)"), 5, "input (None, 9, 7, 1), expected one, (N"),
    "classes": (
        NETS.replace("Dense(10", "Dense(7"),
        5,
        "output (None, 7), expected one, (None, 10)",
    ),
    "one net": (
        NETS.replace("return net(", "return keras.Model(images, low) #"),
        5,
        "(light, boos",
    ),
    "no booster": (NETS.replace('net("booster", 5)', "None"), 5, "None as booster"),
    "in training": (
        NETS.replace(
            "import rocket_tf\n",
            "class L(layers.Layer):\n  def call(s, x, training=False):\n"
            "    return x.no if training else x\n",
        ).replace("images / 255", "L()(images)"),
        5,
        "raises AttributeError",
    ),
    "no hints": (NETS + "def build_hints(data):\n    return ['kd']\n", 12, "a list with 'kd'"),
    "layer": (NETS + HINTS.replace('"softmax_mse", 0.5', "'cosine', layers={'a': 'b'}"), 13, "'a'"),
    "made up": (
        NETS + HINTS.replace('"softmax_mse", 0.5', "'cosine', layers={'dense_1': 'b'}"),
        13,
        "'dense_1', a name that Keras generates",
    ),
    "teacher": (NETS + HINTS.replace("0.5", "0.5, 'teacher'"), 13, "follows='teacher'"),
    "loss": (NETS + "\ndef build_losses(data):\n    return 'mse_'\n", 13, "loss identifier: mse_"),
    "loss raises": (
        NETS + "\ndef loss(y, z):\n    return z.no\n\ndef build_losses(data):\n    return loss\n",
        14,
        "raises AttributeError",
    ),
    "nan": (
        NETS + "\ndef build_losses(data):\n    return lambda y, z: z[:, 0] * 0 / 0\n",
        13,
        "nan",
    ),
    "exit": ("import sys\ndef build_nets(data):\n    sys.exit(1)\n", 3, "raises SystemExit: 1"),
    "exit of the file": (f"{NETS}\nraise SystemExit\n", 13, "the file raises SystemExit"),
    "callback": (
        NETS + CALLBACKS.replace("[Seen()]", "Seen()"),
        17,
        "returns a Seen, expected a list",
    ),
    "stopping": (
        NETS + CALLBACKS.replace("Seen()]", "keras.callbacks.EarlyStopping()]"),
        17,
        "a run completes all its epochs",
    ),
    "no function": ("build_nets = 3\n", 1, "is not a function"),
    "the file": (f"{NETS}\nundefined\n", 13, "the file raises NameError"),
}


class TestMistakes:
    @pytest.mark.parametrize("name", MISTAKES)
    def test_errors_name_file_and_line(self, tmp_path, name):
        source, line, said = MISTAKES[name]
        config = config_of(tmp_path, source)
        with pytest.raises(ConfigError) as error:
            rehearse(config, open_data(config), tmp_path / "no_copy.py")
        assert str(error.value).startswith(f"{tmp_path}/my_nets.py:{line}: ")
        assert said in str(error.value)

    def test_without_errors_nothing_is_raised(self, tmp_path):
        config = config_of(tmp_path, NETS + HINTS + LOSSES + CALLBACKS)
        rehearse(config, open_data(config), tmp_path / "no_copy.py")

    def test_without_functions_there_are_no_parts(self, tmp_path):
        own = own_parts.of({**config_of(tmp_path, NETS), "own_functions": ()}, None, "none")
        assert not any(own.has(function) for function in own_code.FUNCTIONS)
        assert own.callbacks() == []
        for within in (own.answering("a step", "build_losses"), own.training(None, 3)):
            with pytest.raises(ZeroDivisionError), within:
                1 / 0  # noqa: B018

    def test_nets_that_share_nothing_do_not_go_with_a_copy(self, tmp_path):
        low = 'layers.Dense(6, "relu", name="shared")(layers.Flatten(name="flat")(images / 255))'
        own = low.replace('"shared"', 'role + "_low"').replace(', name="flat"', "")
        source = NETS.replace(low, "None").replace("(low)", f"({own})").replace('name="flat"', "")
        config = config_of(tmp_path, source, method="no_joint_training")
        with pytest.raises(ConfigError, match=r"my_nets\.py:5: .*nets without common layers"):
            rehearse(config, open_data(config), tmp_path / "none")

    def test_a_missing_or_changed_file(self, tmp_path):
        config = config_of(tmp_path, NETS)
        (tmp_path / "copy.py").write_text(NETS)
        (tmp_path / "my_nets.py").write_text(f"{NETS}\n")
        own_parts.of(config, open_data(config), tmp_path / "copy.py").nets()
        with pytest.raises(ConfigError, match="it has changed"):
            own_parts.of(config, open_data(config), tmp_path / "none.py")
        (tmp_path / "my_nets.py").unlink()
        with pytest.raises(ConfigError, match="there is no such file"):
            own_parts.of(config, open_data(config), tmp_path / "none.py")

    def test_the_command_answers_in_one_line(self, tmp_path, capsys, monkeypatch):
        head = "from rocket_tf import config as options\n"
        get = f"def get_config():\n    return {{**options.default(), **{DIGITS}}}\n"
        (tmp_path / "my_nets.py").write_text(head + get + NETS.replace("Dense(10", "Dense(7"))
        monkeypatch.chdir(tmp_path)
        process = run_here([f"--config={tmp_path}/my_nets.py"], capsys)
        assert process.returncode == 2 and process.stderr.count("\n") == 1
        assert process.stderr.startswith(f"rocket_tf: {tmp_path}/my_nets.py:8: build_nets(data) ")
        assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("few_test_digits")
class TestRuns:
    def test_callbacks_see_every_epoch_and_can_be_corrected(self, tmp_path):
        stops = CALLBACKS.replace('logs["seen"] = 10.0 + epoch', "self.no.x = 1")
        with quick_runs():
            with pytest.raises(
                ConfigError, match=r"my_nets\.py:15: Seen\.on_epoch_end raises Attri"
            ):
                train.train_and_evaluate(
                    config_of(tmp_path, NETS + stops), tmp_path / "run", verbose=False
                )
            config = config_of(tmp_path, NETS + CALLBACKS)
            train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert [line["seen"] for line in metrics(tmp_path / "run")] == [10.0, 11.0]
        assert (tmp_path / "run" / "own_code.py").read_text() == NETS + CALLBACKS

    def test_a_callback_of_kerass_that_fails(self, tmp_path):
        source = NETS + textwrap.dedent(
            """
            def build_callbacks(data):
                return [keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch: None)]
            """
        )
        with quick_runs(), pytest.raises(ConfigError, match=r":13: LambdaCallback\.on_epoch_begin"):
            train.train_and_evaluate(config_of(tmp_path, source), tmp_path / "run", verbose=False)

    def test_a_callback_that_stops_the_training(self, tmp_path):
        source = NETS + CALLBACKS.replace(
            'logs["seen"] = 10.0 + epoch', "self.model.stop_training = 1"
        )
        with (
            quick_runs(),
            pytest.raises(ConfigError, match=r":17: .*before epoch 2; a run completes all"),
        ):
            train.train_and_evaluate(config_of(tmp_path, source), tmp_path / "run", verbose=False)

    def test_a_study_trains_its_seeds(self, tmp_path):
        configs = [config_of(tmp_path, NETS + HINTS, epochs=1, seed=seed) for seed in (0, 1)]
        data = open_data(configs[0])
        runs = [
            PlannedRun("a seed", config, RunFolder(tmp_path / str(config["seed"])), data.card)
            for config in configs
        ]
        with quick_runs():
            complete(runs, data)
        first, second = (metrics(run.folder.path)[0]["own_hint"] for run in runs)
        assert first > 0 and first != second

    def test_the_command_that_the_page_of_a_run_shows(self, tmp_path):
        config = config_of(tmp_path, NETS)
        arguments = shlex.split(command_of(config))[3:]
        path, *overrides = (argument.removeprefix("--config") for argument in arguments)
        assert path == f"={tmp_path}/my_nets.py"
        set_to = options.parse_overrides([override.removeprefix(".") for override in overrides])
        again = {**options.default(), **own_code.fields_of(tmp_path / "my_nets.py"), **set_to}
        assert options.differences(config, again, ["pictures"]) == []

    @pytest.mark.slow
    def test_a_booster_that_another_file_has_built(self, tmp_path):
        """The run keeps copies of both files, and rebuilds both nets without the originals."""
        with quick_runs():
            other = NETS.replace('net("booster", 5)', 'net("booster", 11)')
            booster = config_of(tmp_path, other, method="booster")
            train.train_and_evaluate(booster, tmp_path / "booster", verbose=False)
            config = config_of(tmp_path, NETS, method="kd", booster_run=str(tmp_path / "booster"))
            train.train_and_evaluate(config, tmp_path / "run", verbose=False)
            (tmp_path / "my_nets.py").unlink()
            shutil.rmtree(tmp_path / "booster")
            model, _, _ = finished.restore(tmp_path / "run")
            again = train.evaluate(tmp_path / "run")
        assert model.teacher.get_layer("booster_hidden").units == 11
        assert model.light.get_layer("light_hidden").units == 3
        assert again["light"]["test_error"] > 0


CLICK_NETS = """\
import keras
from keras import layers

def build_nets(data):
    dtypes = {name: data.card.dtypes[name] for name in ("item", "device")}
    inputs = {name: keras.Input((), name=name, dtype=dtypes[name]) for name in dtypes}
    inputs["price"] = keras.Input((), name="price")
    item = layers.Embedding(50, 4, name="items")(inputs["item"] % 50)
    device = layers.Hashing(5, name="hash")(inputs["device"])
    device = layers.Embedding(5, 2, name="devices")(device)
    price = layers.Reshape((1,), name="a_price")(inputs["price"] / 100)
    low = layers.Concatenate(name="low")([item, device, price])
    def net(role, units):
        x = layers.Dense(units, "relu", name=f"{role}_hidden")(low)
        return keras.Model(inputs, layers.Dense(2, name=f"{role}_logits")(x), name=role)
    return net("light", 3), net("booster", 7)
"""


@pytest.mark.usefixtures("few_simulated_clicks")
class TestClicks:
    CONFIG = {
        "dataset": "simulated_clicks",
        "train_examples": 1000,
        "batch_size": 1000,
        "epochs": 1,
    }

    def test_nets_read_columns(self, tmp_path):
        config = config_of(tmp_path, CLICK_NETS, **self.CONFIG)
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert 0 < summary["light"]["test_auc"] < 1 and 0 < summary["booster"]["test_gauc"] < 1
        assert (tmp_path / "run" / summary["export"] / "saved_model.pb").exists()

    @pytest.mark.parametrize(
        "given, said",
        [
            ({"click": "int64"}, "reads 'click', expected columns of simulated_clicks: user, "),
            ({"device": "int64"}, "that reads 'device' as int64, expected string"),
            ({"item": "string"}, "that reads 'item' as string, expected int64"),
            ({"price": "float32", "named": "cost"}, "'price' is called 'cost', expected the colum"),
            ({}, "with input (None,), expected a dict by columns, some of user, item, "),
        ],
    )
    def test_inputs_that_are_no_columns_are_refused(self, tmp_path, given, said):
        source = f"""
            import keras

            def build_nets(data):
                given = {given}
                named = given.pop("named", None)
                inputs = {{
                    key: keras.Input((), dtype=kind, name=named or key)
                    for key, kind in given.items()
                }} or keras.Input(())
                net = keras.Model(inputs, keras.tree.flatten(inputs)[0])
                return net, net
            """
        config = config_of(tmp_path, textwrap.dedent(source), **self.CONFIG)
        own = own_parts.of(config, open_data(config), tmp_path / "none.py")
        with pytest.raises(ConfigError) as error:
            own.nets()
        assert said in str(error.value) and f"{tmp_path}/my_nets.py:4: " in str(error.value)
