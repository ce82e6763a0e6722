"""Nets, hints, losses and callbacks that a configuration file builds for its runs."""

import contextlib
import functools
import re

import keras
import numpy as np

from rocket_tf.config.own_code import OwnCode
from rocket_tf.core.hints import Hint

# Callbacks that stop the training or set its learning rate, both of which the run decides.
_REFUSED_CALLBACKS = {
    keras.callbacks.EarlyStopping: "a run completes all its epochs; lower --config.epochs, or set "
    "--config.validation_examples to export the best epoch",
    keras.callbacks.LearningRateScheduler: "the learning rate is the configuration's; set "
    "learning_rate and learning_rate_drops",
    keras.callbacks.ReduceLROnPlateau: "the learning rate is the configuration's; set "
    "learning_rate and learning_rate_drops",
}


def of(config, data, copy):
    """The parts of a run that its own functions build, `OwnParts`, or `NONE` without any.

    Args:
        config: a checked configuration.
        data: its data, a `rocket_tf.data.DataSet`.
        copy: path where the run's folder has its copy of the functions' file, if it has one.

    Raises:
        ConfigError: like `rocket_tf.config.own_code.OwnCode`.
    """
    return OwnParts(config, data, copy) if config["own_functions"] else NONE


class NoParts:
    """The parts of a run without its own functions, with the interface of `OwnParts`."""

    def has(self, function):
        """Whether the user has defined a function: always false."""
        return False

    def callbacks(self):
        """No callbacks, an empty list."""
        return []

    def answering(self, doing, function=None):
        """Within it, exceptions pass."""
        return contextlib.nullcontext()

    def training(self, model, epochs):
        """Within it, exceptions pass."""
        return contextlib.nullcontext()


NONE = NoParts()


