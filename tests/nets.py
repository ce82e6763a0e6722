"""Small nets that tests share."""

import keras
import numpy as np
from keras import layers

# The lowest version that the package takes, which cannot build some of the tests' own nets.
KERAS_3_12 = keras.__version__.startswith("3.12.")
FEATURES, SHARED, CLASSES = 5, 4, 3
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def linear_pair(classes=CLASSES):
    """Two nets of matrix products alone: x S L and x S B, with S shared."""
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
    """The float64 matrices shared, light only, booster only."""
    return {
        name: rocket.get_layer(name).kernel.numpy().astype(np.float64)
        for name in ("shared", "light_only", "booster_only")
    }


def logits_of(weights, x):
    low = x.astype(np.float64) @ weights["shared"]
    return low @ weights["light_only"], low @ weights["booster_only"]
