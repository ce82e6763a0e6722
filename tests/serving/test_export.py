"""The exported light net: what it computes and contains, and that no partial export remains."""

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
from rocket_tf.serving import checks, warmup
from rocket_tf.serving import signatures as serving_signatures
from rocket_tf.system import files, timing
from tests.nets import CROSS_ENTROPY, examples, linear_pair

NAMES = ["plane", "car", "bird"]


@pytest.fixture(scope="module")
def rocket():
    """A trained rocket with dropout in the booster and moving statistics that have changed."""
    keras.utils.set_random_seed(0)
    rocket = RocketModel(*wide_resnet_pair(10, 16, 1, 3, (8, 8, 3), booster_dropout=0.2, seed=0))
    rocket.compile(optimizer=keras.optimizers.Adam(0.01), loss=CROSS_ENTROPY)
    random = np.random.default_rng(0)
    rocket.fit(random.integers(0, 256, (64, 8, 8, 3)), random.integers(0, 3, 64), verbose=0)
    return rocket


@pytest.fixture(scope="module")
def linear():
    """A rocket that exports quickly, for tests that do not depend on the net."""
    return RocketModel(*linear_pair())


@pytest.fixture(scope="module")
def flat():
    """An image net without convolutions, for tests that hold for all image nets."""
    images = keras.Input((8, 8, 3), name="images")
    return keras.Model(images, layers.Dense(3)(layers.Flatten()(layers.Rescaling(1 / 255)(images))))


@pytest.fixture(scope="module")
def version(rocket, tmp_path_factory):
    return export_light(rocket, tmp_path_factory.mktemp("serving") / "nets", class_names=NAMES)


