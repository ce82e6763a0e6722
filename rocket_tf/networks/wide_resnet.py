"""Pairs of wide residual nets: a light net that shares low layers with a booster.

The nets are those of Zagoruyko & Komodakis, "Wide Residual Networks" (2016), with pre-activation
blocks. Sharing follows Zhou et al., "Rocket Launching" (AAAI 2018), Figure 3. Details (padding,
initial weights, separate batch normalizations) follow the authors' PyTorch release.
"""

import re
from collections.abc import Sequence
from typing import Literal

import keras
from keras import layers

from rocket_tf.networks.normalization import FusedBatchNormalization
from rocket_tf.networks.seeds import layer_seed

_STEM_WIDTH = 16
_GROUP_WIDTHS = (16, 32, 64)
_GROUP_STRIDES = (1, 2, 2)
_BATCH_NORMALIZATIONS = ("fused", "synchronized", "keras")
_CIFAR_PIXEL_MEAN = (125.3, 123.0, 113.9)
_CIFAR_PIXEL_STD = (63.0, 62.1, 66.7)


def wide_resnet_pair(
    light_depth: int | None = 16,
    booster_depth: int = 40,
    width: int = 1,
    num_classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    layout: Literal["interval", "bottom", "constant"] = "interval",
    share: bool = True,
    *,
    share_stem: bool = False,
    pixel_mean: Sequence[float] | None = None,
    pixel_std: Sequence[float] | None = None,
    batch_normalization: Literal["fused", "synchronized", "keras"] = "fused",
    booster_dropout: float = 0.0,
    seed: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """A light wide residual net and its booster, as two functional models over one `Input`.

    Inputs are raw pixels, 0 to 255, of shape (batch, *input_shape) and dtype float32; outputs are
    logits of shape (batch, num_classes) and dtype float32. The two nets always have separate batch
    normalizations and classifiers; with `share`, they share the stem and the low convolutions.

    Args:
        light_depth: layers of the light net, 6n + 4; `None` with `layout="bottom"`; with
            `layout="constant"`, 2n + 4 for n blocks.
        booster_depth: layers of the booster, 6n + 4.
        width: widening factor k; the three groups have 16k, 32k and 64k channels, or all three 16k
            with `layout="constant"`.
        num_classes: number of logits.
        input_shape: (height, width, channels) of an image.
        layout: `"interval"`: the light net has all three groups and shares the booster's first
            blocks of each (Figure 3 b). `"bottom"`: the light net is all of the booster's first two
            groups (Figure 3 a). `"constant"`: all groups have the same width, and the light net is
            the booster's lowest blocks (Figure 4; the paper does not give the strides, so these are
            the usual ones).
        share: whether the nets share more than the input. `False` is the paper's "no sharing"
            (Table 2): the same two nets with separate weights, also in the stem.
        share_stem: with `share=False`, whether to share the stem, the first convolution. The
            authors' release shares it; the paper does not say so.
        pixel_mean: mean of each channel in units of a pixel, subtracted by the nets' first layer.
            `None`: CIFAR's for three channels, 127.5 otherwise.
        pixel_std: standard deviation of each channel in units of a pixel; that layer divides by it.
            `None`: CIFAR's for three channels, 63.75 otherwise.
        batch_normalization: `"fused"` (each replica normalizes its own examples),
            `"synchronized"` (over all replicas' examples), or `"keras"` (Keras's layer, slower).
        booster_dropout: fraction of activations dropped after each convolution that only the
            booster has (the paper's SVHN recipe).
        seed: seed of the initial weights; each layer's follow only from it and the layer's name, so
            a net has the same start in every pair. `None`: other weights each time.

    Returns:
        `(light, booster)`, two `keras.Model`s.

    Raises:
        ValueError: if an argument is out of range, or `light_depth` does not fit the layout.

    Example:
        >>> from rocket_tf.networks import wide_resnet_pair
        >>> light, booster = wide_resnet_pair(light_depth=10, booster_depth=16, num_classes=10)
        >>> light.output.shape, light.count_params() < booster.count_params()
        ((None, 10), True)
    """
    light_blocks, booster_blocks = _block_counts(light_depth, booster_depth, layout)
    _check_arguments(width, num_classes, input_shape, batch_normalization, booster_dropout)
    mean, std = _pixel_statistics(pixel_mean, pixel_std, input_shape[-1])
    images = keras.Input(input_shape, name="images")
    # Normalized in float32 under every policy: bfloat16 would blur the pixels.
    normalized = layers.Normalization(
        mean=list(mean), variance=[value**2 for value in std], dtype="float32", name="normalized"
    )(images)

    convolutions = _Convolutions(
        # With sharing, the booster has every block that the light net has.
        shared_blocks=light_blocks if share else [0] if share_stem else None,
        seed=seed,
    )
    widths = (_GROUP_WIDTHS[0],) * 3 if layout == "constant" else _GROUP_WIDTHS
    channels = [width * group_width for group_width in widths]

    def build(owner, blocks, dropout):
        net = _WideResNet(owner, convolutions, channels, batch_normalization, dropout, seed)
        return keras.Model(images, net(normalized, blocks, num_classes), name=owner)

    return build("light", light_blocks, 0.0), build("booster", booster_blocks, booster_dropout)


def group_outputs(net: keras.Model) -> list[str]:
    """The layers whose outputs end the groups of a net of `wide_resnet_pair`.

    Args:
        net: a light net or a booster.

    Returns:
        List of the layers' names, the lowest group first; empty for other nets.

    Example:
        >>> from rocket_tf.networks import group_outputs, wide_resnet_pair
        >>> _, booster = wide_resnet_pair(light_depth=None, booster_depth=10, layout="bottom")
        >>> len(group_outputs(booster))
        3
    """
    groups: dict[int, tuple[int, str]] = {}
    for layer in net.layers:
        match = re.fullmatch(r"\w+_group(\d+)_block(\d+)_add", layer.name)
        if match:
            group, block = map(int, match.groups())
            groups[group] = max(groups.get(group, (-1, "")), (block, layer.name))
    return [groups[group][1] for group in sorted(groups)]


def _block_counts(light_depth, booster_depth, layout):
    """Blocks in each group of the light net and of the booster."""
    booster = [_blocks_of_depth("booster_depth", booster_depth)] * 3
    if layout == "bottom":
        if light_depth is not None:
            raise ValueError(
                'light_depth must be None with layout="bottom": the light net is the booster\'s '
                f"first two groups. Received: light_depth={light_depth}"
            )
        return booster[:2], booster
    if layout == "constant":
        return _lowest_blocks(light_depth, booster_depth, booster), booster
    if layout != "interval":
        raise ValueError(
            f'layout must be "interval", "bottom" or "constant". Received: layout={layout!r}'
        )
    light = [_blocks_of_depth("light_depth", light_depth)] * 3
    if light_depth > booster_depth:
        raise ValueError(
            "light_depth must be at most booster_depth. "
            f"Received: light_depth={light_depth}, booster_depth={booster_depth}"
        )
    return light, booster


def _lowest_blocks(light_depth, booster_depth, booster):
    """As many of the booster's lowest blocks as a net of the light net's depth has."""
    if not isinstance(light_depth, int) or light_depth % 2 or not 6 <= light_depth <= booster_depth:
        raise ValueError(
            'light_depth must be 2n + 4 with layout="constant" (6, 8, 10, ...), and at most '
            f"booster_depth. Received: light_depth={light_depth}, booster_depth={booster_depth}"
        )
    remaining = (light_depth - 4) // 2
    light = []
    for group_blocks in booster:
        light.append(min(remaining, group_blocks))
        remaining -= light[-1]
    return [blocks for blocks in light if blocks]


def _blocks_of_depth(argument, depth):
    if not isinstance(depth, int) or depth < 10 or (depth - 4) % 6:
        raise ValueError(
            f"{argument} must be 6n + 4 with n >= 1 (10, 16, 22, ...). Received: {argument}={depth}"
        )
    return (depth - 4) // 6


def _check_arguments(width, num_classes, input_shape, batch_normalization, booster_dropout):
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"width must be a positive integer. Received: width={width}")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a positive integer. Received: {num_classes}")
    if len(input_shape) != 3:
        raise ValueError(
            f"input_shape must be (height, width, channels). Received: input_shape={input_shape}"
        )
    if batch_normalization not in _BATCH_NORMALIZATIONS:
        raise ValueError(
            f"batch_normalization must be one of {_BATCH_NORMALIZATIONS}. "
            f"Received: batch_normalization={batch_normalization!r}"
        )
    if not 0 <= booster_dropout < 1:
        raise ValueError(
            f"booster_dropout must be in [0, 1). Received: booster_dropout={booster_dropout}"
        )


