"""How far a run has come, and the names of checkpoints, which tell it; without TensorFlow."""

import dataclasses
import re
from pathlib import Path

_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?")


@dataclasses.dataclass(frozen=True, order=True)
class Progress:
    """How far a run has come.

    Attributes:
        epochs: epochs that are done.
        steps: steps that are done of the epoch after these.
    """

    epochs: int = 0
    steps: int = 0

    def checkpoint_in(self, directory):
        """What TensorFlow calls the checkpoint in a folder, whose files' names begin so."""
        steps = f"-step-{self.steps}" if self.steps else ""
        return Path(directory) / f"epoch-{self.epochs}{steps}"


def checkpoints_in(directory):
    """How far the checkpoints in a folder are, the furthest first: a list of `Progress`."""
    names = [_NAME.fullmatch(index.stem) for index in Path(directory).glob("*.index")]
    return sorted(
        (Progress(int(name[1]), int(name[2] or 0)) for name in names if name), reverse=True
    )
