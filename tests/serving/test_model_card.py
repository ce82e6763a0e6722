"""Model cards of runs and of nets from Python say what is true."""

import base64
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import Hint, RocketModel, export_light
from rocket_tf.serving import companions, model_card
from tests.nets import CROSS_ENTROPY

PROVENANCE = {
    "config": {
        **{"data_path": "/data/logs", "method": "rocket", "seed": 3, "epochs": 40},
        **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 128, "hint": "logits_mse"},
    },
    "data": {"dataset": "image_folder", "train_examples": 12000, "test_examples": 797},
    "test_error": {"light": 1.254, "booster": 1.0},
    "nets": {
        "light": {"test_error": 1.254, "parameters": 78042, "multiply_adds": 763520},
        "booster": {"test_error": 1.0, "parameters": 371034, "multiply_adds": None},
    },
    "hints": [{"name": "hint_loss", "loss": "kd", "weight": 0.03, "follows": "booster"}],
    "epoch": 38,
    "checkpoint": "chosen/epoch-38",
    "net": {
        "name": "light",
        "parameters": 78042,
        "inputs": [{"name": "images", "shape": [None, 8, 8, 1], "dtype": "float32"}],
        "compute_dtypes": ["bfloat16", "float32"],
    },
    "optimized": False,
    "software": {"tensorflow": "2.21.0", "keras": "3.15.1", "rocket_tf": "0.2.0"},
    "created": "2026-11-27T18:15:56+00:00",
}
OF_A_RUN = """\
# Model card: light

A net for classification, exported on 2026-11-27 by rocket_tf 0.2.0, with TensorFlow 2.21.0 and \
Keras 3.15.1.

Classes (2): cat, dog.

## Training and data

- Data: `image_folder` (`logs`), 12,000 training and 797 test examples.
- Method: `rocket`, seed 3, 40 epochs; the weights are those of epoch 38 (`chosen/epoch-38`).
- Optimizer: `sgd`, learning rate 0.1, batches of 128.
- Hint `hint_loss`: kd, weight 0.03, follows the booster.

## Errors and cost

| net | test error | parameters | multiply-adds |
| --- | --- | --- | --- |
| light net, which this is | 1.25 % | 78,042 | 763,520 |
| booster, trained beside it and not exported | 1.00 % | 371,034 | not known |

| file | format | bytes | test error | largest difference from the model |
| --- | --- | --- | --- | --- |
| `light.tflite` | LiteRT, float32 | 330,000 | 1.25 % | 2.0e-07 |
| `light_int8.tflite` | LiteRT, int8 | 100,000 | not measured | 2.5e-01 |

## Asking it

| input | dtype and shape |
| --- | --- |
| `images` | float32 (n, 8, 8, 1) |

## Known limits

- The errors are those of one training (seed 3) on one set of 797 examples. Other data and other \
seeds give other errors.
- One run does not say whether the booster helped; `rocket-tf study` compares.
- It computes in bfloat16, and is slow if that is emulated.
- It was not tested on inputs unlike its training data, for fairness, or against attacks.
"""
CONTENTS = [
    {
        **{"name": "light.tflite", "kind": "LiteRT, float32", "size": 330000},
        **{"test_error": 1.2547, "difference": 2e-7},
    },
    {
        **{"name": "light_int8.tflite", "kind": "LiteRT, int8", "size": 100000},
        **{"test_error": None, "difference": 0.25},
    },
]


def test_the_card_of_a_run_agrees_with_its_provenance(tmp_path):
    (tmp_path / companions.PROVENANCE).write_text(json.dumps(PROVENANCE))
    companions.write_labels(tmp_path / companions.LABELS, ["cat", "dog"])
    export = tmp_path / "light.tflite"
    export.touch()
    model_card.write(export, contents=CONTENTS)
    assert (tmp_path / model_card.NAME).read_text() == OF_A_RUN


def test_simulated_data_is_named_as_a_limit(tmp_path):
    data = {**PROVENANCE["data"], "dataset": "simulated_clicks"}
    (tmp_path / companions.PROVENANCE).write_text(json.dumps({**PROVENANCE, "data": data}))
    export = tmp_path / "light.onnx"
    export.touch()
    model_card.write(export, tasks=("classification", "regression", "multi_label"))
    card = (tmp_path / model_card.NAME).read_text()
    assert "- The data is simulated: the net knows nothing of real users.\n" in card
    assert "A net for classification and regression and multi-label, exported" in card
    assert "Classes" not in card  # there are no labels


def pair(inputs, units=3):
    """For 5 inputs, the light net has 24 + 15 parameters and the booster 24 + 67."""
    flat = keras.layers.Flatten()(inputs)
    low = keras.layers.Dense(4, activation="relu", name="low")(flat)
    light = keras.Model(inputs, keras.layers.Dense(units)(low), name="light")
    high = keras.layers.Dense(8, activation="relu", name="high")(low)
    return light, keras.Model(inputs, keras.layers.Dense(units)(high), name="booster")


def section(card, heading):
    return card.partition(f"## {heading}\n\n")[2].partition("\n## ")[0]


