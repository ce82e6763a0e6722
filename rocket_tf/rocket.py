"""RocketModel: a light net and its booster, trained together."""

import keras
import tensorflow as tf

from rocket_tf import graph, objective
from rocket_tf.distributed_fit import DistributedFit
from rocket_tf.loss_scaling import with_loss_scaling


@keras.saving.register_keras_serializable(package="rocket_tf")
class RocketModel(DistributedFit, keras.Model):
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

    Args:
        light: functional (or sequential) `keras.Model` that gives logits, shape (batch, ...,
            classes).
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
        name: name of the model.

    Raises:
        ValueError: if a net is not functional or ends in probabilities, if the nets' inputs or
            logits differ, or if the hints do not fit the rest.
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
        name="rocket",
    ):
        light, booster, teacher = (
            None if net is None else graph.as_functional(role, net)
            for role, net in (("light", light), ("booster", booster), ("teacher", teacher))
        )
        hints = objective.resolve_hints(hint, hint_weight, temperature)
        objective.check_hints(hints, light, booster, teacher)
        read = objective.hidden_layers(hints)
        inputs, outputs, hidden = graph.join(light, booster, read)
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.light = light
        self.booster = booster
        self.teacher = teacher
        if teacher is not None:
            teacher.trainable = False
        self.hints = tuple(hints)
        self.gradient_block = bool(gradient_block)
        self._trackers = {}
        # Bound methods, so that Keras does not take the graphs behind them for further layers.
        self._read_nets = keras.Model(inputs, (outputs, hidden)).__call__ if hidden else None
        self._read_teacher = None
        if teacher is not None:
            reader = graph.reader("teacher", teacher, read["teacher"])
            self._read_teacher = reader.__call__
            hidden = {**hidden, "teacher": reader.output[1]}
        objective.check_hidden(hints, hidden)

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
            loss: label loss of both nets, on logits (`from_logits=True`), or a dict with "light"
                and "booster"; `None` in the dict leaves a net without a label loss.
            loss_weights: dict with the weights of the label losses, 1 where not given.
            metrics: list for both nets, or a dict with "light" and "booster". "accuracy" of a
                single logit counts it as positive above 0.
            weighted_metrics: likewise, weighed by `sample_weight`.
            **kwargs: as in Keras.

        Raises:
            ValueError: if a loss is missing, expects probabilities or does not average over the
                batch, or a dict has other keys than the nets.
        """
        losses = self._for_each_net("loss", loss)
        self._label_losses = {
            net: objective.resolve_label_loss(net, net_loss)
            for net, net_loss in losses.items()
            if net_loss is not None
        }
        if not self._label_losses:
            raise ValueError(
                "compile() needs a loss on the labels, such as "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True). "
                f"Received: loss={loss}"
            )
        weights = loss_weights or {}
        if not isinstance(weights, dict) or not set(weights) <= set(self.output):
            raise ValueError(
                f"loss_weights must be a dict with keys among {list(self.output)}. "
                f"Received: loss_weights={loss_weights}"
            )
        self._label_weights = {net: float(weights.get(net, 1.0)) for net in self._label_losses}
        if kwargs.get("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16":
            optimizer = with_loss_scaling(optimizer)
        super().compile(
            optimizer=optimizer,
            metrics=self._metrics_for_each_net("metrics", metrics),
            weighted_metrics=self._metrics_for_each_net("weighted_metrics", weighted_metrics),
            **kwargs,
        )
        self._loss_arguments = {"loss": losses, "loss_weights": dict(weights)}
        names = [f"{net}_loss" for net in self._label_losses] + [hint.name for hint in self.hints]
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}

    def train_step(self, data):
        """One step on a batch `(x, y)` or `(x, y, sample_weight)`; the logs as a dict."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            logits, hidden = self.forward(x, training=True)
            loss = self.compute_loss(x, y, logits, sample_weight, training=True, hidden=hidden)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.compute_metrics(x, y, logits, sample_weight)

    def test_step(self, data):
        """The logs for a batch, in inference mode."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        logits, hidden = self.forward(x, training=False)
        self.compute_loss(x, y, logits, sample_weight, training=False, hidden=hidden)
        return self.compute_metrics(x, y, logits, sample_weight)

    def predict_step(self, data):
        """The light net's logits for a batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.light(x, training=False)

    def forward(self, x, training):
        """What the objective reads of the nets.

        Args:
            x: inputs.
            training: whether dropout and batch normalisation run as in training.

        Returns:
            `(logits, hidden)`: `{"light": logits, "booster": logits}`, and for each net a dict from
            the names of the layers that hints read to their outputs; empty where none does.
        """
        read = self._read_nets or (lambda x, training: (self(x, training=training), {}))
        return _call(read, x, training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True, hidden=None
    ):
        """The objective, and each of its terms recorded for the logs.

        Args:
            x: inputs, for the teacher.
            y: labels, the same for all nets.
            y_pred: `{"light": logits, "booster": logits}`.
            sample_weight: weights of the examples, in label losses and hints alike, or `None`.
            training: ignored; the objective is the same in training and evaluation.
            hidden: outputs of hidden layers, as `forward` gives them; needed where hints read them.

        Returns:
            Scalar, of Keras's floatx. Under `tf.distribute`, this replica's share: the sum over
            all replicas is the objective's mean over the global batch.
        """
        del training
        examples = tf.shape(y_pred["light"])[0]
        terms = self.objective_terms(x, y, y_pred, sample_weight, hidden)
        mean = tf.add_n([weight * value for weight, value in terms.values()])
        # Regularisation is the same on all replicas, and Keras gives each an equal share of it. A
        # teacher's is none of the objective's business.
        teachers = [] if self.teacher is None else [id(loss) for loss in self.teacher.losses]
        shared = [
            tf.cast(self._aggregate_additional_loss(loss), mean.dtype)
            for loss in self.losses
            if id(loss) not in teachers
        ]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, (_, value) in terms.items():
            self._trackers[name].update_state(value, sample_weight=examples)
        total = tf.add_n([mean, *(loss * replicas for loss in shared)])
        self._loss_tracker.update_state(total, sample_weight=examples)
        return tf.add_n([mean * _share_of_global_batch(examples, mean.dtype), *shared])

    def objective_terms(self, x, y, y_pred, sample_weight=None, hidden=None):
        """The terms of the objective on this replica's examples.

        Args:
            x: inputs, for the teacher.
            y: labels, the same for all nets.
            y_pred: `{"light": logits, "booster": logits}`.
            sample_weight: weights of the examples, or `None`.
            hidden: outputs of hidden layers, as `forward` gives them; needed where hints read them.

        Returns:
            Dict from a term's name in the logs to `(weight, mean over the examples)`.
        """
        # Keras's losses give 1 / replicas of the mean; that share is right for even batches only.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync

        def mean(loss, target, prediction, weight=sample_weight):
            value = loss(target, prediction, weight) * replicas
            return keras.ops.cast(value, keras.config.floatx())

        terms = {
            f"{net}_loss": (self._label_weights[net], mean(loss, y, y_pred[net]))
            for net, loss in self._label_losses.items()
        }
        followed, hidden = dict(y_pred), dict(hidden or {})
        if any(hint.follows == "teacher" for hint in self.hints):
            followed["teacher"], hidden["teacher"] = _call(self._read_teacher, x, training=False)
        for hint in self.hints:
            if hint.layers is None:
                pairs = [(followed[hint.follows], y_pred["light"])]
            else:
                pairs = [
                    (hidden[hint.follows][theirs], hidden["light"][mine])
                    for mine, theirs in hint.layers.items()
                ]
            if self.gradient_block or hint.follows == "teacher":
                pairs = [(tf.stop_gradient(target), prediction) for target, prediction in pairs]
            weights = [
                sample_weight
                if hint.layers is None
                else _for_every_position(sample_weight, hint.loss, *pair)
                for pair in pairs
            ]
            terms[hint.name] = (
                hint.weight,
                sum(
                    mean(hint.loss, *pair, weight)
                    for pair, weight in zip(pairs, weights, strict=True)
                ),
            )
        return terms

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics of all nets with the same labels; the logs as a dict."""
        labels = {net: y for net in y_pred}
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    def get_metrics_result(self):
        """The logs as a dict, each metric of `compile` under the name of its net."""
        logs = super().get_metrics_result()
        if self.booster is not None:
            return logs
        # Keras leaves out the output's name where there is one alone.
        own = {"loss", *self._trackers}
        return {name if name in own else f"light_{name}": value for name, value in logs.items()}

    @property
    def metrics(self):
        """The metrics behind the logs: the loss, its terms, then those of `compile`."""
        if not self.compiled:
            return []
        compiled = [] if self._compile_metrics is None else [self._compile_metrics]
        return [self._loss_tracker, *self._trackers.values(), *compiled]

    def export(self, filepath, *args, **kwargs):
        """As `keras.Model.export`, of the light net: what is served never holds the booster.

        `rocket_tf.export_light` writes a smaller SavedModel, with more outputs.
        """
        return self.light.export(filepath, *args, **kwargs)

    def get_config(self):
        # One graph holds both nets, so that the layers they share are written, and read, once.
        joint = keras.Model(self.input, self.output, name=f"{self.name}_graph")
        nets = {"light": self.light} | ({} if self.booster is None else {"booster": self.booster})
        return {
            "name": self.name,
            "joint": keras.saving.serialize_keras_object(joint),
            "nets": {role: graph.net_config(role, net, joint) for role, net in nets.items()},
            "teacher": keras.saving.serialize_keras_object(_without_optimizer(self.teacher)),
            "hint": [keras.saving.serialize_keras_object(hint) for hint in self.hints],
            "gradient_block": self.gradient_block,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def deserialize(part):
            return keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)

        joint = deserialize(config["joint"])
        nets = {
            role: graph.net_from_config(net_config, joint)
            for role, net_config in config["nets"].items()
        }
        return cls(
            **nets,
            hint=[deserialize(hint) for hint in config["hint"]],
            gradient_block=config["gradient_block"],
            teacher=deserialize(config["teacher"]),
            name=config["name"],
        )

    def get_compile_config(self):
        if not self.compiled:
            return {}
        arguments = keras.saving.serialize_keras_object(dict(self._loss_arguments))
        return {**super().get_compile_config(), **arguments}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def _for_each_net(self, argument, value):
        """A dict with an entry for each net, from such a dict or from one value for all."""
        if not isinstance(value, dict):
            return {net: value for net in self.output}
        if not set(value) <= set(self.output):
            raise ValueError(
                f"{argument}, as a dict, has keys among {list(self.output)}. "
                f"Received: {argument}={value}"
            )
        return {net: value.get(net) for net in self.output}

    def _metrics_for_each_net(self, argument, metrics):
        if metrics is None:
            return None
        given_once = not isinstance(metrics, dict)
        return {
            net: [
                objective.resolve_metric(self.output[net], metric, copy=given_once)
                for metric in keras.tree.flatten(net_metrics)
                if metric is not None
            ]
            for net, net_metrics in self._for_each_net(argument, metrics).items()
        }


def _without_optimizer(net):
    """The net as it was before `compile`; what it was trained with is not needed any more."""
    return None if net is None else keras.Model(net.input, net.output, name=net.name)


def _share_of_global_batch(examples, dtype):
    """This replica's examples, as a fraction of all replicas'."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return tf.ones((), dtype)
    examples = tf.cast(examples, dtype)
    return examples / replica.all_reduce("SUM", examples)


