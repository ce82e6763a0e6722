"""A run's progress, as the names of its checkpoints show it. Does not import TensorFlow."""

import dataclasses
import re
from pathlib import Path

_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?")


@dataclasses.dataclass(frozen=True, order=True)
class Progress:
    """A run's progress.

    Attributes:
        epochs: number of epochs done.
        steps: number of steps done in the next epoch.
    """

    epochs: int = 0
    steps: int = 0

    def checkpoint_in(self, directory):
        """The checkpoint's path, as TensorFlow takes it: the common prefix of its files."""
        steps = f"-step-{self.steps}" if self.steps else ""
        return Path(directory) / f"epoch-{self.epochs}{steps}"


def checkpoints_in(directory):
    """The progress of the checkpoints in a folder, the furthest first: a list of `Progress`."""
    names = [_NAME.fullmatch(index.stem) for index in Path(directory).glob("*.index")]
    return sorted(
        (Progress(int(name[1]), int(name[2] or 0)) for name in names if name), reverse=True
    )
