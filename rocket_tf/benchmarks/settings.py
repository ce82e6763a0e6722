"""The sizes of all measurements, checked before any work."""

import dataclasses

import numpy as np

from rocket_tf.errors import ConfigError

IMAGE_SHAPE = (32, 32, 3)
CLASSES = 10
# Click nets: the paper's towers (Table 5), columns of an embedding table, items of a history.
CLICK_TOWERS = {"light": (200, 80), "booster": (720, 360, 240, 180, 90)}
TABLE_WIDTH = 16
HISTORY = 20
_CLICK_BATCHES = 50  # they take turns, so that no step finds all its rows in the processor's cache


@dataclasses.dataclass(frozen=True)
class Settings:
    """The sizes of a benchmark.

    Attributes:
        batch_size: examples in a step, summed over the replicas.
        steps: timed rounds, in each of which every kind takes one step.
        processes: number of fresh processes per measurement of memory or start.
        examples: images in an epoch of the input pipeline.
        light_depth: layers of the light net, 6n + 4.
        booster_depth: layers of the booster, 6n + 4.
        click_batch_size: impressions in a step of click nets.
        table_rows: rows of each of their largest embedding tables.
    """

    batch_size: int = 128
    steps: int = 20
    processes: int = 5
    examples: int = 50_000
    light_depth: int = 16
    booster_depth: int = 40
    click_batch_size: int = 512
    table_rows: int = 10_000_000

    def check(self):
        """Raises ConfigError with the option's name if a size is out of range."""
        least = {"batch_size": 2, "steps": 1, "processes": 1, "examples": 1}
        least |= {"click_batch_size": 2, "table_rows": 1000}
        check_at_least(self, least)
        for name in ("light_depth", "booster_depth"):
            depth = getattr(self, name)
            if depth < 10 or (depth - 4) % 6:
                raise ConfigError(f"--{name}: got {depth}, expected 6n + 4 with n >= 1, such as 16")
        if self.light_depth > self.booster_depth:
            raise ConfigError(
                f"--light_depth: got {self.light_depth}, expected at most the booster's "
                f"{self.booster_depth}"
            )

    def rows_of(self, share):
        """The number of rows of a table that is a fraction of the largest."""
        return round(self.table_rows * share)

    def random_batch(self):
        """The batch of every step: uint8 images, shape (batch, 32, 32, 3), and int64 labels."""
        return random_examples(self.batch_size)


def check_at_least(settings, least):
    """Raises ConfigError with the option's name if a size is too small.

    Args:
        settings: an object with sizes as attributes.
        least: dict from their names to the smallest allowed values.
    """
    for name, minimum in least.items():
        if getattr(settings, name) < minimum:
            raise ConfigError(
                f"--{name}: got {getattr(settings, name)}, expected a whole number of at least "
                f"{minimum}"
            )


def random_examples(count):
    """Random images, uint8, shape (count, 32, 32, 3), and int64 labels of 10 classes."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *IMAGE_SHAPE), dtype=np.uint8)
    return images, random.integers(0, CLASSES, count)


def random_clicks(settings, rows, history):
    """Random batches of impressions, with ids uniformly distributed over the tables.

    Args:
        settings: a `Settings`.
        rows: rows of each table.
        history: whether each impression also has 20 items after the user and the item.

    Returns:
        `(ids, labels)`, int64 of shape (batches, batch, 2 or 22) and (batches, batch).
    """
    random = np.random.default_rng(0)
    shape = _CLICK_BATCHES, settings.click_batch_size
    ids = random.integers(0, rows, (*shape, 2 + HISTORY * history))
    return ids, random.integers(0, 2, shape)