def _call(graph, x, training):
    """Calls a graph, also on a replica that was left without examples."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return graph(x, training=training)
    # The last batch may leave a replica empty, and statistics of nothing are not numbers. One
    # example of zeros takes its place, and its outputs are dropped.
    examples = tf.shape(keras.tree.flatten(x)[0])[0]
    x = keras.tree.map_structure(_at_least_one_example, x)
    return keras.tree.map_structure(
        lambda outputs: _first_examples(outputs, examples), graph(x, training=training)
    )


def _for_every_position(sample_weight, loss, target, prediction):
    """Weights of examples, in the shape of a loss that has a value for each position of them."""
    if sample_weight is None or len(sample_weight.shape) != 1:
        return sample_weight
    rank = len(loss.call(target, prediction).shape)
    return tf.reshape(sample_weight, [-1] + [1] * (rank - 1))


def _at_least_one_example(tensor):
    missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
    return tf.pad(tensor, [[0, missing]] + [[0, 0]] * (len(tensor.shape) - 1))


def _first_examples(outputs, count):
    """The outputs of the first examples, with their mask if they have one."""
    mask = getattr(outputs, "_keras_mask", None)
    outputs = outputs[:count]
    if mask is not None:
        outputs._keras_mask = mask[:count]
    return outputs
