"""How many files one training step passes through, counted while it is traced."""

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

PACKAGE = Path(rocket_tf.__file__).parent


def image_net(name, low, width):
    high = layers.Conv2D(width, 3, name=f"{name}_high")(low)
    logits = layers.Dense(3, name=f"{name}_logits")(layers.GlobalAveragePooling2D()(high))
    return keras.Model(low._keras_history.operation.input, logits, name=name)


def simple_rocket():
    return RocketModel(*linear_pair()), examples(8)


def rocket_with_everything():
    """Hints on logits and layers, with a projection, a teacher and a schedule; routing; float16."""
    keras.config.set_dtype_policy("mixed_float16")
    low = layers.Conv2D(4, 3, kernel_regularizer="l2", name="low")(keras.Input((8, 8, 3)))
    light, booster = image_net("light", low, 4), image_net("booster", low, 5)
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
    images = random.random((8, 8, 8, 3), dtype=np.float32)
    return rocket, (images, random.integers(0, 3, 8))


def files_of(function, *args):
    """The project's files whose functions run in a call."""
    files = set()

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            files.add(str(path.relative_to(PACKAGE)))

    sys.setprofile(note)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return files


@pytest.mark.parametrize("make", [simple_rocket, rocket_with_everything])
def test_a_step_passes_through_five_files_of_the_core(make):
    rocket, (x, y) = make()
    rocket.compile("sgd", CROSS_ENTROPY, metrics=["accuracy", ExactAUC()])
    rocket.fit(x, y, epochs=1, verbose=0)  # so that all is built
    step = tf.function(rocket.train_step, autograph=False)
    data = tf.constant(x), tf.constant(y)
    files = files_of(step.get_concrete_function, data)
    assert files == {
        f"core/{name}.py"
        for name in ("rocket_model", "objective", "heads", "hint_losses", "distributed_model")
    }


def test_one_class_stands_between_rocket_model_and_keras():
    assert "train_step" in vars(RocketModel)
    (base,) = RocketModel.__bases__
    assert base.__module__ == "rocket_tf.core.distributed_model"
    # Keras itself sets its Functional in the place of keras.Model, once a model is made.
    (keras_base,) = base.__bases__
    assert keras_base.__module__.startswith("keras.")