class OwnParts:
    """The results of the user's own functions for a run; arguments as for `of`."""

    def __init__(self, config, data, copy):
        self._code = OwnCode(config, copy)
        self._config = config
        self._data = data

    def has(self, function):
        """Whether the user has defined a function, such as "build_nets"."""
        return function in self._code.functions

    def nets(self):
        """The light net and the booster, which may be `None` if the light net trains alone.

        The run's seed decides their initial weights.

        Raises:
            ConfigError: if the function raises an exception or returns anything else, or if the
                nets do not read the data.
        """
        keras.utils.set_random_seed(self._config["seed"])
        nets = self._code.call("build_nets", self._data)
        if not isinstance(nets, list | tuple) or len(nets) != 2:
            raise self.mistake(
                "build_nets",
                f"returns {_shown(nets)}, expected the two Keras models (light, booster)",
            )
        method = self._config["method"]
        for role, net in zip(("light", "booster"), nets, strict=True):
            if net is None and role == "booster" and method == "light":
                continue
            if not isinstance(net, keras.Model):
                raise self.mistake(
                    "build_nets",
                    f"returns {_shown(net)} as {role}, expected a functional Keras model"
                    + (f", which method={method} trains" if net is None else ""),
                )
            self._check_inputs(role, net)
        return tuple(nets)

    def hints(self):
        """The hints, a list of `Hint`s.

        Raises:
            ConfigError: if the function raises an exception, or gives something else.
        """
        hints = self._code.call("build_hints", self._data)
        if not isinstance(hints, list | tuple) or not hints:
            raise self.mistake("build_hints", f"returns {_shown(hints)}, expected a list of Hints")
        for hint in hints:
            if not isinstance(hint, Hint):
                raise self.mistake(
                    "build_hints", f"returns a list with {_shown(hint)}, expected rocket_tf.Hint"
                )
            if hint.follows != "booster":
                raise self.mistake(
                    "build_hints",
                    f"returns a Hint with follows={hint.follows!r}, expected 'booster'; methods kd "
                    "and rocket_kd follow a trained booster by themselves",
                )
            names = [name for pair in (hint.layers or {}).items() for name in pair]
            for name in filter(self._is_made_up, names):
                raise self.mistake(
                    "build_hints",
                    f"reads layer {name!r}, a name that Keras generates and that changes when the "
                    "nets are built again; name the layer in build_nets",
                )
        return list(hints)

    def losses(self):
        """The label losses, as `RocketModel.compile` takes them."""
        losses = self._code.call("build_losses", self._data)
        if losses is None:
            raise self.mistake(
                "build_losses", "returns None, expected a loss for RocketModel.compile"
            )
        return losses

    def callbacks(self):
        """The callbacks, a list; empty if there is no function for them.

        Raises:
            ConfigError: if the function raises an exception, or returns anything else or a callback
                that would stop the run or set its learning rate.
        """
        if not self.has("build_callbacks"):
            return []
        callbacks = self._code.call("build_callbacks", self._data)
        if not isinstance(callbacks, list | tuple):
            raise self.mistake(
                "build_callbacks",
                f"returns {_shown(callbacks)}, expected a list of Keras callbacks",
            )
        for callback in callbacks:
            if not isinstance(callback, keras.callbacks.Callback):
                raise self.mistake(
                    "build_callbacks",
                    f"returns a list with {_shown(callback)}, expected Keras callbacks",
                )
            for kind, why in _REFUSED_CALLBACKS.items():
                if isinstance(callback, kind):
                    raise self.mistake("build_callbacks", f"returns {kind.__name__}, but {why}")
            self._answer_for(callback)
        return list(callbacks)

    def _answer_for(self, callback):
        """Reports exceptions in a callback, such as one of Keras's, with `build_callbacks`."""

        def answered(hook, name):
            @functools.wraps(hook)
            def call(*arguments, **by_name):
                with self.answering(f"{type(callback).__name__}.{name}", "build_callbacks"):
                    return hook(*arguments, **by_name)

            return call

        for name in dir(callback):
            if name.startswith("on_"):
                setattr(callback, name, answered(getattr(callback, name), name))

    def mistake(self, function, what):
        """The `ConfigError` for a function's result, with file and line; arguments are texts."""
        return self._code.mistake(function, what)

    def answering(self, doing, function=None):
        """A context that reports mistakes with the file and the line of the functions.

        Args:
            doing: what the block does, in words.
            function: the function to blame for exceptions raised elsewhere. If it is `None` or the
                user has not defined it, these exceptions pass.
        """
        name = function if function is not None and self.has(function) else None
        return self._code.answering(doing, name)

    @contextlib.contextmanager
    def training(self, model, epochs):
        """A context for training a model, which reports mistakes like `answering`.

        Args:
            model: the run's model.
            epochs: number of epochs that the run must complete.
        """
        with self.answering("the training"):
            yield
        if model.stop_training:
            raise self.mistake(
                "build_callbacks",
                f"returns a callback that has stopped the training before epoch {epochs}; a run "
                "completes all its epochs: remove the callback, or lower --config.epochs",
            )

    def check_outputs(self, role, net):
        """Checks that a net gives the classes of the data.

        Raises:
            ConfigError: if it does not.
        """
        classes, output = self._data.card.num_classes, net.output
        if isinstance(output, dict | list | tuple) or tuple(output.shape) != (None, classes):
            raise self.mistake(
                "build_nets",
                f"returns a {role} with output {_structure(output)}, expected one, (None, "
                f"{classes}): a logit for each class of {self._config['dataset']}",
            )

    def check_loss(self, value):
        """Checks that the objective on some examples is a finite number.

        Raises:
            ConfigError: if it is not.
        """
        if not np.all(np.isfinite(value)):
            name = "build_losses" if self.has("build_losses") else "build_nets"
            if self.has(name):
                raise self.mistake(name, f"leads to a loss of {value}, expected a finite number")

    def _check_inputs(self, role, net):
        card, inputs = self._data.card, net.input
        if card.kind == "clicks":
            self._check_columns(role, inputs)
            return
        shape = card.image_shape
        fits = hasattr(inputs, "shape") and len(inputs.shape) == 1 + len(shape)
        sizes = zip(inputs.shape[1:], shape, strict=True) if fits else [(0, None)]
        if not all(input_size in (None, size) for input_size, size in sizes):
            raise self.mistake(
                "build_nets",
                f"returns a {role} with input {_structure(inputs)}, expected one, "
                f"{(None, *shape)}: images of {self._config['dataset']} with shape "
                "data.card.image_shape",
            )

    def _check_columns(self, role, inputs):
        card = self._data.card
        columns = [name for name in card.columns.all if name in card.dtypes]
        if not isinstance(inputs, dict):
            raise self.mistake(
                "build_nets",
                f"returns a {role} with input {_structure(inputs)}, expected a dict by columns, "
                f"some of {', '.join(columns)}",
            )
        for name, tensor in inputs.items():
            if name not in columns:
                raise self.mistake(
                    "build_nets",
                    f"returns a {role} that reads {name!r}, expected columns of "
                    f"{self._config['dataset']}: {', '.join(columns)}",
                )
            text = card.dtypes[name] == "string"
            if text != (tensor.dtype == "string"):
                raise self.mistake(
                    "build_nets",
                    f"returns a {role} that reads {name!r} as {tensor.dtype}, expected "
                    f"{card.dtypes[name]}",
                )
        if any(tensor.name != name for name, tensor in inputs.items()):
            name = next(name for name, tensor in inputs.items() if tensor.name != name)
            raise self.mistake(
                "build_nets",
                f"returns a {role} whose input of column {name!r} is called {inputs[name].name!r}, "
                f"expected the column's name; pass name={name!r} to keras.Input",
            )

    def _is_made_up(self, name):
        """Whether a layer's name looks generated by Keras, such as dense_1."""
        base = re.sub(r"_\d+$", "", name).replace("_", "")
        kinds = {kind.lower() for kind in dir(keras.layers) if kind[0].isupper()}
        return base in kinds


def _structure(tensors):
    if isinstance(tensors, dict):
        return str({name: tensor.shape for name, tensor in tensors.items()})
    if isinstance(tensors, list | tuple):
        return str([tensor.shape for tensor in tensors])
    return str(tensors.shape)


def _shown(value):
    if value is None or isinstance(value, int | float | str | bool):
        return repr(value)[:100]
    return f"a {type(value).__name__}" + (
        f" of {len(value)}" if isinstance(value, list | tuple | dict) else ""
    )
