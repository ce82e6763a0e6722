"""Checkpoints of a run: save, keep the newest, resume from the newest that is whole."""

import dataclasses
import logging
import os
import re
from pathlib import Path

import tensorflow as tf

_LOGGER = logging.getLogger(__name__)
_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?")


class CheckpointError(RuntimeError):
    """Checkpoints that cannot be read."""


@dataclasses.dataclass(frozen=True, order=True)
class Progress:
    """How far a run has come.

    Attributes:
        epochs: epochs that are done.
        steps: steps that are done of the epoch after these.
    """

    epochs: int = 0
    steps: int = 0


class Checkpoints:
    """The checkpoints in a folder: weights, random generators, optimizer and metrics as one state.

    TensorFlow writes a checkpoint under a temporary name, gives it its name when it is whole, the
    index last, and keeps a checksum of each tensor: an interrupted save leaves the checkpoint
    before it in force, and a damaged one is found out when it is read. What there is, is told by
    the files alone.

    Args:
        directory: the folder, made when first saved to.
        model: compiled and built `keras.Model`.
        kept: how many checkpoints are kept.
    """

    def __init__(self, directory, model, kept):
        model.optimizer.build(model.trainable_variables)
        self._directory = Path(directory)
        self._model = model
        self._kept = kept
        # Listed one by one: Keras's own tracking leaves out the state of dropout's generators.
        self._state = {
            "model": [variable.value for variable in model.variables],
            "optimizer": [variable.value for variable in model.optimizer.variables],
        }

    def save(self, epochs, steps=0):
        """Saves the state after so many epochs, and so many steps of the next one.

        In the middle of an epoch, the metrics' values are part of the state.

        Raises:
            OSError: if it cannot be written; the checkpoints before it are as they were.
        """
        state = dict(self._state)
        if steps:
            state["metrics"] = [
                tf.Variable(metric.numpy(), trainable=False)
                for metric in self._model.metrics_variables
            ]
        path = checkpoint_path(self._directory, epochs, steps)
        try:
            tf.train.Checkpoint(**state).write(str(path))
            for part in _files(path):
                _flush(part)
        except (tf.errors.OpError, OSError) as error:
            for part in _files(path):
                part.unlink(missing_ok=True)
            told = getattr(error, "message", None) or str(error)
            raise OSError(
                f"{path}: the checkpoint cannot be written ({told}); those before it are as they "
                "were: mend the cause, and start the same command again"
            ) from error
        self._forget(self._found()[self._kept :])

    def forget_after(self, progress):
        """Takes away the checkpoints of what will be done again, which are damaged or stale."""
        self._forget(found for found in self._found() if found > progress)

    def restore(self):
        """Restores the newest checkpoint that can be read.

        Returns:
            `(progress, metrics)`: a `Progress`, of nothing if there is no checkpoint; and the
            values of the metrics' variables in the middle of an epoch, a list of arrays.

        Raises:
            CheckpointError: if there are checkpoints, and none can be read.
        """
        found = self._found()
        for progress in found:
            path = checkpoint_path(self._directory, progress.epochs, progress.steps)
            try:
                metrics = _metrics(path) if progress.steps else []
                status = tf.train.Checkpoint(**self._state).read(str(path))
                status.assert_existing_objects_matched().expect_partial()
            except Exception as error:  # TensorFlow's reader raises many kinds for damaged files
                _LOGGER.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    " ".join(str(error).split()) or type(error).__name__,
                )
            else:
                return progress, metrics
        if found:
            raise CheckpointError(
                f"None of the checkpoints in {self._directory} can be read; move the folder of the "
                "run away to start anew"
            )
        return Progress(), []

    def _forget(self, found):
        for progress in found:
            for part in _files(checkpoint_path(self._directory, progress.epochs, progress.steps)):
                part.unlink(missing_ok=True)

    def _found(self):
        """The checkpoints that there are, the newest first."""
        indexes = self._directory.glob("*.index")
        names = [_NAME.fullmatch(index.stem) for index in indexes]
        return sorted(
            (Progress(int(name[1]), int(name[2] or 0)) for name in names if name), reverse=True
        )


def checkpoint_path(directory, epochs, steps=0):
    """What TensorFlow calls a checkpoint, whose files' names begin so.

    Args:
        directory: folder of checkpoints.
        epochs: epochs that were done.
        steps: steps that were done of the epoch after these.
    """
    return Path(directory) / (f"epoch-{epochs}" + (f"-step-{steps}" if steps else ""))


def _files(path):
    """The files of a checkpoint; the index, which makes it one, first."""
    return [path.with_name(f"{path.name}.index"), *path.parent.glob(f"{path.name}.data-*")]


def _flush(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _metrics(path):
    reader = tf.train.load_checkpoint(str(path))
    shapes = reader.get_variable_to_shape_map()
    names = [f"metrics/{index}/.ATTRIBUTES/VARIABLE_VALUE" for index in range(len(shapes))]
    return [reader.get_tensor(name) for name in names if name in shapes]


def restore_weights(directory, epoch, model):
    """Gives a model the weights of one epoch, without optimizer, so under any dtype policy.

    Args:
        directory: folder of checkpoints that `Checkpoints` saved.
        epoch: the epoch, counted from 1.
        model: built `keras.Model` with the variables of the one that was saved.

    Raises:
        CheckpointError: if that epoch's checkpoint is missing or damaged.
    """
    checkpoint = tf.train.Checkpoint(model=[variable.value for variable in model.variables])
    try:
        status = checkpoint.read(str(checkpoint_path(directory, epoch)))
        status.assert_existing_objects_matched().expect_partial()
    except Exception as error:  # TensorFlow's reader raises many kinds for damaged files
        raise CheckpointError(
            f"{directory}: the checkpoint of epoch {epoch}, the one that counts, is missing or "
            f"damaged ({type(error).__name__}); put it back, or train the run anew in another "
            "folder"
        ) from error
