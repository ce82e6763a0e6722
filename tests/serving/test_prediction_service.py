"""An export behind TensorFlow Serving's gRPC interface, queried by another project's client.

Server and client run in separate processes, because their protocol buffers have the same names.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from rocket_tf import export_light
from rocket_tf.networks import wide_resnet_pair
from tests.serving.prediction_service import MODEL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ovmsclient") is None,
        reason="needs ovmsclient, which pip install -r requirements-dev.txt brings",
    ),
]
CLIENT = """
    import json, sys
    import grpc
    import numpy as np
    from ovmsclient import make_grpc_client
    from ovmsclient.tfs_compat.base import errors
    from ovmsclient.tfs_compat.grpc import requests
    from ovmsclient.tfs_compat.protos.tensorflow_serving.apis import prediction_service_pb2_grpc

    address, folder, model = sys.argv[1:]
    client = make_grpc_client(address)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))
    images = np.load(folder + "/images.npy")
    image_bytes = [open(folder + "/0.png", "rb").read()]

    def code_of(inputs, model=model, signature=""):
        request = requests.make_predict_request(inputs, model).raw_request
        request.model_spec.signature_name = signature
        try:
            stub.Predict(request, 30)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name

    status = client.get_model_status(model)
    metadata = client.get_model_metadata(model)
    outputs = {}
    for count in (1, 3, 8):
        answer = client.predict({"images": images[:count]}, model)
        outputs[count] = {
            "logits": answer["logits"].tolist(),
            "classes": answer["classes"].tolist(),
            "class_names": [name.decode() for name in np.ravel(answer["class_names"])],
        }
    codes = {
        "right": code_of({"images": images}),
        "float": code_of({"images": images.astype(np.float32)}, signature="serve_float"),
        "bytes": code_of({"image_bytes": image_bytes}, signature="serve_bytes"),
        "dtype": code_of({"images": images.astype(np.float32)}),
        "shape": code_of({"images": images[:, :5]}),
        "missing": code_of({}),
        "unknown_input": code_of({"pictures": images}),
        "unknown_signature": code_of({"images": images}, signature="regress"),
        "undecodable": code_of({"image_bytes": [b"no image"]}, signature="serve_bytes"),
        "unknown_model": code_of({"images": images}, model="dark"),
    }
    try:
        client.predict({"images": images.astype(np.float32)}, model)
    except errors.InvalidInputError as error:
        message = str(error)
    assert "tensorflow" not in sys.modules
    print(json.dumps([status, metadata, outputs, codes, message]))
"""


DOCS = Path(__file__).parents[2] / "docs"
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def served(folder):
    """The address of a server, and the net behind it."""
    light, _ = wide_resnet_pair(10, 16, 1, 3, (8, 8, 3), seed=0)
    version = export_light(light, folder / "light", class_names=["plane", "car", "bird"])
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.prediction_service", str(version)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
    )
    with server:
        yield f"127.0.0.1:{server.stdout.readline().strip()}", light
        server.stdin.close()


@pytest.fixture(scope="module")
def answers(served, folder):
    """Status, metadata, outputs by batch size, request codes, an error message, and the logits."""
    address, light = served
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    np.save(folder / "images.npy", images)
    (folder / "0.png").write_bytes(tf.io.encode_png(images[0]).numpy())
    answer = run(CLIENT, address, folder, MODEL).splitlines()[-1]
    logits = np.asarray(light(images.astype(np.float32), training=False))
    return *json.loads(answer), logits


def run(script, *arguments):
    """The output of a client that runs in its own process."""
    client = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert client.returncode == 0, client.stderr
    return client.stdout


def test_status(answers):
    assert answers[0]["1"]["state"] == "AVAILABLE"


def test_metadata(answers):
    metadata = answers[1]
    assert metadata["inputs"] == {"images": {"shape": [-1, 8, 8, 3], "dtype": "DT_UINT8"}}
    assert metadata["outputs"]["logits"] == {"shape": [-1, 3], "dtype": "DT_FLOAT"}
    assert metadata["outputs"]["class_names"] == {"shape": [-1], "dtype": "DT_STRING"}


@pytest.mark.parametrize("count", [1, 3, 8])
def test_predictions(answers, count):
    outputs, logits = answers[2][str(count)], answers[5][:count]
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-5, atol=1e-5)
    assert outputs["classes"] == logits.argmax(-1).tolist()
    names = ["plane", "car", "bird"]
    assert outputs["class_names"] == [names[index] for index in logits.argmax(-1)]


def test_codes(answers):
    assert answers[3] == {
        "right": "OK",
        "float": "OK",
        "bytes": "OK",
        "dtype": "INVALID_ARGUMENT",
        "shape": "INVALID_ARGUMENT",
        "missing": "INVALID_ARGUMENT",
        "unknown_input": "INVALID_ARGUMENT",
        "unknown_signature": "FAILED_PRECONDITION",
        "undecodable": "INVALID_ARGUMENT",
        "unknown_model": "NOT_FOUND",
    }


def test_messages_reach_the_client(answers):
    assert "images must be uint8, got float32" in answers[4]


@pytest.mark.parametrize("block", [0, 1])
def test_the_clients_of_the_docs(served, block):
    address, light = served
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "serving.md").read_text(), re.DOTALL)
    blocks = [block for block in blocks if "ADDRESS" in block]
    assert len(blocks) == 2
    names = f"ADDRESS, MODEL, IMAGE_SHAPE = {address!r}, {MODEL!r}, (8, 8, 3)\n"
    (classes,) = run(names + blocks[block]).splitlines()
    expected = light(np.zeros((3, 8, 8, 3), np.float32), training=False).numpy().argmax(-1)
    assert classes == str(expected)


def test_tensorflow_serving_can_parse_the_configuration_of_the_docs():
    config = text_format.Parse(
        (DOCS / "serving" / "models.config").read_text(),
        model_server_config_pb2.ModelServerConfig(),
    )
    (model,) = config.model_config_list.config
    served = list(model.model_version_policy.specific.versions)
    assert sorted(model.version_labels.values()) == served == [1, 2]
