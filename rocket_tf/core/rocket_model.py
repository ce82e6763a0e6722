"""RocketModel: a light net and its booster, trained together."""

import keras
import tensorflow as tf

from rocket_tf.core import graph, hints, keras_internals, saving
from rocket_tf.core.distributed_model import (
    DistributedModel,
    call_on_replica,
    own_rows,
    share_of_global_batch,
    with_loss_scaling,
)
from rocket_tf.core.head_metrics import HeadMetrics, RankingMetrics
from rocket_tf.core.heads import flat, heads_of, spread
from rocket_tf.core.label_losses import label_losses_by_head, label_weights_by_head
from rocket_tf.core.objective import SHARED, Objective, check_routing, parts


@keras.saving.register_keras_serializable(package="rocket_tf")
class RocketModel(DistributedModel):
    """A light net that trains beside a booster and follows its logits (Zhou et al., AAAI 2018).

    The objective, for labels y, light logits l and booster logits z, averaged over the batch:

        loss(y, l) + loss(y, z) + hint_weight · hint(z, l)

    In the hint, z passes through `tf.stop_gradient`, so that no hint gradient reaches the booster,
    nor layers that both nets share by way of the booster. Other methods are other settings of the
    same objective: any number of hints, each following the booster or a trained teacher; no booster
    at all; label losses weighed by `compile(loss_weights={"light": ..., "booster": ...})`.

    Calling the model gives `{"light": logits, "booster": logits}`; `predict` gives the light net's
    logits alone. `fit` and `evaluate` log `loss`, `light_loss`, `booster_loss`, the hints by their
    names (`hint_loss`), and the metrics of both nets as `light_<metric>`, `booster_<metric>`. All
    losses are logged without their weights. Label losses and hints are float32 under every dtype
    policy, take `sample_weight` and `class_weight`, and are means over the global batch under
    `tf.distribute`, however unevenly it is split among the replicas.

    Nets may have several outputs, dicts of logits. Labels, losses, metrics and their weights are
    then dicts by output too (or one for all), and so are sample weights; a hint on logits is the
    sum over outputs, and the logs have `light_<output>_loss`, `light_<output>_<metric>`.

    Args:
        light: functional (or sequential) `keras.Model` that gives logits, shape (batch, ...,
            classes), or a dict of several.
        booster: a net of the same kind, with inputs and logits like the light net's. Layers that
            both nets use are shared. `None`: the light net follows a teacher only.
        hint: `"logits_mse"`, `"softmax_mse"`, `"kd"`, a `keras.losses.Loss`, a `Hint`, or a list
            of `Hint`s; `None` or an empty list: none.
        hint_weight: weight of the hint where `hint` is a loss; a `Hint` has its own. 0.03 where
            not given, the paper's for `"logits_mse"` on CIFAR-10.
        gradient_block: whether the hints' gradient is kept from the booster.
        temperature: T of `hint="kd"`; 4 where not given, the paper's.
        teacher: trained functional `keras.Model` with logits, for hints that follow it. It runs in
            inference mode and is frozen (`trainable = False`).
        shared_layers_learn_from: `"both"` nets (the paper), or the `"booster"` alone: then neither
            the light net's label loss nor the hints move what it shares with the booster (as in
            EasyRec's rocket launching for click-through rates).
        name: name of the model.

    Raises:
        ValueError: if a net is not functional or ends in probabilities, if the nets' inputs or
            logits differ, if the hints do not fit the rest, or if shared layers are to learn from a
            booster that there is not.

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

    def __init__(
        self,
        light,
        booster=None,
        hint="logits_mse",
        hint_weight=None,
        gradient_block=True,
        temperature=None,
        teacher=None,
        shared_layers_learn_from="both",
        name="rocket",
    ):
        light, booster, teacher = (
            None if net is None else graph.as_functional(role, net)
            for role, net in (("light", light), ("booster", booster), ("teacher", teacher))
        )
        resolved = hints.resolve_hints(hint, hint_weight, temperature)
        hints.check_hints(resolved, light, booster, teacher)
        check_routing(shared_layers_learn_from, booster)
        read = hints.hidden_layers(resolved)
        inputs, outputs, hidden = graph.join(light, booster, read)
        heads, outputs = heads_of(outputs), flat(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.heads = heads
        self.light = light
        self.booster = booster
        self.teacher = teacher
        if teacher is not None:
            teacher.trainable = False
        self.hints = tuple(resolved)
        self.gradient_block = bool(gradient_block)
        self.shared_layers_learn_from = shared_layers_learn_from
        self.objective = None  # until compile
        self._means = {}
        self._ranking = RankingMetrics(heads)
        self._measured = set()
        # Bound methods, so that Keras does not take the graphs behind them for further layers.
        self._read_nets = keras.Model(inputs, (outputs, hidden)).__call__ if hidden else None
        self._read_teacher = None
        if teacher is not None:
            reader = graph.reader("teacher", teacher, read["teacher"])
            self._read_teacher = reader.__call__
            hidden = {**hidden, "teacher": reader.output[1]}
        hints.check_hidden(resolved, hidden)
        self._projections = hints.make_projections(resolved, hidden)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """Sets optimizer, losses and metrics; `keras.Model.compile` has the other arguments.

        Args:
            optimizer: as in Keras; under the dtype policy mixed_float16, in `LossScaling`.
            loss: label loss of all heads, on logits (`from_logits=True`), or a dict of them, by
                net ("light" and "booster"), by output where there are several, or by net and then
                output; `None` in a dict leaves a head without a label loss.
            loss_weights: dict with weights of label losses, by the same keys; 1 where not given.
            metrics: list for all heads, or a dict of lists by the same keys. "accuracy" of a single
                logit counts it as positive above 0, and so of several under a binary cross-entropy
                (multi-label).
                `ExactAUC` and `GroupAUC` are measured in evaluation alone; with them, XLA is off
                unless `jit_compile=True`.
            weighted_metrics: of the same kind, weighed by `sample_weight`.
            **kwargs: as in Keras.

        Raises:
            ValueError: if a loss is missing, expects probabilities or does not average over the
                batch, or a dict has other keys than nets and outputs.
        """
        losses = label_losses_by_head(loss, self.heads)
        weights = label_weights_by_head(loss_weights, losses, self.heads)
        if kwargs.get("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16":
            optimizer = with_loss_scaling(optimizer)
        with self.distribute_strategy.scope():  # where ranking metrics must be made
            own = HeadMetrics(self.heads, self.output, losses, metrics, weighted_metrics)
        if own.ranking.metrics and kwargs.get("jit_compile", "auto") == "auto":
            kwargs["jit_compile"] = False  # what they keep grows, and XLA wants shapes that stay
        keras_internals.forget_compiled_metrics(self)
        super().compile(optimizer=optimizer, **own.of_keras, **kwargs)
        self._ranking, self._measured = own.ranking, own.measured
        self._own_compile_arguments = {
            "loss": spread("loss", loss, self.heads),
            "loss_weights": weights,
            **own.by_head,
        }
        self.objective = Objective(
            self.heads,
            losses,
            weights,
            self.hints,
            self.gradient_block,
            self.shared_layers_learn_from,
            self._projections,
        )
        self._means = {name: keras.metrics.Mean(name=name) for name in self.objective.names}
        self._loss_mean = keras_internals.loss_mean(self)
        compiled = keras_internals.compiled_metrics(self)
        self._compiled_metrics = [] if compiled is None else [compiled]

    def train_step(self, data):
        """One step on a batch `(x, y)` or `(x, y, sample_weight)`; the logs as a dict."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=self.objective.has_parts) as tape:
            logits, hidden = self.forward(x, training=True)
            losses = self._losses_by_part(x, y, logits, sample_weight, hidden)
            losses = {part: self.optimizer.scale_loss(loss) for part, loss in losses.items()}
        variables = self.trainable_variables
        shared = self._shared_variables() if self.objective.has_parts else ()
        gradients = own_rows(self.objective.gradients(tape, losses, variables, shared), x)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self.compute_metrics(x, y, logits, sample_weight)

    def test_step(self, data):
        """The logs for a batch, in inference mode."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        logits, hidden = self.forward(x, training=False)
        self.compute_loss(x, y, logits, sample_weight, training=False, hidden=hidden)
        self._ranking.update(x, y, logits, sample_weight)
        return self.compute_metrics(x, y, logits, sample_weight)

    def predict_step(self, data):
        """The light net's logits for a batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.light(self._inputs_of(x), training=False)

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """As in Keras; `ExactAUC` and `GroupAUC` are added at the end, where all examples are."""
        logs = super().evaluate(
            x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict=True, **kwargs
        )
        logs |= self._ranking.results()
        return logs if return_dict else keras_internals.in_order_of_metrics(self, logs)

    def call(self, inputs, training=None, mask=None):
        """The logits of all heads; of a dict, what is no input of the nets is left aside."""
        return super().call(self._inputs_of(inputs), training=training, mask=mask)

    def forward(self, x, training):
        """What the objective reads of the nets.

        Args:
            x: inputs.
            training: whether dropout and batch normalisation run as in training.

        Returns:
            `(logits, hidden)`: a dict from the heads (`"light"`, `"booster"`) to their logits, and
            for each net a dict from the names of the layers that hints read to their outputs; empty
            where none does.
        """
        read = self._read_nets or (lambda x, training: (self(x, training=training), {}))
        return call_on_replica(read, self._inputs_of(x), training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True, hidden=None
    ):
        """The objective, and each of its terms recorded for the logs.

        Args:
            x: inputs, for the teacher.
            y: labels, the same for all nets; a dict by output where there are several.
            y_pred: dict from the heads (`"light"`, `"booster"`) to their logits.
            sample_weight: weights of the examples, in label losses and hints alike; a dict by
                output where they differ; or `None`.
            training: ignored; the objective is the same in training and evaluation.
            hidden: outputs of hidden layers, as `forward` gives them; needed where hints read them.

        Returns:
            Scalar, of Keras's floatx. Under `tf.distribute`, this replica's share: the sum over
            all replicas is the objective's mean over the global batch.
        """
        del training
        return tf.add_n(list(self._losses_by_part(x, y, y_pred, sample_weight, hidden).values()))

    def objective_terms(self, x, y, y_pred, sample_weight=None, hidden=None):
        """The terms of the objective on this replica's examples.

        The arguments are those of `compute_loss`.

        Returns:
            Dict from a term's name in the logs to `(weight, mean over the examples)`.

        Raises:
            ValueError: if labels are missing.
        """
        if self._read_teacher is not None:
            logits, layers = call_on_replica(self._read_teacher, self._inputs_of(x), training=False)
            y_pred, hidden = {**y_pred, "teacher": logits}, {**(hidden or {}), "teacher": layers}
        # Without an optimizer, a model can be evaluated.
        step = 0 if self.optimizer is None else self.optimizer.iterations
        return self.objective.terms(y, y_pred, sample_weight, hidden, step)

    def _losses_by_part(self, x, y, logits, sample_weight, hidden):
        """The objective by parts, and the "regularization"; each term recorded for the logs.

        Returns:
            Dict whose values' sum is what `compute_loss` gives.
        """
        examples = tf.shape(keras.tree.flatten(logits)[0])[0]
        terms = self.objective_terms(x, y, logits, sample_weight, hidden)
        means = self.objective.losses(terms)
        dtype = next(iter(means.values())).dtype
        regularization = self._regularization(dtype)
        for name, (_, value) in terms.items():
            self._means[name].update_state(value, sample_weight=examples)
        total = tf.add_n([*means.values(), *regularization])
        self._loss_mean.update_state(total, sample_weight=examples)
        share = share_of_global_batch(examples, dtype)
        losses = {part: mean * share for part, mean in means.items()}
        if regularization:
            # The same on all replicas, so each has an equal share of it.
            equal = tf.cast(1 / tf.distribute.get_strategy().num_replicas_in_sync, dtype)
            losses["regularization"] = tf.add_n([loss * equal for loss in regularization])
        return losses

    def _regularization(self, dtype):
        """The losses of layers themselves. A teacher's is none of the objective's business."""
        teachers = [] if self.teacher is None else [id(loss) for loss in self.teacher.losses]
        return [
            tf.cast(tf.reduce_sum(loss), dtype) for loss in self.losses if id(loss) not in teachers
        ]

    def _shared_variables(self):
        return parts(self.light, self.booster, lambda net: net.trainable_variables)[SHARED]

    def _inputs_of(self, x):
        """Of a dict of inputs, those that the nets take; others may be there, as for metrics.

        Raises:
            ValueError: if one is missing.
        """
        if not isinstance(x, dict):
            return x
        names = keras.tree.map_structure(lambda tensor: tensor.name, self.input)
        if isinstance(names, dict):
            names = {name: name for name in names}
        missing = [name for name in keras.tree.flatten(names) if name not in x]
        if missing:
            raise ValueError(
                f"The nets take inputs {keras.tree.flatten(names)}, and {missing} are missing. "
                f"Received: {list(x)}"
            )
        return keras.tree.map_structure(lambda name: x[name], names)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics of all nets with the same labels; the logs as a dict."""
        # Keras wants labels of all outputs, also of those that nothing measures.
        labels = {
            name: head.label(y) if name in self._measured else y_pred[name]
            for name, head in self.heads.items()
        }
        if isinstance(sample_weight, dict):
            sample_weight = {name: head.weight(sample_weight) for name, head in self.heads.items()}
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    def get_metrics_result(self):
        """The logs as a dict, each metric of `compile` under the name of its head."""
        logs = {}
        for metric in self._running_metrics():
            result = metric.result()
            logs |= result if isinstance(result, dict) else {metric.name: result}
        if len(self.heads) > 1:
            return logs
        # Keras leaves out the output's name where there is one alone.
        own, [head] = {"loss", *self._means}, self.heads
        return {name if name in own else f"{head}_{name}": value for name, value in logs.items()}

    @property
    def metrics(self):
        """The metrics behind the logs: the loss, its terms, then those of `compile`."""
        return [*self._running_metrics(), *self._ranking.metrics]

    def _running_metrics(self):
        """The metrics that each step logs; the others are logged when an evaluation ends."""
        if not self.compiled:
            return []
        return [self._loss_mean, *self._means.values(), *self._compiled_metrics]

    def get_config(self):
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
        self.optimizer.build(self.trainable_variables)

    def export(self, filepath, *args, **kwargs):
        """As `keras.Model.export`, of the light net: what is served never holds the booster.

        `rocket_tf.export_light` writes a smaller SavedModel, with more outputs.
        """
        return self.light.export(filepath, *args, **kwargs)