def _pixel_statistics(mean, std, channels):
    """Mean and standard deviation of each channel, given or by default."""
    grey = channels != len(_CIFAR_PIXEL_MEAN)
    mean = mean if mean is not None else [127.5] * channels if grey else _CIFAR_PIXEL_MEAN
    std = std if std is not None else [63.75] * channels if grey else _CIFAR_PIXEL_STD
    if len(mean) != channels or len(std) != channels:
        raise ValueError(
            f"pixel_mean and pixel_std must have an entry for each of the {channels} channels of "
            f"input_shape. Received: pixel_mean={mean}, pixel_std={std}"
        )
    return mean, std


class _Convolutions:
    """The convolutions of a pair; each shared one is made once, for both nets."""

    def __init__(self, shared_blocks, seed):
        self._shared_blocks = shared_blocks
        self._seed = seed
        self._shared = {}

    def is_shared(self, group, block):
        """Whether both nets have this block; the stem is group -1."""
        if self._shared_blocks is None:
            return False
        return group < len(self._shared_blocks) and (
            group < 0 or block < self._shared_blocks[group]
        )

    def __call__(self, owner, group, block, part, channels, kernel_size, strides):
        shared = self.is_shared(group, block)
        position = "stem" if group < 0 else f"group{group}_block{block}_{part}"
        name = f"{'shared' if shared else owner}_{position}"
        if name in self._shared:
            return self._shared[name]
        layer = layers.Conv2D(
            channels,
            kernel_size,
            strides=strides,
            padding="valid" if strides > 1 else "same",
            use_bias=False,
            kernel_initializer=_he_normal(self._seed, name),
            name=name,
        )
        if shared:
            self._shared[name] = layer
        return layer


