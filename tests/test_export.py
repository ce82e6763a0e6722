"""The exported light net: what it computes, what it holds, and that it is whole or not there."""

import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import RocketModel, export_light
from rocket_tf.networks import wide_resnet_pair
from tests.nets import CROSS_ENTROPY, examples, linear_pair

NAMES = ["plane", "car", "bird"]


@pytest.fixture(scope="module")
def rocket():
    """A trained rocket, with dropout in the booster and moving statistics that have moved."""
    keras.utils.set_random_seed(0)
    rocket = RocketModel(*wide_resnet_pair(10, 16, 1, 3, (8, 8, 3), booster_dropout=0.2, seed=0))
    rocket.compile(optimizer=keras.optimizers.Adam(0.01), loss=CROSS_ENTROPY)
    random = np.random.default_rng(0)
    rocket.fit(random.integers(0, 256, (64, 8, 8, 3)), random.integers(0, 3, 64), verbose=0)
    return rocket


@pytest.fixture(scope="module")
def version(rocket, tmp_path_factory):
    return export_light(rocket, tmp_path_factory.mktemp("serving") / "nets", class_names=NAMES)


def pixels(count):
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_fresh_process_computes_what_the_model_computes(rocket, version, tmp_path, count):
    """Without rocket_tf, and without Keras's classes."""
    np.save(tmp_path / "images.npy", pixels(count))
    script = """
        import sys
        import numpy as np
        import tensorflow as tf
        serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
        outputs = serve(images=tf.constant(np.load(sys.argv[2] + "/images.npy")))
        arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
        arrays["class_names"] = arrays["class_names"].astype(str)
        np.savez(sys.argv[2] + "/outputs.npz", **arrays)
        assert "rocket_tf" not in sys.modules
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(version), str(tmp_path)],
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
    )
    outputs = np.load(tmp_path / "outputs.npz")
    logits = rocket.predict(pixels(count), verbose=0)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-5, atol=1e-5)
    exponentials = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(
        outputs["probabilities"], exponentials / exponentials.sum(-1, keepdims=True), atol=1e-6
    )
    np.testing.assert_array_equal(outputs["classes"], logits.argmax(-1))
    assert list(outputs["class_names"]) == [NAMES[index] for index in logits.argmax(-1)]


def test_signature(version):
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    (specification,) = serve.structured_input_signature[1].values()
    assert (specification.name, specification.dtype) == ("images", tf.uint8)
    assert specification.shape.as_list() == [None, 8, 8, 3]
    types = {name: (t.dtype, t.shape.as_list()) for name, t in serve.structured_outputs.items()}
    assert types == {
        "logits": (tf.float32, [None, 3]),
        "probabilities": (tf.float32, [None, 3]),
        "classes": (tf.int64, [None]),
        "class_names": (tf.string, [None]),
    }


def test_its_variables_are_the_light_nets_each_once(rocket, version):
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    stored = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE") and reader.get_tensor(name).dtype == np.float32
    }
    expected = [variable.numpy() for variable in rocket.light.variables]
    assert len(stored) == len(expected)
    for value in expected:
        assert sum(np.array_equal(value, other) for other in stored.values()) >= 1
    size = sum(path.stat().st_size for path in (version / "variables").iterdir())
    assert size < 4.3 * rocket.light.count_params() + 20_000


def test_no_booster_in_the_graph(version):
    graph = (version / "saved_model.pb").read_bytes()
    assert b"light_logits" in graph and b"shared_stem" in graph
    for part in (b"booster", b"optimizer", b"dropout", b"seed_generator"):
        assert part not in graph


def test_versions_count_up_and_nothing_is_overwritten(rocket, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").write_text("mine")
    assert export_light(rocket, tmp_path).name == "8"
    assert export_light(rocket, tmp_path).name == "9"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["7", "8", "9", "notes"]


def test_an_export_that_fails_leaves_nothing(rocket, tmp_path, monkeypatch):
    def fail(module, path, signatures):
        os.makedirs(path)
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="No space"):
        export_light(rocket, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nets_that_do_not_normalise_pixels_keep_their_inputs(tmp_path):
    rocket = RocketModel(*linear_pair())
    serve = tf.saved_model.load(str(export_light(rocket, tmp_path))).signatures["serving_default"]
    x, _ = examples(4)
    outputs = serve(features=tf.constant(x))
    assert set(outputs) == {"logits", "probabilities", "classes"}
    np.testing.assert_allclose(outputs["logits"], rocket.predict(x, verbose=0), rtol=1e-6)


def test_several_inputs_and_one_logit(tmp_path):
    inputs = {key: keras.Input((2,), name=key) for key in ("user", "item")}
    joined = layers.Concatenate()([inputs["user"], inputs["item"]])
    light = keras.Model(inputs, layers.Dense(1)(joined))
    path = export_light(light, tmp_path, class_names=["no", "yes"])
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    x = {key: np.random.default_rng(1).normal(size=(9, 2)).astype("float32") for key in inputs}
    outputs = serve(**{key: tf.constant(value) for key, value in x.items()})
    logits = light.predict(x, verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-5)
    np.testing.assert_array_equal(outputs["classes"], (logits[:, 0] > 0).astype(int))
    assert set(outputs["class_names"].numpy()) <= {b"no", b"yes"}


def test_floats_on_request_and_float32_logits_under_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((4, 4, 1), name="log-power")
    x = layers.Flatten()(layers.Normalization(mean=0.5, variance=1.0)(inputs))
    light = keras.Model(inputs, layers.Dense(3)(x))
    path = export_light(light, tmp_path, input_dtype="float32")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    x = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype(np.float32)
    outputs = serve(log_power=tf.constant(x))
    assert outputs["logits"].dtype == tf.float32
    np.testing.assert_array_equal(outputs["logits"], light.predict(x, verbose=0))


def test_nets_with_lookup_tables(tmp_path):
    inputs = keras.Input((1,), dtype="string", name="city")
    ids = layers.StringLookup(vocabulary=["Lund", "Oslo"])(inputs)
    light = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Embedding(3, 2)(ids))))
    serve = tf.saved_model.load(str(export_light(light, tmp_path))).signatures["serving_default"]
    cities = tf.constant([["Oslo"], ["Rome"]])
    np.testing.assert_allclose(serve(city=cities)["logits"], light(cities), rtol=1e-6)


def test_under_mirrored_strategy(two_replicas, tmp_path):
    with two_replicas.scope():
        rocket = RocketModel(*linear_pair())
    serve = tf.saved_model.load(str(export_light(rocket, tmp_path))).signatures["serving_default"]
    x, _ = examples(4)
    np.testing.assert_allclose(serve(features=tf.constant(x))["logits"], rocket.light(x), rtol=1e-6)


def test_wrong_number_of_class_names(rocket, tmp_path):
    with pytest.raises(ValueError, match="each of the 3 classes"):
        export_light(rocket, tmp_path, class_names=["plane", "car"])


def test_a_saved_rocket_loads_in_a_fresh_process_that_imports_the_package(rocket, tmp_path):
    rocket.save(tmp_path / "rocket.keras")
    script = """
        import sys, json
        import rocket_tf
        import keras
        import numpy as np
        loaded = keras.models.load_model(sys.argv[1])
        print(json.dumps(loaded.predict(np.zeros((1, 8, 8, 3), "uint8"), verbose=0).tolist()))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "rocket.keras")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    expected = rocket.predict(np.zeros((1, 8, 8, 3), np.uint8), verbose=0)
    np.testing.assert_allclose(json.loads(result.stdout.splitlines()[-1]), expected, rtol=1e-5)