def test_a_rocket_from_python_says_what_it_knows(tmp_path):
    hints = [
        Hint("logits_mse", weight=0.25),
        Hint("kd", weight=keras.optimizers.schedules.CosineDecay(1.0, 9), name="annealed"),
    ]
    rocket = RocketModel(*pair(keras.Input((5,), name="features")), hint=hints)
    rocket.compile(loss=CROSS_ENTROPY)
    own = {"trained_on": "flowers", "config": "none", "nets": 3, "test_error": {"light": 12.5}}
    version = export_light(rocket, tmp_path, provenance=own)
    path = model_card.card_of(version)
    assert path == version / "assets.extra" / "model_card.md"
    card = path.read_text()
    assert section(card, "Training and data").splitlines() == [
        "It was exported from Python. Of its data and training, this is what was given with it:",
        "",
        '- trained_on: "flowers"',
        '- config: "none"',
        "- Hint `hint_loss`: logits_mse, weight 0.25, follows the booster.",
        "- Hint `annealed`: kd, weight by a schedule, follows the booster.",
    ]
    assert section(card, "Errors and cost").splitlines() == [
        "| net | test error | parameters | multiply-adds |",
        "| --- | --- | --- | --- |",
        "| light net, which this is | 12.50 % | 39 | 32 |",
        "| booster, trained beside it and not exported | not known | 91 | 76 |",
    ]
    kept = companions.read_provenance(version)
    assert kept["nets"]["light"] == {"parameters": 39, "multiply_adds": 32}
    assert kept["trained_on"] == "flowers"


def test_a_plain_model_has_no_booster_and_no_errors(tmp_path):
    dense = [keras.layers.Dense(4), keras.layers.Dense(1)]
    light = keras.Sequential([keras.Input((5,), name="features"), *dense])
    card = model_card.card_of(export_light(light, tmp_path, task="regression")).read_text()
    assert "A net for regression, exported on" in card
    assert "Of its data and training, neither is recorded here." in card
    assert "| this net | 29 | 24 |" in card and "booster" not in card
    assert "Its errors are not recorded here." in card
    assert "- Its errors are not known here: measure them before it is used." in card


def text_net():
    """A net that reads a string, a number and a history of 70 integers."""
    inputs = {
        "item": keras.Input((), dtype="string", name="item"),
        "price": keras.Input((1,), name="price"),
        "history": keras.Input((70,), dtype="int64", name="history"),
    }
    item = keras.layers.Hashing(7, output_mode="one_hot")(keras.ops.expand_dims(inputs["item"], 1))
    history = keras.ops.cast(inputs["history"], "float32")
    joined = keras.layers.Concatenate()([item, inputs["price"], history])
    return keras.Model(inputs, keras.layers.Dense(2)(joined), name="light")


def pixel_net():
    images = keras.Input((6, 5, 3), name="images")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    return keras.Model(images, keras.layers.Dense(2)(pooled), name="light")


NETS = {
    "features": (lambda: pair(keras.Input((5,), name="features"))[0], {}),
    "pixels": (pixel_net, {"class_names": ["no", "yes"]}),
    "text": (text_net, {"user_inputs": ["price", "history"]}),
}


@pytest.fixture(scope="module", params=NETS)
def exported(request, tmp_path_factory):
    build, arguments = NETS[request.param]
    return export_light(build(), tmp_path_factory.mktemp(request.param), **arguments)


def test_the_signatures_equal_those_of_the_savedmodel(exported):
    served = tf.saved_model.load(str(exported)).signatures
    card = model_card.card_of(exported).read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", section(card, "Asking it"), re.MULTILINE)
    assert {name for name, _, _ in rows} == set(served)
    for name, inputs, outputs in rows:
        expected = {
            key: (value.dtype.name, value.shape)
            for key, value in served[name].structured_input_signature[1].items()
        }
        shown = re.findall(r"`(\w+)` (\w+) \(([^)]*)\)", inputs)
        assert {
            key: (dtype, tf.TensorShape([None if n == "n" else int(n) for n in shape.split(", ")]))
            for key, dtype, shape in shown
        } == expected
        assert set(re.findall(r"`(\w+)`", outputs)) == set(served[name].structured_outputs)


def test_the_example_in_python_runs(exported):
    (code,) = re.findall(r"```python\n(.*?)```", model_card.card_of(exported).read_text(), re.S)
    assert "served.signatures['serving_default'](" in code
    names = {}
    place = code.replace("load('.')", f"load({str(exported)!r})")
    exec(compile(place, "model_card.md", "exec"), names)
    assert names["answer"]["logits"].shape[0] == 1


def test_the_example_for_rest_is_answered(exported):
    """The server reads columns of values; files are encoded in base64."""
    (body,) = re.findall(r"```json\n(.*?)```", model_card.card_of(exported).read_text(), re.S)
    request = json.loads(body)
    serve = tf.saved_model.load(str(exported)).signatures[request["signature_name"]]
    specifications = serve.structured_input_signature[1]
    assert set(request["inputs"]) == set(specifications)
    tensors = {}
    for name, column in request["inputs"].items():
        if name.endswith("_bytes"):
            column = [base64.b64decode(each["b64"]) for each in column]
        tensors[name] = tf.constant(column, specifications[name].dtype)
    probabilities = serve(**tensors)["probabilities"].numpy()
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)


def test_the_card_is_written_without_tensorflow():
    code = (
        "import sys\nsys.orig_argv = ['python', '-m', 'rocket_tf.main', '']\n"
        "import rocket_tf.serving.model_card\nassert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
