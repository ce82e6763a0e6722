"""Small convolutional nets for hints on hidden layers."""

import keras
import numpy as np
from keras import layers

SIZE, CHANNELS = 4, 2
LAYERS = {"light_high": "booster_high"}


def images(count, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(count, SIZE, SIZE, CHANNELS)).astype(np.float32)
    return pixels, random.integers(0, 3, count)


def pair(prefix=""):
    """Nets of 1×1 convolutions, which are matrix products over channels; `low` is shared."""
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    low = layers.Conv2D(3, 1, use_bias=False, name=f"{prefix}low")(inputs)

    def net(role, channels):
        high = layers.Conv2D(channels, 1, use_bias=False, name=f"{prefix}{role}_high")(low)
        logits = layers.Dense(3, name=f"{prefix}{role}_logits")(layers.Flatten()(high))
        return keras.Model(inputs, logits, name=f"{prefix}{role}")

    return net("light", 2), net("booster", 5)
