"""Checkpoints of a run: save, keep the newest, resume from the newest that is whole."""

import logging
from pathlib import Path

import tensorflow as tf

_LOGGER = logging.getLogger(__name__)
_NAME = "epoch"


class CheckpointError(RuntimeError):
    """Checkpoints that cannot be read."""


class Checkpoints:
    """The checkpoints in a folder: weights, random generators, optimizer and epoch as one state.

    TensorFlow writes a checkpoint under a temporary name, renames it, then points to it, and keeps
    a checksum of each tensor: an interrupted save leaves the checkpoint before it in force, and a
    damaged one is found out when it is read.

    Args:
        directory: the folder, made when first saved to.
        model: compiled and built `keras.Model`.
        kept: how many checkpoints are kept.
    """

    def __init__(self, directory, model, kept):
        self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        model.optimizer.build(model.trainable_variables)
        # Listed one by one: Keras's own tracking leaves out the state of dropout's generators.
        self._checkpoint = tf.train.Checkpoint(
            model=[variable.value for variable in model.variables],
            optimizer=[variable.value for variable in model.optimizer.variables],
            epoch=self._epoch,
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=kept, checkpoint_name=_NAME
        )

    def save(self, epoch):
        """Saves the state after an epoch, counted from 1."""
        self._epoch.assign(epoch)
        self._manager.save(checkpoint_number=epoch)

    def restore(self):
        """Restores the newest checkpoint that can be read.

        Returns:
            The number of epochs that are done; 0 if there is no checkpoint.

        Raises:
            CheckpointError: if there are checkpoints, and none can be read.
        """
        paths = self._manager.checkpoints[::-1]
        for path in paths:
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
            except Exception as error:  # TensorFlow's reader raises many kinds for damaged files
                _LOGGER.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    " ".join(str(error).split()) or type(error).__name__,
                )
            else:
                return int(self._epoch.numpy())
        if paths:
            raise CheckpointError(
                f"None of the checkpoints in {self._manager.directory} can be read; move the "
                "folder of the run away to start anew"
            )
        return 0


def checkpoint_path(directory, epoch):
    """What TensorFlow calls an epoch's checkpoint, whose files' names begin so.

    Args:
        directory: folder of checkpoints.
        epoch: the epoch, counted from 1.
    """
    return Path(directory) / f"{_NAME}-{epoch}"


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
        status = checkpoint.restore(str(checkpoint_path(directory, epoch)))
        status.assert_existing_objects_matched().expect_partial()
    except Exception as error:  # TensorFlow's reader raises many kinds for damaged files
        raise CheckpointError(
            f"{directory}: the checkpoint of epoch {epoch}, the one that counts, is missing or "
            f"damaged ({type(error).__name__}); put it back, or train the run anew in another "
            "folder"
        ) from error
