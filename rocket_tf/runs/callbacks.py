"""Keras callbacks of a run: progress, log of metrics, guard against bad losses, checkpoints."""

import functools
import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from rocket_tf.core.optimizer_internals import averages_of
from rocket_tf.data.tensorflow_errors import reason
from rocket_tf.errors import NonFiniteLossError, Preempted
from rocket_tf.system.timing import duration

_SECONDS_BETWEEN_LINES = 60


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stops the training at the first step whose loss is not finite.

    Args:
        first_step: steps that earlier processes of the run have done.
    """

    def __init__(self, first_step=0):
        super().__init__()
        self._step = first_step

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if not math.isfinite(float(logs["loss"])):
            self._stop(logs, f"step {self._step}")

    def on_epoch_end(self, epoch, logs=None):
        where = f"the end of epoch {epoch + 1} (step {self._step})"
        # GAUC is undefined if no user has both clicks and non-clicks.
        losses = {name: value for name, value in logs.items() if name.endswith("loss")}
        if not all(math.isfinite(float(value)) for value in losses.values()):
            self._stop(losses, where)
        # No loss has been computed since the epoch's last update.
        for variable in self.model.trainable_variables:
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                self._stop({variable.path: math.nan}, where)

    def _stop(self, logs, where):
        terms = [name for name, value in logs.items() if not math.isfinite(float(value))]
        # The sum is not finite because one of its terms is not, so name the terms if possible.
        terms = [name for name in terms if name not in ("loss", "val_loss")] or terms
        values = ", ".join(f"{name} = {float(logs[name])}" for name in sorted(terms))
        raise NonFiniteLossError(
            f"Training stopped at {where}: {values}. The checkpoints are from before. Try a lower "
            "--config.learning_rate or --config.hint_weight, or precision=float32"
        )


class LogEpochs(keras.callbacks.Callback):
    """Writes a line of metrics for each epoch.

    Args:
        write: called with a dict for each epoch.
        rename: function that gives Keras's logs the names in the file.
        examples: training examples of an epoch that this process sees.
        steps: steps in an epoch.
        schedule: the learning rate by step.
    """

    def __init__(self, write, rename, examples, steps, schedule):
        super().__init__()
        self._write = write
        self._rename = rename
        self._examples = examples
        self._steps = steps
        self._seconds = 0.0
        self._schedule = schedule
        self._began = None

    def on_epoch_begin(self, epoch, logs=None):
        self._seconds = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # the step is over when its loss is known
        self._seconds += time.perf_counter() - self._began

    def on_epoch_end(self, epoch, logs=None):
        # The rate at the epoch's first step, even if this process started later.
        first_step = epoch * self._steps
        self._write(
            {
                "epoch": epoch + 1,
                "step": (epoch + 1) * self._steps,
                "learning_rate": float(self._schedule(first_step)),
                "examples_per_second": round(self._examples / self._seconds, 1),
                **{name: float(value) for name, value in self._rename(logs).items()},
            }
        )


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, and within epochs when due or after SIGTERM.

    Args:
        checkpoints: a `rocket_tf.runs.checkpoints.Checkpoints`.
        steps: steps in an epoch.
        first_step: steps of the first epoch that were done before.
        every_steps: steps of the run between checkpoints; 0: none within epochs.
        is_preempted: function without arguments that returns whether the run must stop.
    """

    def __init__(self, checkpoints, steps, first_step, every_steps, is_preempted):
        super().__init__()
        self._checkpoints = checkpoints
        self._steps = steps
        self._first_step = first_step
        self._every_steps = every_steps
        self._is_preempted = is_preempted
        self._epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        done = self._first_step + batch + 1
        if done == self._steps:
            return  # the epoch ends, and its evaluation belongs to it
        overall_step = self._epoch * self._steps + done
        preempted = self._is_preempted()
        if preempted or (self._every_steps and overall_step % self._every_steps == 0):
            self._checkpoints.save(self._epoch, done)
        if preempted:
            raise Preempted(f"step {overall_step} (epoch {self._epoch + 1}, step {done})")

    def on_epoch_end(self, epoch, logs=None):
        self._checkpoints.save(epoch + 1)
        self._first_step = 0
        if self._is_preempted() and epoch + 1 < self.params["epochs"]:
            raise Preempted(f"epoch {epoch + 1}")


