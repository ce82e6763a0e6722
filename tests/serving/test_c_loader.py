"""TensorFlow's C++ loader in processes that never import tensorflow."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.core.protobuf import saved_model_pb2

from rocket_tf import export_light
from rocket_tf.errors import LoaderError
from rocket_tf.networks import wide_resnet_pair
from rocket_tf.serving import c_loader

NAMES = ["plane", "car", "bird"]
# The script poses as one of the project's commands, which import modules without TensorFlow.
WITHOUT_TENSORFLOW = """
    import sys
    sys.orig_argv = ["python", "-m", "tools.predict"]
    from rocket_tf.serving import c_loader
"""


@pytest.fixture(scope="module")
def light():
    keras.utils.set_random_seed(0)
    light, _ = wide_resnet_pair(10, 16, 1, 3, (8, 8, 3), seed=0)
    random = np.random.default_rng(0)
    for variable in light.variables:
        variable.assign(variable + random.uniform(0, 0.3, variable.shape))
    return light


@pytest.fixture(scope="module")
def version(light, tmp_path_factory):
    return export_light(light, tmp_path_factory.mktemp("serving"), class_names=NAMES)


def run(script, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_TENSORFLOW) + textwrap.dedent(script)]
        + [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_signatures_and_batches(light, version, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    for index, image in enumerate(images):
        (tmp_path / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())
    run(
        """
        import numpy as np
        folder = sys.argv[2]
        images = np.load(folder + "/images.npy")
        files = [open(f"{folder}/{index}.png", "rb").read() for index in range(8)]
        with c_loader.LoadedModel(sys.argv[1]) as model:
            for count in (1, 3, 8):
                for signature, inputs in {
                    "serving_default": {"images": images[:count]},
                    "serve_float": {"images": images[:count].astype("float32")},
                    "serve_bytes": {"image_bytes": np.array(files[:count], object)},
                }.items():
                    outputs = model.predict(inputs, signature)
                    outputs["class_names"] = outputs["class_names"].astype("S")
                    np.savez(f"{folder}/{signature}_{count}.npz", **outputs)
        assert "tensorflow" not in sys.modules and "keras" not in sys.modules
        """,
        version,
        tmp_path,
    )
    logits = np.asarray(light(images.astype(np.float32), training=False))
    for signature in ("serving_default", "serve_float", "serve_bytes"):
        for count in (1, 3, 8):
            outputs = np.load(tmp_path / f"{signature}_{count}.npz")
            np.testing.assert_allclose(outputs["logits"], logits[:count], rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(outputs["classes"], logits[:count].argmax(-1))
            expected = [NAMES[index].encode() for index in logits[:count].argmax(-1)]
            assert list(outputs["class_names"]) == expected


def test_mistakes_have_the_codes_of_the_server(version):
    codes = json.loads(
        run(
            """
            import json
            import numpy as np
            model = c_loader.LoadedModel(sys.argv[1])
            images = np.zeros((2, 8, 8, 3), "uint8")
            codes = {}
            def ask(name, *arguments, **keywords):
                try:
                    model.predict(*arguments, **keywords)
                except c_loader.LoaderError as error:
                    codes[name] = [error.code, str(error)]
            ask("dtype", {"images": images.astype("float64")})
            ask("shape", {"images": images[:, :5]})
            ask("missing", {})
            ask("unknown", {"images": images, "labels": images})
            ask("signature", {"images": images}, "serve")
            ask("output", {"images": images}, outputs=["scores"])
            ask("image", {"image_bytes": np.array([b"no image"], object)}, "serve_bytes")
            print(json.dumps(codes))
            """,
            version,
        ).splitlines()[-1]
    )
    assert {name: code for name, (code, _) in codes.items()} == {
        "dtype": c_loader.INVALID_ARGUMENT,
        "shape": c_loader.INVALID_ARGUMENT,
        "missing": c_loader.INVALID_ARGUMENT,
        "unknown": c_loader.INVALID_ARGUMENT,
        "signature": c_loader.FAILED_PRECONDITION,
        "output": c_loader.INVALID_ARGUMENT,
        "image": c_loader.INVALID_ARGUMENT,
    }
    assert "uint8, got float64" in codes["dtype"][1]
    assert "expected shape [?,8,8,3]" in codes["shape"][1]
    assert "'serve' not found; there are serve_bytes" in codes["signature"][1]


def test_only_the_requested_outputs_are_computed(version):
    with c_loader.LoadedModel(version) as model:
        images = np.zeros((2, 8, 8, 3), np.uint8)
        assert list(model.predict({"images": images}, outputs=["classes"])) == ["classes"]


def test_signatures_of_other_nets(tmp_path):
    inputs = {
        "user id": keras.Input((1,), dtype="int64", name="user id"),
        "prices": keras.Input((None, 2), name="prices"),
    }
    x = layers.Concatenate()(
        [
            layers.Flatten()(layers.Embedding(5, 3)(inputs["user id"])),
            layers.GlobalAveragePooling1D()(inputs["prices"]),
        ]
    )
    net = keras.Model(inputs, layers.Dense(1)(x))
    version = export_light(net, tmp_path)
    (signature,) = c_loader.read_signatures(version).values()
    message = {name: (info.dtype, info.shape) for name, info in signature.inputs.items()}
    assert message == {"user_id": ("int64", (None, 1)), "prices": ("float32", (None, None, 2))}
    assert signature.outputs["classes"].shape == (None,)
    x = {"user_id": np.array([[1], [4]]), "prices": np.ones((2, 7, 2), np.float32)}
    with c_loader.LoadedModel(version) as model:
        outputs = model.predict(x)
    expected = net({"user id": x["user_id"], "prices": x["prices"]})
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5)


def test_lookup_tables(tmp_path):
    inputs = keras.Input((1,), dtype="string", name="city")
    ids = layers.StringLookup(vocabulary=["Lund", "Oslo"])(inputs)
    net = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Embedding(3, 2)(ids))))
    cities = np.array([["Oslo"], ["Rome"]], object)
    with c_loader.LoadedModel(export_light(net, tmp_path)) as model:
        logits = model.predict({"city": cities})["logits"]
    np.testing.assert_allclose(logits, net(tf.constant(cities.astype(str))), rtol=1e-6)


def test_folders_that_are_not_saved_models(version, tmp_path):
    with pytest.raises(c_loader.LoaderError, match=r"it has no saved_model.pb"):
        c_loader.LoadedModel(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"something else")
    with pytest.raises(c_loader.LoaderError, match="cannot be read as a SavedModel"):
        c_loader.LoadedModel(tmp_path)
    shutil.copytree(version, tmp_path / "damaged")
    (data,) = (tmp_path / "damaged" / "variables").glob("*.data*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(c_loader.LoaderError) as caught:
        c_loader.LoadedModel(tmp_path / "damaged")
    assert caught.value.code


def test_a_damaged_graph_raises_nothing_but_a_loader_error(version, tmp_path):
    content = bytearray((version / "saved_model.pb").read_bytes())
    end = content.rindex(b"tensorflow/serving/predict")  # the last field of a signature
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[end - random.integers(200)] ^= random.integers(1, 256)
        (tmp_path / "saved_model.pb").write_bytes(damaged)
        try:
            c_loader.read_signatures(tmp_path)
        except c_loader.LoaderError:
            refused += 1
    assert 30 < refused < 300  # changed letters of a name, for example, can be read


def test_strings_are_bytes_or_text(tmp_path):
    inputs = keras.Input((1,), dtype="string", name="city")
    ids = layers.StringLookup(vocabulary=["Lund"])(inputs)
    net = keras.Model(inputs, layers.Flatten()(layers.Embedding(2, 2)(ids)))
    with c_loader.LoadedModel(export_light(net, tmp_path)) as model:
        lund, rome = model.predict({"city": [["Lund"], [b"Rome"]]})["logits"]
        assert not np.array_equal(lund, rome)
        for stray in (5, None):
            with pytest.raises(c_loader.LoaderError, match="city must be string, got"):
                model.predict({"city": np.array([[stray]], object)})


def test_a_closed_model_refuses_requests(version):
    model = c_loader.LoadedModel(version)
    model.close()
    model.close()
    with pytest.raises(c_loader.LoaderError, match="closed"):
        model.predict({"images": np.zeros((1, 8, 8, 3), np.uint8)})


def test_wrong_numbers_of_threads(version):
    for threads in (-1, 128):
        with pytest.raises(ValueError, match="threads must be 0 to 127"):
            c_loader.LoadedModel(version, threads)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("name", "StatefulPartitionedCaX:0", "which is not in its graph"),
        ("name", "StatefulPartitionedCall:99", "which its operation does not output"),
        ("name", "StatefulPartitionedCall:-1", "which is not in its graph"),
        ("dtype", 3, "float32 in its graph, as int32"),
    ],
)
def test_a_signature_that_names_missing_tensors(version, tmp_path, field, value, message):
    """Without the check, TensorFlow's session would read a wrong memory address."""
    shutil.copytree(version, tmp_path / "1")
    path = tmp_path / "1" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    setattr(model.meta_graphs[0].signature_def["serve_bytes"].outputs["logits"], field, value)
    path.write_bytes(model.SerializeToString())
    lines = run(
        """
        try:
            c_loader.LoadedModel(sys.argv[1])
        except c_loader.LoaderError as error:
            print(error)
        """,
        tmp_path / "1",
    )
    assert lines.startswith("the signature serve_bytes names the tensor ") and message in lines


def test_a_pipe_in_an_export_does_not_block(version, tmp_path):
    shutil.copytree(version, tmp_path / "1")
    path = tmp_path / "1" / "variables" / "variables.index"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(LoaderError, match=r"variables\.index is not a regular file"):
        c_loader.LoadedModel(tmp_path / "1")
