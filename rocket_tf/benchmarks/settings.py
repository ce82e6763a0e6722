"""What every measurement is taken with, checked before any work."""

import dataclasses

import numpy as np

from rocket_tf.errors import ConfigError

IMAGE_SHAPE = (32, 32, 3)
CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Settings:
    """The sizes of a benchmark.

    Attributes:
        batch_size: examples in a step, over all replicas together.
        steps: timed rounds, in each of which every kind takes one step.
        processes: fresh processes of each kind whose memory or start is measured.
        examples: images that the input pipeline goes through in an epoch.
        light_depth: layers of the light net, 6n + 4.
        booster_depth: layers of the booster, 6n + 4.
    """

    batch_size: int = 128
    steps: int = 20
    processes: int = 5
    examples: int = 50_000
    light_depth: int = 16
    booster_depth: int = 40

    def check(self):
        """Raises ConfigError, which names the option, if a size is out of range."""
        for name, minimum in {"batch_size": 2, "steps": 1, "processes": 1, "examples": 1}.items():
            if getattr(self, name) < minimum:
                raise ConfigError(
                    f"--{name}: got {getattr(self, name)}, expected a whole number of at least "
                    f"{minimum}"
                )
        for name in ("light_depth", "booster_depth"):
            depth = getattr(self, name)
            if depth < 10 or (depth - 4) % 6:
                raise ConfigError(f"--{name}: got {depth}, expected 6n + 4 with n >= 1, such as 16")
        if self.light_depth > self.booster_depth:
            raise ConfigError(
                f"--light_depth: got {self.light_depth}, expected at most the booster's "
                f"{self.booster_depth}"
            )

    def random_batch(self):
        """The batch of every step: uint8 images, shape (batch, 32, 32, 3), and int64 labels."""
        return random_examples(self.batch_size)


def random_examples(count):
    """So many random images, uint8, shape (count, 32, 32, 3), and int64 labels of 10 classes."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *IMAGE_SHAPE), dtype=np.uint8)
    return images, random.integers(0, CLASSES, count)