def pixels(count):
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def test_a_fresh_process_computes_what_the_model_computes(rocket, version, tmp_path):
    """The process loads the export without rocket_tf and without Keras's classes."""
    np.save(tmp_path / "images.npy", pixels(8))
    script = """
        import sys
        import numpy as np
        import tensorflow as tf
        serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
        images = np.load(sys.argv[2] + "/images.npy")
        for count in (1, 3, 8):
            outputs = serve(images=tf.constant(images[:count]))
            arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
            arrays["class_names"] = arrays["class_names"].astype(str)
            np.savez(sys.argv[2] + f"/outputs_{count}.npz", **arrays)
        assert "rocket_tf" not in sys.modules
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(version), str(tmp_path)],
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
    )
    for count in (1, 3, 8):
        outputs = np.load(tmp_path / f"outputs_{count}.npz")
        logits = rocket.predict(pixels(8)[:count], verbose=0)
        np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-5, atol=1e-5)
        exponentials = np.exp(logits.astype(np.float64))
        np.testing.assert_allclose(
            outputs["probabilities"], exponentials / exponentials.sum(-1, keepdims=True), atol=1e-6
        )
        np.testing.assert_array_equal(outputs["classes"], logits.argmax(-1))
        assert list(outputs["class_names"]) == [NAMES[index] for index in logits.argmax(-1)]


def test_signatures(version):
    signatures = tf.saved_model.load(str(version)).signatures
    inputs = {
        "serving_default": ("images", tf.uint8, [None, 8, 8, 3]),
        "serve_float": ("images", tf.float32, [None, 8, 8, 3]),
        "serve_bytes": ("image_bytes", tf.string, [None]),
    }
    assert set(signatures) == set(inputs)
    for name, serve in signatures.items():
        (specification,) = serve.structured_input_signature[1].values()
        shape = specification.shape.as_list()
        assert (specification.name, specification.dtype, shape) == inputs[name]
        types = {key: (t.dtype, t.shape.as_list()) for key, t in serve.structured_outputs.items()}
        assert types == {
            "logits": (tf.float32, [None, 3]),
            "probabilities": (tf.float32, [None, 3]),
            "classes": (tf.int64, [None]),
            "class_names": (tf.string, [None]),
        }


@pytest.mark.parametrize("count", [1, 3, 8])
def test_signatures_compute_the_same_from_pixels_floats_and_files(rocket, version, count):
    signatures = tf.saved_model.load(str(version)).signatures
    images = pixels(count)
    files = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    expected = rocket.predict(images, verbose=0)
    for outputs in (
        signatures["serving_default"](images=tf.constant(images)),
        signatures["serve_float"](images=tf.constant(images, tf.float32)),
        signatures["serve_bytes"](image_bytes=files),
    ):
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-5)


def test_files_of_other_sizes_and_colours_are_resized(rocket, version):
    serve = tf.saved_model.load(str(version)).signatures["serve_bytes"]
    grey = np.random.default_rng(0).integers(0, 256, (32, 24, 1)).astype(np.uint8)
    logits = serve(image_bytes=tf.constant([tf.io.encode_jpeg(grey, quality=100).numpy()]))
    decoded = tf.io.decode_jpeg(
        tf.io.encode_jpeg(grey, quality=100), channels=3, dct_method="INTEGER_ACCURATE"
    )
    # Bilinear resizing with antialiasing is a mean with triangular weights, first across, then
    # down, rounded after each; then comes the crop of the centre.
    across = np.floor(triangle(decoded.numpy().astype(np.float64), 8, 1) + 0.5)
    resized = np.floor(triangle(across, 11, 0)[1:9] + 0.5)
    expected = rocket.light(resized[None].astype(np.float32), training=False)
    np.testing.assert_allclose(logits["logits"], expected, rtol=1e-5, atol=1e-5)


def triangle(array, size, axis):
    """Shrinks one axis with weights that fall off linearly."""
    scale = array.shape[axis] / size
    centres = (np.arange(size) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(array.shape[axis])[None] - centres[:, None]) / scale
    weights = np.maximum(0, 1 - distances)
    weights /= weights.sum(1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)


def test_an_export_has_labels_provenance_and_warm_up_requests(rocket, tmp_path):
    version = export_light(rocket, tmp_path, NAMES, provenance={"test_error": {"light": 12.5}})
    assert (version / "assets" / "labels.txt").read_text().splitlines() == NAMES
    provenance = json.loads((version / "assets.extra" / "provenance.json").read_text())
    assert provenance["test_error"] == {"light": 12.5} and provenance["optimized"] is False
    assert provenance["net"]["parameters"] == rocket.light.count_params()
    assert provenance["software"]["tensorflow"] == tf.__version__
    requests = dict(warmup.read(version))
    assert set(requests) == {"serving_default", "serve_float", "serve_bytes"}
    assert requests["serving_default"]["images"].dtype == np.uint8
    # A file that a server would refuse is an error when it is read.
    path = version / warmup.FILE
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is damaged"):
        warmup.read(version)


def test_warm_up_requests_use_the_given_examples(flat, tmp_path):
    version = export_light(flat, tmp_path, examples=pixels(4))
    (given,) = dict(warmup.read(version))["serve_float"].values()
    np.testing.assert_array_equal(given, pixels(4)[:1])


def test_fractional_pixels_are_compared_as_each_signature_reads_them(flat, tmp_path):
    """uint8 truncates 99.5 to 99, so the comparison gives the model 99, too."""
    images = pixels(3).astype(np.float32) / 2 + 0.25
    version = export_light(flat, tmp_path, examples=images)
    served = tf.saved_model.load(str(version)).signatures
    expected = flat.predict(images, verbose=0)
    answers = served["serve_float"](images=tf.constant(images))["logits"]
    np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-5)
    cut = served["serving_default"](images=tf.constant(images.astype(np.uint8)))["logits"]
    assert np.abs(cut - expected).max() > 1e-4


@pytest.mark.slow
def test_an_optimized_export_computes_the_same_and_has_no_variables(rocket, tmp_path, monkeypatch):
    images = pixels(8)
    for ratio in (0.9, 0.99):  # pretends that the latency ratio was measured
        monkeypatch.setattr(timing, "ratio", lambda *_, ratio=ratio: ratio)
        version = export_light(rocket, tmp_path, NAMES, optimize=True)
        provenance = json.loads((version / "assets.extra" / "provenance.json").read_text())
        assert provenance["optimized"] is (ratio == 0.9)
        assert provenance["optimization"]["folded_batch_normalizations"] == 3
        loaded = tf.saved_model.load(str(version))
        assert (len(loaded.light_variables) == 0) is (ratio == 0.9)
        outputs = loaded.signatures["serving_default"](images=tf.constant(images))
        expected = rocket.predict(images, verbose=0)
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-5)


def test_each_variable_of_the_light_net_is_in_it_once(rocket, version):
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    stored = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE") and reader.get_tensor(name).dtype == np.float32
    }
    expected = [variable.numpy() for variable in rocket.light.variables]
    assert sorted(value.tobytes() for value in stored.values()) == sorted(
        value.tobytes() for value in expected
    )
    size = sum(path.stat().st_size for path in (version / "variables").iterdir())
    assert size < 4.3 * rocket.light.count_params() + 20_000


def test_no_booster_in_the_graph(version):
    graph = (version / "saved_model.pb").read_bytes()
    assert b"light_logits" in graph and b"shared_stem" in graph
    for part in (b"booster", b"optimizer", b"dropout", b"seed_generator"):
        assert part not in graph


def test_versions_count_up_and_nothing_is_overwritten(linear, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").write_text("mine")
    assert export_light(linear, tmp_path).name == "8"
    assert export_light(linear, tmp_path).name == "9"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["7", "8", "9", "notes"]


def test_a_version_is_overwritten_only_when_asked(linear, tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "old").write_text("old")
    with pytest.raises(FileExistsError, match="overwritten only with overwrite=True"):
        export_light(linear, tmp_path, version=3)
    assert [path.name for path in (tmp_path / "3").iterdir()] == ["old"]
    assert export_light(linear, tmp_path, version=3, overwrite=True) == tmp_path / "3"
    assert (tmp_path / "3" / "saved_model.pb").exists()
    assert not (tmp_path / "3" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["3"]
    with pytest.raises(ValueError, match="positive integer"):
        export_light(linear, tmp_path, version=0)


def test_an_export_that_fails_leaves_nothing(linear, tmp_path, monkeypatch):
    def fail(module, path, signatures):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="No space"):
        export_light(linear, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_computes_something_else_leaves_nothing(linear, tmp_path, monkeypatch):
    make = serving_signatures.make_functions

    def make_wrong(signatures, infer, **rest):
        return make(signatures, lambda inputs: infer(inputs) + 0.001, **rest)

    monkeypatch.setattr(serving_signatures, "make_functions", make_wrong)
    with pytest.raises(RuntimeError, match="does not compute what the model computes"):
        export_light(linear, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_custom_proofs_run_before_the_version_gets_its_name(linear, tmp_path):
    def refuse(folder):
        assert (folder / "saved_model.pb").exists()
        assert not (tmp_path / "1").exists()
        raise RuntimeError("not good enough")

    with pytest.raises(RuntimeError, match="not good enough"):
        export_light(linear, tmp_path, prove=refuse)
    assert list(tmp_path.iterdir()) == []


def write_marker(name):
    return lambda folder: (folder / "marker").write_text(name)


def test_versions_written_at_the_same_time_do_not_collide(tmp_path):
    def write_slowly(folder):
        files.write_version(tmp_path, write_marker("fast"))
        write_marker("slow")(folder)

    assert files.write_version(tmp_path, write_slowly) == tmp_path / "2"
    assert [(tmp_path / name / "marker").read_text() for name in "12"] == ["fast", "slow"]

    def write_the_same(folder):
        files.write_version(tmp_path, write_marker("fast"), version=5)

    with pytest.raises(FileExistsError, match="overwritten only with"):
        files.write_version(tmp_path, write_the_same, version=5)
    assert (tmp_path / "5" / "marker").read_text() == "fast"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "5"]


def test_the_old_version_stays_if_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    files.write_version(tmp_path, write_marker("old"), version=1)
    rename = os.rename

    def fail_for_the_new_one(source, target):
        if str(source).endswith(".partial"):
            raise OSError("no such luck")
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="no such luck"):
        files.write_version(tmp_path, write_marker("new"), version=1, overwrite=True)
    assert (tmp_path / "1" / "marker").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_file_that_cannot_be_written_leaves_nothing_and_is_named(tmp_path, monkeypatch):
    (tmp_path / "table.json").write_text("old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*table\.json"):
        files.write_text(tmp_path / "table.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]
    assert (tmp_path / "table.json").read_text() == "old"


def test_names_of_inputs(tmp_path):
    inputs = {name: keras.Input((2,), name=name) for name in ("1st größe", "log-power")}
    light = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(list(inputs.values()))))
    serve = tf.saved_model.load(str(export_light(light, tmp_path))).signatures["serving_default"]
    assert set(serve.structured_input_signature[1]) == {"input_1st_gr__e", "log_power"}


@pytest.mark.parametrize(
    "names, exported",
    [
        (("a b", "a_b"), ("a_b_2", "a_b")),
        (("Item", "item"), ("Item", "item_2")),
        (("item_2", "Item", "item", "ITEM"), ("item_2", "Item", "item_3", "ITEM_4")),
        (("class", "self"), ("input_class", "input_self")),
        (("from", "input_from", "None"), ("input_from_2", "input_from", "input_None")),
        (("args", "kwargs", "name", "cls", "match"), ("args", "kwargs", "name", "cls", "match")),
    ],
)
def test_input_names_that_are_not_valid_arguments_or_coincide_as_such(names, exported, tmp_path):
    """The inputs are not mixed up: each is multiplied by its own factor."""
    inputs = [keras.Input((1,), name=name) for name in names]
    scaled = [layers.Rescaling(10.0**index)(each) for index, each in enumerate(inputs)]
    light = keras.Model(inputs, layers.Concatenate()([layers.Add()(scaled)] * 2))
    version = export_light(light, tmp_path)
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    assert set(serve.structured_input_signature[1]) == set(exported)
    values = {name: tf.constant([[index + 1.0]]) for index, name in enumerate(exported)}
    expected = sum((index + 1) * 10**index for index in range(len(names)))
    np.testing.assert_allclose(serve(**values)["logits"], [[expected] * 2], rtol=1e-6)
    provenance = json.loads((version / "assets.extra" / "provenance.json").read_text())
    assert [each["name"] for each in provenance["net"]["inputs"]] == list(exported)
    assert "batches" in dict(checks.prove(version))


def test_folders_that_tensorflow_reads_as_patterns(tmp_path, monkeypatch):
    rocket = RocketModel(*linear_pair())
    for name in ("nets [1]", "nets\\"):
        with pytest.raises(ValueError, match=r"a path without \[ \] and .*'.*nets"):
            export_light(rocket, tmp_path / name)
    assert not list(tmp_path.iterdir())
    (tmp_path / "nets [1]").mkdir()
    monkeypatch.chdir(tmp_path / "nets [1]")
    for name in ("here", "a*b?", "one["):  # TensorFlow can open these
        version = export_light(rocket, name)
        assert "batches" in dict(checks.prove(version))


def test_nets_that_do_not_normalize_pixels_keep_their_inputs(tmp_path):
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


def test_wrong_class_names(rocket, tmp_path):
    with pytest.raises(ValueError, match="each of the 3 classes"):
        export_light(rocket, tmp_path, class_names=["plane", "car"])
    with pytest.raises(ValueError, match="of one line each"):
        export_light(rocket, tmp_path, class_names=["plane", "car", "big\nbird"])
    with pytest.raises(ValueError, match="of one line each"):
        export_light(rocket, tmp_path, class_names=["plane\n", "car", "bird"])


@pytest.fixture(scope="module")
def fresh_process(rocket, tmp_path_factory):
    """Runs a process that imports the package and loads a saved rocket; then its disk is full.

    Files of that process cannot grow beyond 40 kB.

    Returns:
        The logits that it predicts, the disk space that it sees, and the folder of its exports.
    """
    folder = tmp_path_factory.mktemp("fresh")
    rocket.save(folder / "rocket.keras")
    script = """
        import json, resource, signal, sys
        import rocket_tf
        import keras
        import numpy as np
        loaded = keras.models.load_model(sys.argv[1] + "/rocket.keras")
        logits = loaded.predict(np.zeros((1, 8, 8, 3), "uint8"), verbose=0)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        refused = None
        try:
            rocket_tf.export_light(loaded.light, sys.argv[1] + "/serving")
        except OSError as error:
            refused = str(error)
        print(json.dumps([logits.tolist(), refused]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    logits, refused = json.loads(result.stdout.splitlines()[-1])
    return logits, refused, folder / "serving"


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(fresh_process):
    _, refused, exports = fresh_process
    assert refused
    assert list(exports.iterdir()) == []


@pytest.mark.slow
def test_a_saved_rocket_loads_in_a_fresh_process_that_imports_the_package(rocket, fresh_process):
    logits, _, _ = fresh_process
    expected = rocket.predict(np.zeros((1, 8, 8, 3), np.uint8), verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
