"""The files that one training step passes through while it is traced."""

import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import rocket_tf
from rocket_tf import ExactAUC, Hint, RocketModel
from tests.nets import CROSS_ENTROPY, examples, linear_pair
from tests.sources import imports_of

PACKAGE = Path(rocket_tf.__file__).parent
CORE = PACKAGE / "core"


def logits_on(low, name, width):
    high = layers.Conv2D(width, 3, name=f"{name}_high")(low)
    return layers.Dense(3, name=f"{name}_logits")(layers.GlobalAveragePooling2D()(high))


def simple_rocket():
    return RocketModel(*linear_pair()), examples(8)


def rocket_with_hints_over_classes():
    hints = [Hint("dkd", 0.1), Hint("dist", 0.2, follows="light")]
    return RocketModel(*linear_pair(), hint=hints), examples(8)


def rocket_with_everything():
    """Logit and layer hints, a projection, a teacher, a schedule, routing and float16 at once."""
    keras.config.set_dtype_policy("mixed_float16")
    images = keras.Input((8, 8, 3))
    low = layers.Conv2D(4, 3, kernel_regularizer="l2", name="low")(images)
    light = keras.Model(images, logits_on(low, "light", 4), name="light")
    booster = keras.Model(images, logits_on(low, "booster", 5), name="booster")
    teacher = keras.models.clone_model(booster)
    pairs = {"light_high": "booster_high"}
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    rocket = RocketModel(
        light,
        booster,
        teacher=teacher,
        hint=[
            Hint("logits_mse", schedule),
            Hint("kd", 0.5, follows="teacher"),
            Hint("attention", layers=pairs, name="attention_loss"),
            Hint("cosine", layers=pairs, projection=True, name="cosine_loss"),
        ],
        shared_layers_learn_from="booster",
    )
    random = np.random.default_rng(0)
    x = random.random((8, 8, 8, 3), dtype=np.float32)
    return rocket, (x, random.integers(0, 3, 8))


def files_of(function, *args):
    """The project's files whose functions run during a call."""
    called = set()

    def note(frame, event, _):
        if event == "call":
            called.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    paths = map(Path, called)
    return {str(path.relative_to(PACKAGE)) for path in paths if path.is_relative_to(PACKAGE)}


@pytest.mark.parametrize(
    "make, losses",
    [
        (simple_rocket, "hint_losses"),
        (rocket_with_everything, "hint_losses"),
        (rocket_with_hints_over_classes, "class_hint_losses"),
    ],
)
def test_a_step_passes_through_five_files_of_the_core(make, losses):
    rocket, (x, y) = make()
    rocket.compile("sgd", CROSS_ENTROPY, metrics=["accuracy", ExactAUC()])
    rocket.fit(x, y, epochs=1, verbose=0)  # builds all variables
    step = tf.function(rocket.train_step, autograph=False)
    data = tf.constant(x), tf.constant(y)
    files = files_of(step.get_concrete_function, data)
    assert files == {
        f"core/{name}.py"
        for name in ("rocket_model", "objective", "batch", losses, "distributed_model")
    }


def test_one_class_stands_between_rocket_model_and_keras():
    assert "train_step" in vars(RocketModel)
    (base,) = RocketModel.__bases__
    assert base.__module__ == "rocket_tf.core.distributed_model"
    # Once a model exists, Keras replaces the base keras.Model by its Functional class.
    (keras_base,) = base.__bases__
    assert keras_base.__module__.startswith("keras.")


def test_the_core_imports_nothing_else_of_the_project():
    imported = {name for path in CORE.glob("*.py") for name in imports_of(path.read_text())}
    assert len(imported) > 10
    assert {name for name in imported if not name.startswith("rocket_tf.core")} == set()


def test_the_page_on_the_core_names_its_files_and_their_functions():
    page = (CORE / "README.md").read_text()
    files = {path.name for path in CORE.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE)) == files
    sources = "".join(path.read_text() for path in CORE.glob("*.py"))
    for owner, name in re.findall(r"`([A-Z]\w+)\.(\w+)`", page):
        assert f"class {owner}" in sources, owner
        assert re.search(rf"def {name}\(", sources), name


@pytest.mark.parametrize("metrics", [None, ["accuracy"], [keras.metrics.CategoricalAccuracy()]])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_traced_once(metrics, weighted):
    """Metrics and optimizer create their variables first; a smaller last batch does not retrace."""
    traces = {"train": 0, "test": 0}

    class Counting(RocketModel):
        def train_step(self, data):
            traces["train"] += 1
            return super().train_step(data)

        def test_step(self, data):
            traces["test"] += 1
            return super().test_step(data)

    rocket, (x, y) = Counting(*linear_pair()), examples(7)
    loss = CROSS_ENTROPY
    if isinstance((metrics or [None])[0], keras.metrics.CategoricalAccuracy):
        loss, y = keras.losses.CategoricalCrossentropy(from_logits=True), np.eye(3)[y]
    rocket.compile("adam", loss, metrics=metrics, weighted_metrics=metrics if weighted else None)
    weights = np.linspace(0.5, 2, 7) if weighted else None
    rocket.fit(x, y, sample_weight=weights, batch_size=4, epochs=2, verbose=0)
    rocket.evaluate(x, y, sample_weight=weights, batch_size=4, verbose=0)
    assert traces == {"train": 1, "test": 1}
