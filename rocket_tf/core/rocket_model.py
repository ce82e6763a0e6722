"""RocketModel: a light net and its booster, trained together."""

import keras
import tensorflow as tf

from rocket_tf.core import graph, objective, replicas
from rocket_tf.core.distributed_model import DistributedFit
from rocket_tf.core.heads import by_output, flat, heads_of, of_net, spread, weight_of
from rocket_tf.core.loss_scaling import with_loss_scaling
from rocket_tf.core.ranking_evaluation import (
    RankingEvaluation,
    ranking_metrics_by_name,
    without_ranking,
)
from rocket_tf.core.rocket_configuration import RocketConfiguration
from rocket_tf.core.sharing import SHARED, parts
from rocket_tf.metrics.ranking import ExactAUC


@keras.saving.register_keras_serializable(package="rocket_tf")
class RocketModel(RocketConfiguration, RankingEvaluation, DistributedFit, keras.Model):
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
        booster: likewise, with inputs and logits like the light net's. Layers that both nets use
            are shared. `None`: the light net follows a teacher only.
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
        hints = objective.resolve_hints(hint, hint_weight, temperature)
        objective.check_hints(hints, light, booster, teacher)
        objective.check_routing(shared_layers_learn_from, booster)
        read = objective.hidden_layers(hints)
        inputs, outputs, hidden = graph.join(light, booster, read)
        heads, outputs = heads_of(outputs), flat(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.heads = heads
        self.light = light
        self.booster = booster
        self.teacher = teacher
        if teacher is not None:
            teacher.trainable = False
        self.hints = tuple(hints)
        self.gradient_block = bool(gradient_block)
        self.shared_layers_learn_from = shared_layers_learn_from
        self._trackers = {}
        self._ranking_metrics = {}
        self._measured = set()
        # Bound methods, so that Keras does not take the graphs behind them for further layers.
        self._read_nets = keras.Model(inputs, (outputs, hidden)).__call__ if hidden else None
        self._read_teacher = None
        if teacher is not None:
            reader = graph.reader("teacher", teacher, read["teacher"])
            self._read_teacher = reader.__call__
            hidden = {**hidden, "teacher": reader.output[1]}
        objective.check_hidden(hints, hidden)
        self._projections = objective.make_projections(hints, hidden)

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
            loss_weights: dict with the weights of the label losses, likewise, 1 where not given.
            metrics: list for all heads, or a dict likewise. "accuracy" of a single logit counts it
                as positive above 0, and so of several under a binary cross-entropy (multi-label).
                `ExactAUC` and `GroupAUC` are measured in evaluation alone; with them, XLA is off
                unless `jit_compile=True`.
            weighted_metrics: likewise, weighed by `sample_weight`.
            **kwargs: as in Keras.

        Raises:
            ValueError: if a loss is missing, expects probabilities or does not average over the
                batch, or a dict has other keys than nets and outputs.
        """
        losses = spread("loss", loss, self.heads)
        self._label_losses = {
            head: objective.resolve_label_loss(head, head_loss)
            for head, head_loss in losses.items()
            if head_loss is not None
        }
        if not self._label_losses:
            raise ValueError(
                "compile() needs a loss on the labels, such as "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True). "
                f"Received: loss={loss}"
            )
        if loss_weights is not None and not isinstance(loss_weights, dict):
            raise ValueError(f"loss_weights must be a dict. Received: loss_weights={loss_weights}")
        weights = spread("loss_weights", loss_weights or {}, self.heads)
        idle = [head for head in weights if weights[head] and head not in self._label_losses]
        if idle:
            raise ValueError(
                f"loss_weights must be of heads with a loss. Received: loss_weights={loss_weights} "
                f"and no loss of {idle}; leave them out"
            )
        self._label_weights = {
            head: 1.0 if weights[head] is None else float(weights[head])
            for head in self._label_losses
        }
        if kwargs.get("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16":
            optimizer = with_loss_scaling(optimizer)
        with self.distribute_strategy.scope():  # where ranking metrics must be made
            metrics = self._metrics_by_head("metrics", metrics)
            weighted_metrics = self._metrics_by_head("weighted_metrics", weighted_metrics)
        # By the names in the logs: the head, the metric, whether it is weighed.
        self._ranking_metrics = ranking_metrics_by_name(metrics, weighted_metrics)
        self._measured = {
            head
            for by_head in (metrics, weighted_metrics)
            for head, own in (by_head or {}).items()
            if own
        }
        if self._ranking_metrics and kwargs.get("jit_compile", "auto") == "auto":
            kwargs["jit_compile"] = False  # what they keep grows, and XLA wants shapes that stay
        self._compile_metrics = None  # or Keras keeps those of an earlier compile
        super().compile(
            optimizer=optimizer,
            metrics=without_ranking(metrics),
            weighted_metrics=without_ranking(weighted_metrics),
            **kwargs,
        )
        self._own_compile_arguments = {
            "loss": losses,
            "loss_weights": self._label_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        names = [f"{head}_loss" for head in self._label_losses] + [h.name for h in self.hints]
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}

    def train_step(self, data):
        """One step on a batch `(x, y)` or `(x, y, sample_weight)`; the logs as a dict."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=self.shared_layers_learn_from == "booster") as tape:
            logits, hidden = self.forward(x, training=True)
            losses = self._losses_by_net(x, y, logits, sample_weight, hidden)
            losses = {net: self.optimizer.scale_loss(loss) for net, loss in losses.items()}
        gradients = self._gradients(tape, losses)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.compute_metrics(x, y, logits, sample_weight)

    def test_step(self, data):
        """The logs for a batch, in inference mode."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        logits, hidden = self.forward(x, training=False)
        self.compute_loss(x, y, logits, sample_weight, training=False, hidden=hidden)
        self._update_ranking_metrics(x, y, logits, sample_weight)
        return self.compute_metrics(x, y, logits, sample_weight)

    def predict_step(self, data):
        """The light net's logits for a batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.light(self._inputs_of(x), training=False)

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
        return replicas.call(read, self._inputs_of(x), training)

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
        return tf.add_n(list(self._losses_by_net(x, y, y_pred, sample_weight, hidden).values()))

    def _losses_by_net(self, x, y, logits, sample_weight, hidden):
        """The objective, parted where shared layers learn from one part alone; recorded for logs.

        Returns:
            Dict whose values' sum is what `compute_loss` gives: the terms of the "light" net and of
            the "booster", together under "both" unless they reach different layers, and
            "regularization".
        """
        examples = tf.shape(keras.tree.flatten(logits)[0])[0]
        terms = self.objective_terms(x, y, logits, sample_weight, hidden)
        by_net = {}
        for name, (weight, value) in terms.items():
            net = "both" if self.shared_layers_learn_from == "both" else self.net_of_term(name)
            by_net.setdefault(net, []).append(weight * value)
        means = {net: tf.add_n(values) for net, values in by_net.items()}
        dtype = next(iter(means.values())).dtype
        # Regularisation is the same on all replicas, and Keras gives each an equal share of it. A
        # teacher's is none of the objective's business.
        teachers = [] if self.teacher is None else [id(loss) for loss in self.teacher.losses]
        shared = [
            tf.cast(self._aggregate_additional_loss(loss), dtype)
            for loss in self.losses
            if id(loss) not in teachers
        ]
        count = tf.distribute.get_strategy().num_replicas_in_sync
        for name, (_, value) in terms.items():
            self._trackers[name].update_state(value, sample_weight=examples)
        total = tf.add_n([*means.values(), *(loss * count for loss in shared)])
        self._loss_tracker.update_state(total, sample_weight=examples)
        share = replicas.share_of_global_batch(examples, dtype)
        losses = {net: mean * share for net, mean in means.items()}
        return losses | ({"regularization": tf.add_n(shared)} if shared else {})

    def _gradients(self, tape, losses):
        """The gradient of each trainable variable, of the losses that may move it."""
        variables = self.trainable_variables
        if self.shared_layers_learn_from == "both":
            return tape.gradient(list(losses.values()), variables)
        by_part = parts(self.light, self.booster, lambda net: net.trainable_variables)
        shared = {id(variable) for variable in by_part[SHARED]}
        gradients = {id(variable): [] for variable in variables}
        for net, loss in losses.items():
            moved = [v for v in variables if net != "light" or id(v) not in shared]
            for variable, gradient in zip(moved, tape.gradient(loss, moved), strict=True):
                if gradient is not None:
                    gradients[id(variable)].append(gradient)
        # One alone stays as it is: those of embeddings are sparse.
        return [
            tf.add_n(summands) if len(summands) > 1 else next(iter(summands), None)
            for summands in gradients.values()
        ]

    def net_of_term(self, name):
        """The net that a term of the objective is of, "light" or "booster"; hints are the light's.

        Args:
            name: the term's name in the logs.
        """
        nets = {f"{head_name}_loss": head.net for head_name, head in self.heads.items()}
        return nets.get(name, "light")

    def objective_terms(self, x, y, y_pred, sample_weight=None, hidden=None):
        """The terms of the objective on this replica's examples.

        Args:
            x: inputs, for the teacher.
            y: labels, the same for all nets; a dict by output where there are several.
            y_pred: dict from the heads (`"light"`, `"booster"`) to their logits.
            sample_weight: weights of the examples, or a dict of them by output, or `None`.
            hidden: outputs of hidden layers, as `forward` gives them; needed where hints read them.

        Returns:
            Dict from a term's name in the logs to `(weight, mean over the examples)`.

        Raises:
            ValueError: if labels are missing.
        """
        # Keras's losses give 1 / replicas of the mean; that share is right for even batches only.
        count = tf.distribute.get_strategy().num_replicas_in_sync

        def mean(loss, target, prediction, weight):
            value = loss(target, prediction, weight) * count
            return keras.ops.cast(value, keras.config.floatx())

        terms = {
            f"{head}_loss": (
                self._label_weights[head],
                mean(
                    loss,
                    self.heads[head].label(y),
                    y_pred[head],
                    self.heads[head].weight(sample_weight),
                ),
            )
            for head, loss in self._label_losses.items()
        }
        logits = {net: of_net(net, y_pred, self.heads) for net in ("light", "booster")}
        hidden = dict(hidden or {})
        if any(hint.follows == "teacher" for hint in self.hints):
            theirs, hidden["teacher"] = replicas.call(
                self._read_teacher, self._inputs_of(x), training=False
            )
            logits["teacher"] = by_output(theirs)
        for hint in self.hints:
            compared = self._compared(hint, logits, hidden, sample_weight)
            # Without an optimizer, a model can be evaluated.
            weight = hint.weight_at(0 if self.optimizer is None else self.optimizer.iterations)
            if tf.is_tensor(weight):
                weight = tf.cast(weight, keras.config.floatx())
            terms[hint.name] = weight, sum(mean(hint.loss, *each) for each in compared)
        return terms

    def _compared(self, hint, logits, hidden, sample_weight):
        """What a hint compares: triples of what is followed, the light net's own, its weights."""
        blocked = self.gradient_block or hint.follows == "teacher"
        block = tf.stop_gradient if blocked else tf.identity
        if hint.layers is None:
            followed = logits[hint.follows]
            return [
                (block(followed[output]), own, weight_of(output, sample_weight))
                for output, own in logits["light"].items()
            ]
        compared = []
        for mine, theirs in hint.layers.items():
            own, followed = hidden["light"][mine], block(hidden[hint.follows][theirs])
            if hint.projection:
                own = self._projections[hint.name, mine](own)
            weights = weight_of(None, sample_weight)
            weights = _for_every_position(weights, hint.loss, followed, own)
            compared.append((followed, own, weights))
        return compared

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
        own, [head] = {"loss", *self._trackers}, self.heads
        return {name if name in own else f"{head}_{name}": value for name, value in logs.items()}

    @property
    def metrics(self):
        """The metrics behind the logs: the loss, its terms, then those of `compile`."""
        ranking = [metric for _, metric, _ in self._ranking_metrics.values()]
        return [*self._running_metrics(), *ranking]

    def _running_metrics(self):
        """The metrics that each step tells; the others are told when an evaluation ends."""
        if not self.compiled:
            return []
        compiled = [] if self._compile_metrics is None else [self._compile_metrics]
        return [self._loss_tracker, *self._trackers.values(), *compiled]

    def export(self, filepath, *args, **kwargs):
        """As `keras.Model.export`, of the light net: what is served never holds the booster.

        `rocket_tf.export_light` writes a smaller SavedModel, with more outputs.
        """
        return self.light.export(filepath, *args, **kwargs)

    def _metrics_by_head(self, argument, metrics):
        """A dict from each head to the list of its own metrics, or `None`."""
        if metrics is None:
            return None
        by_head = {
            head: [metric for metric in keras.tree.flatten(own) if metric is not None]
            for head, own in spread(argument, metrics, self.heads).items()
        }
        given = [id(metric) for own in by_head.values() for metric in own]
        # A head without a label loss has labels like those of the other net's.
        losses = {self.heads[head].output: loss for head, loss in self._label_losses.items()}
        return {
            head: [
                objective.resolve_metric(
                    self.output[head],
                    self._label_losses.get(head, losses.get(self.heads[head].output)),
                    metric,
                    copy=given.count(id(metric)) > 1 or isinstance(metric, ExactAUC),
                )
                for metric in own
            ]
            for head, own in by_head.items()
        }


def _for_every_position(sample_weight, loss, target, prediction):
    """Weights of examples, in the shape of a loss that has a value for each position of them."""
    if sample_weight is None or len(sample_weight.shape) != 1:
        return sample_weight
    rank = len(loss.call(target, prediction).shape)
    return tf.reshape(sample_weight, [-1] + [1] * (rank - 1))
