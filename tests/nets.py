"""Small nets that tests share."""

import keras
import numpy as np
from keras import layers

# The oldest supported version, which cannot build some of the nets in the tests.
KERAS_3_12 = keras.__version__.startswith("3.12.")
FEATURES, SHARED, CLASSES = 5, 4, 3
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def linear_pair(classes=CLASSES):
    """Two linear nets, x S L and x S B, that share S."""
    inputs = keras.Input((FEATURES,), name="features")
    low = layers.Dense(SHARED, use_bias=False, name="shared")(inputs)
    light = layers.Dense(classes, use_bias=False, name="light_only")(low)
    booster = layers.Dense(classes, use_bias=False, name="booster_only")(low)
    return keras.Model(inputs, light, name="light"), keras.Model(inputs, booster, name="booster")


def examples(count, classes=CLASSES, seed=0):
    """Features and integer labels."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, FEATURES)).astype(np.float32)
    return features, random.integers(0, classes, count)


def weights_of(rocket):
    """The three matrices in float64, by the names of their layers."""
    return {
        name: rocket.get_layer(name).kernel.numpy().astype(np.float64)
        for name in ("shared", "light_only", "booster_only")
    }


def logits_of(weights, x):
    low = x.astype(np.float64) @ weights["shared"]
    return low @ weights["light_only"], low @ weights["booster_only"]
