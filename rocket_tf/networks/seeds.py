"""Seeds of each layer's initial weights and dropout."""

import zlib


def layer_seed(seed, layer_name):
    """The seed of one layer, which follows only from the net's seed and the layer's name.

    Args:
        seed: int, the net's seed; `None`: no layer has one.
        layer_name: name of the layer, or of a part of it.

    Returns:
        An int from 0 to 2³² - 1, or `None`.
    """
    return None if seed is None else zlib.crc32(f"{seed}/{layer_name}".encode())
