"""Checkpoints of a run: save, keep the newest, resume from the newest complete one."""

import dataclasses
import functools
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from rocket_tf.core.optimizer_internals import averages_of
from rocket_tf.errors import CheckpointError
from rocket_tf.runs.progress import Progress, checkpoints_in
from rocket_tf.system import files
from rocket_tf.system.transfers import shown, size_of

_LOGGER = logging.getLogger(__name__)
_PARTIAL = "saving"
_REPLICAS = "replicas"
_AVERAGES = "averages"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # what TensorFlow adds to a variable's name


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint holds besides the restored state.

    Attributes:
        progress: a `Progress`; 0 without a checkpoint.
        metrics: in the middle of an epoch, the values of the metrics' variables, a list of arrays.
        replicas: number of replicas that computed the state; 0 if it is not known.
    """

    progress: Progress = dataclasses.field(default_factory=Progress)
    metrics: list = dataclasses.field(default_factory=list)
    replicas: int = 0


class Checkpoints:
    """The checkpoints in a folder: weights, random generators, optimizer and metrics as one state.

    A checkpoint gets its name when it is complete and on the disk. Its index is renamed last and
    makes it valid, so an interrupted save leaves the previous checkpoint in force. TensorFlow keeps
    a checksum of each tensor, so damage is found on reading. There is no list of checkpoints
    besides the files.

    Args:
        directory: the folder, made by the first save.
        model: compiled and built `keras.Model`.
        kept: number of checkpoints to keep.
        writes: whether this process writes; of several workers, only the chief does.
    """

    def __init__(self, directory, model, kept, writes=True):
        model.optimizer.build(model.trainable_variables)
        self._directory = Path(directory)
        self._model = model
        self._kept = kept
        self._writes = writes
        # Listed one by one: Keras's own tracking leaves out the state of dropout's generators.
        self._state = {
            "model": [variable.value for variable in model.variables],
            "optimizer": [variable.value for variable in model.optimizer.variables],
        }
        averages = averages_of(model.optimizer)
        if averages:
            # Named by the positions of their weights, so that they can be read in their stead.
            positions = {
                id(variable): position for position, variable in enumerate(model.variables)
            }
            self._state[_AVERAGES] = {
                str(positions[id(weight)]): average.value for weight, average in averages
            }
            average_ids = {id(average.value) for _, average in averages}
            self._state["optimizer"] = [
                v for v in self._state["optimizer"] if id(v) not in average_ids
            ]

    def save(self, epochs, steps=0):
        """Saves the state after a number of epochs, and of steps of the next one.

        In the middle of an epoch, the metrics' values are part of the state. They are summed over
        all workers, so all must call this.

        Raises:
            OSError: if it cannot be written; the checkpoints before it do not change.
        """
        replicas = self._model.distribute_strategy.num_replicas_in_sync
        state = {**self._state, _REPLICAS: tf.Variable(replicas, trainable=False)}
        if steps:
            state["metrics"] = [
                tf.Variable(metric.numpy(), trainable=False)
                for metric in self._model.metrics_variables
            ]
        if not self._writes:
            return
        path = Progress(epochs, steps).checkpoint_in(self._directory)
        partial = self._directory / _PARTIAL
        try:
            with shown(f"Saving {path}", self._size, functools.partial(self._written, partial)):
                # Under another name: TensorFlow writes the index in place, part by part.
                tf.train.Checkpoint(**state).write(str(partial))
                for part in _files(partial):
                    _flush(part)
            self._forget([Progress(epochs, steps)])
            for part in reversed(_files(partial)):
                os.replace(part, part.with_name(part.name.replace(_PARTIAL, path.name)))
            _flush(self._directory)
        except (tf.errors.OpError, OSError) as error:
            self._clear()
            message = getattr(error, "message", None) or str(error)
            raise OSError(
                f"{path}: the checkpoint cannot be written ({message}); those before it are "
                "unchanged: fix the cause, and start the same command again"
            ) from error
        self._forget(checkpoints_in(self._directory)[self._kept :])

    def forget_after(self, progress):
        """Removes checkpoints later than `progress`, which are damaged or stale.

        Also removes what a killed process left of an unfinished save.
        """
        self._clear()
        self._forget(saved for saved in checkpoints_in(self._directory) if saved > progress)

    def restore(self):
        """Restores the newest checkpoint that can be read.

        Returns:
            `Restored`.

        Raises:
            CheckpointError: if there are checkpoints but none can be read.
        """
        checkpoints = checkpoints_in(self._directory)
        for progress in checkpoints:
            path = progress.checkpoint_in(self._directory)
            try:
                reader = _reader(path)
                restored = _read_beside_state(reader, progress)
                _read(reader, self._state, path)
            except Exception as error:  # TensorFlow's reader raises many kinds for damaged files
                _LOGGER.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    " ".join(str(error).split()) or type(error).__name__,
                )
            else:
                return restored
        if checkpoints:
            raise CheckpointError(
                f"None of the checkpoints in {self._directory} can be read; move the folder of the "
                "run away to start anew"
            )
        return Restored()

    @property
    def _size(self):
        return sum(size_of(variable) for _, variable in _named(self._state))

    @staticmethod
    def _written(partial):
        paths = partial.parent.glob(f"{partial.name}*")
        return sum(map(files.size_of, paths))

    def _forget(self, checkpoints):
        if not self._writes:
            return
        for progress in checkpoints:
            for part in _files(progress.checkpoint_in(self._directory)):
                part.unlink(missing_ok=True)

    def _clear(self):
        """Removes incomplete checkpoints: partial files, and data without an index."""
        if not self._writes:
            return
        for path in self._directory.glob(f"{_PARTIAL}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        for path in self._directory.glob("epoch-*.data-*"):
            if not path.with_suffix(".index").exists():
                path.unlink()


def _files(path):
    """The files of a checkpoint: the index, which makes it valid, comes first."""
    return [path.with_name(f"{path.name}.index"), *path.parent.glob(f"{path.name}.data-*")]


def _flush(path):
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reader(path):
    """TensorFlow's reader of a checkpoint. Pipes are refused: the reader would wait for them."""
    for part in _files(path):
        files.check_regular(part)
    return tf.train.load_checkpoint(str(path))


