"""The pair of wide residual nets of `rocket_tf.networks`, interval layout, width 1, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional

_STEM_WIDTH = 16
_GROUP_WIDTHS = (16, 32, 64)
_GROUP_STRIDES = (1, 2, 2)
_CIFAR_PIXEL_MEAN = (125.3, 123.0, 113.9)
_CIFAR_PIXEL_STD = (63.0, 62.1, 66.7)


class RocketNets(nn.Module):
    """A light net inside its booster: the joint graph of `wide_resnet_pair(light, booster)`.

    Called with images from 0 to 255, shape (batch, height, width, 3), any dtype, it returns the
    logits of light net and booster, shape (batch, classes). Initial weights have the same
    distributions as in Keras.

    Args:
        light_depth: layers of the light net, 6n + 4.
        booster_depth: layers of the booster, 6n + 4.
        classes: number of logits.

    Attributes:
        by_name: dict from the layers' names in `wide_resnet_pair` to modules.
    """

    def __init__(self, light_depth, booster_depth, classes=10):
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(_CIFAR_PIXEL_MEAN))
        self.register_buffer("pixel_std", torch.tensor(_CIFAR_PIXEL_STD))
        makers = _Modules((light_depth - 4) // 6)
        self.stem = makers.convolution("shared", "stem", 3, _STEM_WIDTH)
        self.light = _Net("light", (light_depth - 4) // 6, classes, makers)
        self.booster = _Net("booster", (booster_depth - 4) // 6, classes, makers)
        self.by_name = makers.by_name
        self.to(memory_format=torch.channels_last)

    def forward(self, images):
        normalized = (images.float() - self.pixel_mean) / self.pixel_std
        # PyTorch's shape has channels first; in memory, they stay last.
        low = self.stem(normalized.permute(0, 3, 1, 2))
        return self.light(low), self.booster(low)


class _Modules:
    """Makes layers with the names of `wide_resnet_pair`, each shared convolution once."""

    def __init__(self, shared_blocks):
        self._shared_blocks = shared_blocks
        self.by_name = {}

    def is_shared(self, block):
        return block < self._shared_blocks

    def convolution(self, owner, position, inputs, outputs, kernel_size=3, stride=1):
        name = f"{owner}_{position}"
        if name not in self.by_name:
            layer = nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, bias=False)
            nn.init.kaiming_normal_(layer.weight)
            self.by_name[name] = layer
        return self.by_name[name]

    def normalization(self, name, channels):
        layer = self.by_name[name] = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)
        nn.init.uniform_(layer.weight)
        return layer

    def logits(self, owner, inputs, classes):
        layer = self.by_name[f"{owner}_logits"] = nn.Linear(inputs, classes)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer


class _Net(nn.Module):
    """One net of a pair, after the stem."""

    def __init__(self, owner, blocks, classes, makers):
        super().__init__()
        self.blocks = nn.Sequential()
        inputs = _STEM_WIDTH
        for group, (width, group_stride) in enumerate(
            zip(_GROUP_WIDTHS, _GROUP_STRIDES, strict=True)
        ):
            for block in range(blocks):
                stride = group_stride if block == 0 else 1
                self.blocks.append(_Block(owner, group, block, inputs, width, stride, makers))
                inputs = width
        self.final_norm = makers.normalization(f"{owner}_final_norm", inputs)
        self.logits = makers.logits(owner, inputs, classes)

    def forward(self, x):
        x = _activate(self.final_norm, self.blocks(x))
        return self.logits(x.mean((2, 3)))


class _Block(nn.Module):
    """A pre-activation block."""

    def __init__(self, owner, group, block, inputs, outputs, stride, makers):
        super().__init__()
        position = f"group{group}_block{block}"
        convolutions_of = "shared" if makers.is_shared(block) else owner

        def convolution(part, *arguments):
            return makers.convolution(convolutions_of, f"{position}_{part}", *arguments)

        self.norm0 = makers.normalization(f"{owner}_{position}_0_norm", inputs)
        self.shortcut = None
        if inputs != outputs or stride > 1:
            self.shortcut = convolution("shortcut", inputs, outputs, 1, stride)
        self.conv0 = convolution("conv0", inputs, outputs, 3, stride)
        self.norm1 = makers.normalization(f"{owner}_{position}_1_norm", outputs)
        self.conv1 = convolution("conv1", outputs, outputs)

    def forward(self, x):
        y = _activate(self.norm0, x)
        shortcut = x if self.shortcut is None else self.shortcut(y)
        y = _activate(self.norm1, self.conv0(y))
        return self.conv1(y) + shortcut


def _activate(norm, x):
    return functional.relu(norm(x), inplace=True)