class KeepChosen(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch that is the best so far.

    Args:
        checkpoints: a `rocket_tf.runs.checkpoints.Checkpoints`.
        is_chosen: function from an epoch, counted from 1, to whether it is the best so far.
    """

    def __init__(self, checkpoints, is_chosen):
        super().__init__()
        self._checkpoints = checkpoints
        self._is_chosen = is_chosen

    def on_epoch_end(self, epoch, logs=None):
        if self._is_chosen(epoch + 1):
            self._checkpoints.save(epoch + 1)


class Freeze(keras.callbacks.Callback):
    """Freezes layers, or lets them train, as each epoch begins.

    Averages of frozen weights are set to the weights themselves: a mean of equal numbers may differ
    from them in the last bit.

    Args:
        freeze: called with an epoch, counted from 1.
    """

    def __init__(self, freeze):
        super().__init__()
        self._freeze = freeze

    def on_epoch_begin(self, epoch, logs=None):
        self._freeze(epoch + 1)

    def on_test_begin(self, logs=None):
        self._keep_averages()

    def on_epoch_end(self, epoch, logs=None):
        self._keep_averages()

    def _keep_averages(self):
        trained = {id(variable) for variable in self.model.trainable_variables}
        for weight, average in averages_of(self.model.optimizer):
            if id(weight) not in trained:
                average.assign(weight)


class EvaluateAverages(keras.callbacks.Callback):
    """Replaces the weights by their averages during an evaluation.

    Keras's `SwapEMAWeights` swaps the two by adding and subtracting, which loses digits.
    """

    def on_test_begin(self, logs=None):
        self._exchange()

    def on_test_end(self, logs=None):
        self._exchange()

    def _exchange(self):
        for weight, average in averages_of(self.model.optimizer):
            value = keras.ops.copy(weight)
            weight.assign(average)
            average.assign(value)


class StopWithoutProgress(keras.callbacks.Callback):
    """Ends the training after an epoch, without an error.

    Args:
        is_over: function without arguments that returns whether to end the training.
    """

    def __init__(self, is_over):
        super().__init__()
        self._is_over = is_over

    def on_epoch_end(self, epoch, logs=None):
        if self._is_over():
            self.model.stop_training = True


class RestoreMetrics(keras.callbacks.Callback):
    """Restores the values that the metrics had when the first epoch was interrupted.

    Args:
        values: arrays, one for each variable of the metrics.
    """

    def __init__(self, values):
        super().__init__()
        self._values = values

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in zip(self.model.metrics_variables, self._values, strict=True):
            variable.assign(value)


class ShowProgress(keras.callbacks.Callback):
    """One progress bar for the whole training.

    Without a terminal, it prints a line after each epoch, and one a minute within epochs.

    Args:
        epochs: epochs of the whole training.
        steps: steps in an epoch.
        first_epoch: number of epochs already done.
        first_step: number of steps already done in the next epoch.
        rename: function that gives Keras's logs the names to show.
        examples: the examples on which errors are measured, "test" or "validation".
        heads: list of the `Head`s whose errors are shown, if they are measured.
    """

    def __init__(self, epochs, steps, first_epoch, first_step, rename, examples, heads):
        super().__init__()
        self._epochs = epochs
        self._steps = steps
        self._first_epoch = first_epoch
        self._first_step = first_step
        self._rename = rename
        self._examples = examples
        self._heads = heads
        self._began = None
        self._bar = None
        # Steps of this process so far; times of the first one and of the last printed line.
        self._taken, self._first_taken, self._last_line = 0, 0.0, 0.0

    def on_train_begin(self, logs=None):
        self._last_line = time.monotonic()
        self._bar = tqdm(
            total=self._epochs * self._steps,
            initial=self._first_epoch * self._steps + self._first_step,
            unit="step",
            desc=f"epoch {self._first_epoch + 1}/{self._epochs}",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._bar.set_description(f"epoch {epoch + 1}/{self._epochs}", refresh=False)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update()
        now = time.monotonic()
        self._taken += 1
        done = self._first_epoch * self._steps + self._first_step + self._taken
        if self._taken == 1:
            self._first_taken = now  # the first step takes longer, for it is traced
        elif self._is_due(now) and done % self._steps:
            self._last_line = now
            steps_left = self._epochs * self._steps - done
            seconds = (now - self._first_taken) / (self._taken - 1) * steps_left
            epoch, step = divmod(done, self._steps)
            print(
                f"epoch {epoch + 1}/{self._epochs}, step {step}/{self._steps}, "
                f"{duration(seconds)} left",
                flush=True,
            )

    def on_epoch_end(self, epoch, logs=None):
        text = self._describe(logs)
        self._bar.set_postfix_str(text, refresh=False)
        if self._bar.disable:
            self._last_line = time.monotonic()
            print(f"epoch {epoch + 1}/{self._epochs}{self._time_left(epoch)}: {text}", flush=True)

    def on_train_end(self, logs=None):
        self._bar.close()

    def _is_due(self, now):
        return self._bar.disable and now - self._last_line >= _SECONDS_BETWEEN_LINES

    def _time_left(self, epoch):
        """The time left, in words; empty after the first epoch, whose time includes tracing."""
        done = epoch - self._first_epoch
        if done == 0:
            self._began = time.monotonic()
            return ""
        seconds_left = (time.monotonic() - self._began) / done * (self._epochs - epoch - 1)
        return f", {duration(seconds_left)} left"

    def _describe(self, logs):
        logs = self._rename(logs)
        parts = [f"loss {float(logs['loss']):.3f}"]
        for head in self._heads:
            accuracy = logs.get(f"val_{head.name}_accuracy")
            if accuracy is not None:
                error = f"{self._examples} error {100 * (1 - accuracy):.2f} %"
                parts.append(" ".join(filter(None, (head.net, head.output, error))))
        return ", ".join(parts)


class EventFiles(keras.callbacks.TensorBoard):
    """Writes TensorBoard's events; raises OSError if it cannot, as for other files.

    Args:
        folder: the folder to write to.
    """

    def __init__(self, folder):
        super().__init__(str(folder), write_graph=False)

    def __getattribute__(self, name):
        attribute = super().__getattribute__(name)
        if not name.startswith(("on_", "set_model")):
            return attribute
        folder = super().__getattribute__("log_dir")

        @functools.wraps(attribute)
        def write(*args, **kwargs):
            try:
                return attribute(*args, **kwargs)
            except tf.errors.OpError as error:
                raise OSError(f"{folder}: cannot be written: {reason(error)}") from error

        return write