def _read(reader, state, path, new_rows=None):
    """Loads the values in a checkpoint into variables one by one, so that memory stays low.

    Args:
        reader: reader of the checkpoint.
        state: the variables.
        path: path of the checkpoint.
        new_rows: as for `restore_weights`.

    Raises:
        KeyError: if a variable has no value in the checkpoint.
        ValueError: if its value has another shape or dtype.
    """
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    variables, new_rows = dict(_named(state)), new_rows or {}
    for name, variable in variables.items():
        shape = list(variable.shape)
        if id(variable) in new_rows:
            shape[0] -= new_rows[id(variable)].number
        saved, expected = (dtypes[name], shapes[name]), (variable.dtype, shape)
        if saved != expected:
            raise ValueError(f"{name} is {saved} there, but {expected} here")
    with shown(f"Reading {path}", sum(map(size_of, variables.values()))):
        for name, variable in variables.items():
            value = reader.get_tensor(name)
            rows = new_rows.get(id(variable))
            variable.assign(value if rows is None else rows.put_into(value))


def _named(state):
    """The variables of a state, each with its name in checkpoints."""
    for group, variables in state.items():
        by_position = variables if isinstance(variables, dict) else dict(enumerate(variables))
        for position, variable in by_position.items():
            yield f"{group}/{position}{_VALUE}", variable


def _read_beside_state(reader, progress):
    names = reader.get_variable_to_shape_map()
    metrics = [f"metrics/{index}{_VALUE}" for index in range(len(names))]
    replicas = _REPLICAS + _VALUE
    return Restored(
        progress,
        [reader.get_tensor(name) for name in metrics if name in names],
        int(reader.get_tensor(replicas)) if replicas in names else 0,
    )


@dataclasses.dataclass(frozen=True)
class NewRows:
    """Rows of an embedding table that a checkpoint does not have.

    Attributes:
        begin: number of the first row.
        number: number of rows.
        rows: their values, shape (number, width); `None`: each is a copy of the checkpoint's first
            row, that of unknown values.
    """

    begin: int
    number: int
    rows: np.ndarray | None = None

    def put_into(self, table):
        """The checkpoint's table with these rows added."""
        rows = np.repeat(table[:1], self.number, axis=0) if self.rows is None else self.rows
        return np.concatenate([table[: self.begin], rows, table[self.begin :]])


def restore_weights(directory, epoch, model, new_rows=None):
    """Loads the weights of one epoch, without optimizer state, into a model of any dtype policy.

    If weights were averaged, it loads the averages.

    Args:
        directory: folder of checkpoints that `Checkpoints` saved.
        epoch: the epoch, counted from 1.
        model: built `keras.Model` with the variables of the one that was saved.
        new_rows: dict from the ids of variables (`keras.Variable.value`) that have more rows than
            were saved to `NewRows`; `None`: all are as they were saved.

    Raises:
        CheckpointError: if that epoch's checkpoint is missing or damaged.
    """
    path = Progress(epoch).checkpoint_in(directory)
    try:
        reader = _reader(path)
        names = reader.get_variable_to_shape_map()
        state = {"model": {}, _AVERAGES: {}}
        for position, variable in enumerate(model.variables):
            has_average = f"{_AVERAGES}/{position}{_VALUE}" in names
            state[_AVERAGES if has_average else "model"][str(position)] = variable.value
        _read(reader, state, path, new_rows)
    except Exception as error:  # TensorFlow's reader raises many kinds for damaged files
        raise CheckpointError(
            f"{directory}: the checkpoint of epoch {epoch}, the one that counts, is missing or "
            f"damaged ({type(error).__name__}); put it back, or train the run anew in another "
            "folder"
        ) from error
