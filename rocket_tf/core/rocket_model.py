"""RocketModel: a light net and its booster, trained together."""

import warnings
from typing import Any, Literal

import keras
import tensorflow as tf

from rocket_tf.core import changes, graph, hint_checks, hints, keras_internals, light_alone, saving
from rocket_tf.core.batch import for_metrics, inputs_of, weights_of_classes
from rocket_tf.core.class_weights import weighs_classes_of_positions
from rocket_tf.core.distributed_model import (
    DistributedModel,
    call_on_replica,
    share_of_global_batch,
    with_loss_scaling,
)
from rocket_tf.core.head_metrics import HeadMetrics, history_in_order, logs_in_order, names_in_logs
from rocket_tf.core.heads import flat, heads_of
from rocket_tf.core.inputs import only_of, taking
from rocket_tf.core.label_losses import given_by_head, label_losses_by_head, label_weights_by_head
from rocket_tf.core.objective import SHARED, Objective, check_routing, parts, sum_in_order, without


@weighs_classes_of_positions
@keras.saving.register_keras_serializable(package="rocket_tf")
class RocketModel(DistributedModel):
    """A light net that trains beside a booster and follows its logits (Zhou et al., AAAI 2018).

    The objective, for labels y, light logits l and booster logits z, averaged over the batch:

        loss(y, l) + loss(y, z) + hint_weight · hint(z, l)

    In the hint, z passes through `tf.stop_gradient`. So no gradient of a hint reaches the booster,
    and shared layers get its gradient only through the light net. Other methods are settings of the
    same objective: any number of hints that follow the booster or a trained teacher; no booster at
    all; label losses weighted by `compile(loss_weights={"light": ..., "booster": ...})`.

    Calling the model gives `{"light": logits, "booster": logits}`; `predict` gives only the light
    net's logits. `fit` and `evaluate` log `loss`, `light_loss`, `booster_loss`, the hints by name
    (`hint_loss`), and the metrics of both nets as `light_<metric>`, `booster_<metric>`. All losses
    are logged without their weights. Label losses and hints are float32 under every dtype policy
    and take `sample_weight` and `class_weight`. Under `tf.distribute`, they are means over the
    global batch, even if the replicas' shares of it are uneven.

    Nets may have several outputs, dicts of logits. Labels, losses, metrics, their weights and
    sample weights are then dicts by output, too (or one for all). A hint on logits is the sum over
    outputs, and the logs have `light_<output>_loss`, `light_<output>_<metric>`.

    Sample weights belong to examples, shape (batch,), or to the labels' positions, such as (batch,
    time). In a dict by net, a hint uses the follower's weights. Masks leave padding out.

    Args:
        light: functional (or sequential) `keras.Model` that gives logits, shape (batch, ...,
            classes), or a dict of several.
        booster: a net of the same kind, with the same logits and inputs, or with more inputs (by
            name). Layers that both use are shared. `None`: there is only a teacher.
        hint: a name as `Hint` takes it, such as `"logits_mse"` or `"kd"`, a `keras.losses.Loss`, a
            `Hint`, or a list of `Hint`s; `None` or an empty list: none.
        hint_weight: weight of the hint if `hint` is a loss; a `Hint` has its own. The default,
            0.03, is the paper's for `"logits_mse"` on CIFAR-10.
        gradient_block: whether to keep the gradient of hints that follow the booster from it.
        temperature: T of `hint="kd"` and others with one; the default is their papers'.
        teacher: trained functional `keras.Model` with logits, for hints that follow it. It runs in
            inference mode and stays frozen (`trainable = False`), even if other nets are thawed.
        shared_layers_learn_from: `"both"` nets (the paper), or only the `"booster"`: then neither
            the light net's label loss nor its hints move the shared layers (as in EasyRec's rocket
            launching for click-through rates).
        name: name of the model.

    Raises:
        ValueError: if a net is not functional or ends in probabilities, if inputs, logits or hints
            do not fit, if there is no booster to learn from, or shared layers could not be saved.

    Example:
        >>> import keras, numpy as np, rocket_tf
        >>> inputs = keras.Input((5,))
        >>> low = keras.layers.Dense(4, activation="relu", name="low")(inputs)
        >>> light = keras.Model(inputs, keras.layers.Dense(3)(low), name="light")
        >>> high = keras.layers.Dense(8, activation="relu", name="high")(low)
        >>> booster = keras.Model(inputs, keras.layers.Dense(3)(high), name="booster")
        >>> rocket = rocket_tf.RocketModel(light, booster, hint="logits_mse", hint_weight=0.03)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> rocket.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
        >>> x, y = np.random.normal(size=(32, 5)), np.random.randint(0, 3, 32)
        >>> history = rocket.fit(x, y, verbose=0)
        >>> rocket.predict(x, verbose=0).shape
        (32, 3)
    """

    @saving.refuses_cloning
    def __init__(
        self,
        light: keras.Model,
        booster: keras.Model | None = None,
        hint: hints.AnyHint = "logits_mse",
        hint_weight: hints.Weight | None = None,
        gradient_block: bool = True,
        temperature: float | None = None,
        teacher: keras.Model | None = None,
        shared_layers_learn_from: Literal["both", "booster"] = "both",
        name: str = "rocket",
    ) -> None:
        light, booster, teacher = (
            None if net is None else graph.checked(role, net)
            for role, net in (("light", light), ("booster", booster), ("teacher", teacher))
        )
        resolved = hints.resolve_hints(hint, hint_weight, temperature)
        hint_checks.check_hints(resolved, light, booster, teacher)
        check_routing(shared_layers_learn_from, booster)
        layers_read = hints.hidden_layers(resolved)
        inputs, outputs, hidden = graph.join(light, booster, layers_read)
        heads, outputs = heads_of(outputs), flat(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.heads = heads
        self.booster_only_inputs = only_of(booster, light)  # their names
        self.light = light
        self.booster = booster
        self.teacher = teacher  # this freezes it
        self.hints = tuple(resolved)
        self.gradient_block = bool(gradient_block)
        self.shared_layers_learn_from = shared_layers_learn_from
        self.objective: Any = None  # until compile
        self.head_metrics = HeadMetrics(heads, outputs, {})
        # Bound methods, so that Keras does not track the graphs behind them as layers.
        self.read_light = taking(inputs, light).__call__
        self._read_nets = keras.Model(inputs, (outputs, hidden)).__call__ if hidden else None
        self._read_teacher = None
        if teacher is not None:
            reader = taking(inputs, graph.reader("teacher", teacher, layers_read["teacher"]))
            self._read_teacher = reader.__call__
            hidden = {**hidden, "teacher": reader.output[1]}
        hint_checks.check_hidden(resolved, hidden)
        self._projections = hints.make_projections(resolved, hidden)
        saving.check_loadable(self)

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: Any = None,
        loss_weights: dict[str, Any] | None = None,
        metrics: list[Any] | dict[str, Any] | None = None,
        weighted_metrics: list[Any] | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Sets optimizer, losses and metrics; other arguments are those of Keras's `compile`.

        Args:
            optimizer: as in Keras; under the dtype policy mixed_float16, in `LossScaling`.
            loss: label loss of all heads, on logits (`from_logits=True`), or a dict of losses by
                net ("light" and "booster"), by output if there are several, or by net and then
                output. `None` in a dict means no label loss for that head.
            loss_weights: dict with weights of label losses, by the same keys; the default is 1.
            metrics: list for all heads, or a dict of lists by the same keys. For a single logit,
                and for several under a binary cross-entropy (multi-label), "accuracy" counts a
                logit above 0 as positive. `ExactAUC` and `GroupAUC` are measured only in
                evaluations; with them, XLA is off unless `jit_compile=True`.
            weighted_metrics: metrics of the same form, weighted by `sample_weight`.
            **kwargs: as in Keras.

        Raises:
            ValueError: if a loss is missing, expects probabilities or does not average over the
                batch, if a dict has keys other than nets and outputs, or if two values would have
                one name in the logs.
        """
        losses = label_losses_by_head(loss, self.heads)
        weights = label_weights_by_head(loss_weights, losses, self.heads)
        if kwargs.get("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16":
            optimizer = with_loss_scaling(optimizer)
        with self.distribute_strategy.scope():  # where variables must be made
            head_metrics = HeadMetrics(self.heads, self.output, losses, metrics, weighted_metrics)
            objective = Objective(
                self.heads,
                losses,
                weights,
                self.hints,
                self.gradient_block,
                self.shared_layers_learn_from,
                self._projections,
            )
        names_in_logs(objective.names, head_metrics.names)  # checks them
        if head_metrics.ranking.metrics and kwargs.get("jit_compile", "auto") == "auto":
            kwargs["jit_compile"] = False  # their state grows, and XLA needs fixed shapes
        keras_internals.forget_compiled_metrics(self)
        super().compile(optimizer=optimizer, **head_metrics.of_keras, **kwargs)
        self.objective, self.head_metrics = objective, head_metrics
        self._own_compile_arguments = {
            "loss": given_by_head(loss, self.heads),
            "loss_weights": weights,
            **head_metrics.by_head,
        }
        self.term_means = {name: keras.metrics.Mean(name=name) for name in objective.names}
        self.loss_mean, compiled = keras_internals.running_metrics(self)
        self._compiled_metrics = [] if compiled is None else [compiled]

    def train_step(self, data):
        """Takes a step on a batch `(x, y)` or `(x, y, sample_weight)`; returns the logs, a dict."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with self.reduced_at_end() as waiting, tf.GradientTape(self.objective.has_parts) as tape:
            logits, hidden = self.forward(x, training=True)
            sample_weight = weights_of_classes(self.class_weights, y, logits, sample_weight)
            losses = self._losses_by_part(x, y, logits, sample_weight, hidden)
            losses = {part: self.optimizer.scale_loss(loss) for part, loss in losses.items()}
        variables = self.trainable_variables
        if variables:
            shared = parts(self.light, self.booster, lambda net: net.variables)[SHARED]
            gradients = self.objective.gradients(tape, losses, variables, shared)
            self.apply_gradients(gradients, variables, waiting, x)
        else:  # as in Keras
            warnings.warn(changes.NOTHING_TO_TRAIN, stacklevel=2)
        return self.compute_metrics(x, y, logits, sample_weight)

    def test_step(self, data):
        """Evaluates a batch in inference mode; returns the logs, a dict."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if light_alone.lacks_booster_only(self, x):
            return light_alone.test_light(self, x, y, sample_weight)
        logits, hidden = self.forward(x, training=False)
        self.compute_loss(x, y, logits, sample_weight, training=False, hidden=hidden)
        self.head_metrics.ranking.update(x, y, logits, sample_weight)
        return self.compute_metrics(x, y, logits, sample_weight)

    def predict_step(self, data):
        """The light net's logits for a batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.read_light(light_alone.inputs_of_net(self.light, self, x), training=False)

    # Made again when something that was traced has changed.
    make_train_function = changes.remade(DistributedModel.make_train_function)
    make_test_function = changes.remade(DistributedModel.make_test_function)
    make_predict_function = changes.remade(DistributedModel.make_predict_function)

    # In the order of `metrics_names`, with the results of `ExactAUC` and `GroupAUC` at the end.
    fit = history_in_order(DistributedModel.fit)
    evaluate = logs_in_order(DistributedModel.evaluate)
    train_on_batch = logs_in_order(DistributedModel.train_on_batch)
    test_on_batch = logs_in_order(DistributedModel.test_on_batch)

    def call(self, inputs, training=None, mask=None):
        """The logits of all heads; entries of a dict that no net reads are ignored."""
        return super().call(inputs_of(self, inputs), training=training, mask=mask)

    def forward(self, x, training):
        """Runs the nets, for the objective.

        Args:
            x: inputs.
            training: whether dropout and batch normalization run as in training.

        Returns:
            `(logits, hidden)`: a dict from the heads (`"light"`, `"booster"`) to their logits; and
            for each net a dict from the names of the layers that hints read to their outputs, empty
            if there are none.
        """
        read = self._read_nets or (lambda x, training: (self(x, training=training), {}))
        return call_on_replica(read, inputs_of(self, x), training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True, hidden=None
    ):
        """The objective; each of its terms is recorded for the logs.

        Args:
            x: inputs, for the teacher.
            y: labels, the same for all nets; a dict by output if there are several.
            y_pred: dict from the heads (`"light"`, `"booster"`) to their logits.
            sample_weight: weights of the examples, or of their positions, in label losses and
                hints; a dict by output or by net if they differ; or `None`.
            training: ignored; the objective is the same in training and evaluation.
            hidden: outputs of hidden layers, as `forward` gives them; needed if hints read them.

        Returns:
            Scalar of Keras's floatx. Under `tf.distribute`, this replica's share: the sum over all
            replicas is the objective's mean over the global batch.
        """
        del training
        return sum_in_order(self._losses_by_part(x, y, y_pred, sample_weight, hidden).values())

    def objective_terms(self, x, y, y_pred, sample_weight=None, hidden=None):
        """The terms of the objective on this replica's examples.

        The arguments are those of `compute_loss`.

        Returns:
            Dict from a term's name in the logs to `(weight, mean over the examples)`.

        Raises:
            ValueError: if labels are missing.
        """
        if self._read_teacher is not None:
            has_less = bool(self.booster_only_inputs)
            x = light_alone.inputs_of_net(self.teacher, self, x) if has_less else inputs_of(self, x)
            logits, layers = call_on_replica(self._read_teacher, x, training=False)
            y_pred, hidden = {**y_pred, "teacher": logits}, {**(hidden or {}), "teacher": layers}
        # Without an optimizer, a model can be evaluated.
        step = 0 if self.optimizer is None else self.optimizer.iterations
        return self.objective.terms(y, y_pred, sample_weight, hidden, step)

    def _losses_by_part(self, x, y, logits, sample_weight, hidden):
        """The objective by parts, and the "regularization"; records each term for the logs.

        The sum of the values is that of `compute_loss`.
        """
        terms = self.objective_terms(x, y, logits, sample_weight, hidden)
        means, regularization = self.record(terms, self, logits)
        dtype = next(iter(means.values())).dtype
        share = share_of_global_batch(logits if x is None else inputs_of(self, x), dtype)
        losses = {part: mean * share for part, mean in means.items()}
        if regularization:
            # It is the same on all replicas, so each has an equal share of it.
            equal = tf.cast(1 / tf.distribute.get_strategy().num_replicas_in_sync, dtype)
            losses["regularization"] = sum_in_order([loss * equal for loss in regularization])
        return losses

    def record(self, terms, net, logits):
        """Records terms for the logs; returns the objective by parts, and what layers add."""
        layer_losses = without(net.losses, getattr(self.teacher, "losses", ()))
        return self.objective.record(terms, layer_losses, logits, self.term_means, self.loss_mean)

    complete = light_alone.completed

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics of all nets with the same labels; returns the logs, a dict."""
        measured = self.head_metrics.measured
        labels, weights = for_metrics(self.heads, measured, y, y_pred, sample_weight)
        return super().compute_metrics(x, labels, y_pred, weights)

    def get_metrics_result(self):
        """The logs as a dict, each metric of `compile` under the name of its head."""
        logs = {mean.name: mean.result() for mean in (self.loss_mean, *self.term_means.values())}
        # Keras leaves out the output's name where there is one alone.
        prefix = f"{next(iter(self.heads))}_" if len(self.heads) == 1 else ""
        for metric in self._compiled_metrics:
            logs |= {f"{prefix}{name}": value for name, value in metric.result().items()}
        return logs

    @property
    def metrics_names(self):
        """The names of the values of `evaluate`; first the loss and its terms, then the metrics."""
        objective, metrics = self.objective, self.head_metrics
        return names_in_logs(objective.names, metrics.names) if self.compiled else []

    @property
    def metrics(self):
        """The metrics behind the logs; first the loss and its terms, then those of `compile`."""
        if not self.compiled:
            return []
        means, ranking = self.term_means.values(), self.head_metrics.ranking.metrics
        return [self.loss_mean, *means, *self._compiled_metrics, *ranking]

    @property
    def trainable_variables(self):
        """All variables that a step may change; none are the teacher's, whatever its flags say."""
        return without(super().trainable_variables, getattr(self.teacher, "variables", ()))

    @property
    def non_trainable_variables(self):
        return without(self.variables, self.trainable_variables)

    @property
    def trainable_weights(self):
        return without(super().trainable_weights, getattr(self.teacher, "weights", ()))

    @property
    def non_trainable_weights(self):
        return without(self.weights, self.trainable_weights)

    def __setattr__(self, name, value):
        if name in changes.WATCHED:
            changes.check_attribute(self, name, value)
        super().__setattr__(name, value)
        if name in changes.WATCHED:
            changes.pass_on_attribute(self, name)

    def get_config(self) -> dict[str, Any]:
        return saving.config_of(self)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**saving.arguments_from(config, custom_objects))

    def get_compile_config(self):
        if not self.compiled:
            return {}
        arguments = keras.saving.serialize_keras_object(dict(self._own_compile_arguments))
        return {**super().get_compile_config(), **arguments}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def save(self, filepath: hints.FilePath, *args: Any, **kwargs: Any) -> None:
        """Saves to a `.keras` file, as in Keras."""
        saving.check_format(filepath)
        return super().save(filepath, *args, **kwargs)

    def export(self, filepath: hints.FilePath, *args: Any, **kwargs: Any) -> Any:
        """Exports the light net, as in Keras; `export_light` writes a smaller SavedModel."""
        return self.light.export(filepath, *args, **kwargs)