class _WideResNet:
    """One net of a pair."""

    def __init__(self, owner, convolutions, channels, batch_normalization, dropout, seed):
        self._owner = owner
        self._convolutions = convolutions
        self._channels = channels
        self._batch_normalization = batch_normalization
        self._dropout = dropout
        self._seed = seed

    def __call__(self, images, blocks, num_classes):
        """Logits, from normalized images and the number of blocks in each group."""
        x = self._convolve(images, -1, 0, "stem", _STEM_WIDTH)
        for group, group_blocks in enumerate(blocks):
            for block in range(group_blocks):
                stride = _GROUP_STRIDES[group] if block == 0 else 1
                x = self._block(x, group, block, self._channels[group], stride)
        x = self._activate(x, "final")
        x = layers.GlobalAveragePooling2D(name=f"{self._owner}_pool")(x)
        name = f"{self._owner}_logits"
        return layers.Dense(
            num_classes,
            kernel_initializer=_he_normal(self._seed, name),
            dtype="float32",  # logits and losses are float32 under every policy
            name=name,
        )(x)

    def _block(self, x, group, block, channels, stride):
        position = f"group{group}_block{block}"
        y = self._activate(x, f"{position}_0")
        shortcut = x
        if x.shape[-1] != channels or stride > 1:
            shortcut = self._convolve(y, group, block, "shortcut", channels, 1, stride)
        y = self._convolve(y, group, block, "conv0", channels, 3, stride)
        y = self._activate(y, f"{position}_1")
        y = self._convolve(y, group, block, "conv1", channels, 3)
        return layers.Add(name=f"{self._owner}_{position}_add")([y, shortcut])

    def _activate(self, x, position):
        """The net's own batch normalization, and ReLU."""
        name = f"{self._owner}_{position}"
        arguments = {
            "momentum": 0.9,
            "epsilon": 1e-5,
            # Uniform in [0, 1), as PyTorch initialized it when the paper was written.
            "gamma_initializer": keras.initializers.RandomUniform(
                0.0, 1.0, seed=layer_seed(self._seed, f"{name}_norm")
            ),
            "name": f"{name}_norm",
        }
        if self._batch_normalization == "fused":
            normalization = FusedBatchNormalization(**arguments)
        else:
            normalization = layers.BatchNormalization(
                synchronized=self._batch_normalization == "synchronized", **arguments
            )
        return layers.ReLU(name=f"{name}_relu")(normalization(x))

    def _convolve(self, x, group, block, part, channels, kernel_size=3, strides=1):
        if strides > 1 and kernel_size > 1:
            # PyTorch pads both sides; TensorFlow's "same" pads only bottom and right here.
            x = layers.ZeroPadding2D(
                kernel_size // 2, name=f"{self._owner}_group{group}_block{block}_{part}_padding"
            )(x)
        x = self._convolutions(self._owner, group, block, part, channels, kernel_size, strides)(x)
        if self._dropout and not self._convolutions.is_shared(group, block):
            name = f"{self._owner}_group{group}_block{block}_{part}_dropout"
            x = layers.Dropout(self._dropout, seed=layer_seed(self._seed, name), name=name)(x)
        return x


def _he_normal(seed, layer_name):
    """He-normal over the fan in, not truncated (Keras's `HeNormal` truncates)."""
    return keras.initializers.VarianceScaling(
        2.0, "fan_in", "untruncated_normal", seed=layer_seed(seed, layer_name)
    )
