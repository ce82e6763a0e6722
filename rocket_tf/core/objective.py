"""The objective: label losses and hints, their weights, and which gradient moves which variable.

It deals with tensors, losses and variables, but with no Keras model.
"""

import keras
import tensorflow as tf

from rocket_tf.core.batch import label_of, mean_of, takes, weights_of
from rocket_tf.core.hint_checks import check_label_losses
from rocket_tf.core.keras_internals import MASK

SHARED, LIGHT_ONLY, BOOSTER_ONLY = PARTS = ("shared", "light only", "booster only")


class Objective:
    """Label losses plus weighted hints, as one sum of terms.

    For labels y, light logits l and booster logits z, averaged over the batch:

        loss(y, l) + loss(y, z) + hint_weight · hint(z, l)

    In the hint, z passes through `tf.stop_gradient` if `gradient_block` is set. A teacher's values
    always do, and so does l when the booster follows the light net.

    Args:
        heads: dict from names to `Head`s, as `heads_of` gives it.
        label_losses: dict from heads' names to losses on logits that average over the batch; heads
            may be left out.
        label_weights: dict from the same names to numbers; `None`: all 1.
        hints: `Hint`s with different names.
        gradient_block: whether to keep the gradient of hints that follow the booster from it.
        shared_layers_learn_from: `"both"`, or `"booster"`: then neither the light net's label loss
            nor its hints move the shared layers.
        projections: dict from (hint's name, layer of the net that follows) to the linear map of a
            hint with projections.

    Raises:
        ValueError: if a hint on logits does not fit the labels that the losses take.

    Example:
        >>> import keras, tensorflow as tf
        >>> from rocket_tf import Hint
        >>> from rocket_tf.core.heads import heads_of
        >>> logits = {"light": tf.Variable([[0.0, 0.0]]), "booster": tf.Variable([[1.0, 3.0]])}
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> losses = {"light": loss, "booster": loss}
        >>> objective = Objective(heads_of(logits), losses, hints=[Hint("logits_mse", 0.5)])
        >>> with tf.GradientTape() as tape:
        ...     terms = objective.terms(tf.constant([1]), logits)
        ...     losses = objective.losses(terms)
        >>> {name: round(float(weight * value), 3) for name, (weight, value) in terms.items()}
        {'light_loss': 0.693, 'booster_loss': 0.127, 'hint_loss': 5.0}
        >>> to_light, to_booster = objective.gradients(tape, losses, list(logits.values()))
        >>> to_booster.numpy().round(3)  # of its label loss alone
        array([[ 0.119, -0.119]], dtype=float32)
    """

    def __init__(
        self,
        heads,
        label_losses,
        label_weights=None,
        hints=(),
        gradient_block=True,
        shared_layers_learn_from="both",
        projections=None,
    ):
        self.heads = heads
        self.label_losses = label_losses
        self.label_weights = label_weights or dict.fromkeys(label_losses, 1.0)
        self.hints = tuple(hints)
        self.gradient_block = gradient_block
        self.shared_layers_learn_from = shared_layers_learn_from
        self.projections = projections or {}
        check_label_losses(self.hints, heads, label_losses)
        self._names = {}  # of the heads, by net and output
        for name, head in heads.items():
            self._names.setdefault(head.net, {})[head.output] = name
        self._nets = {f"{name}_loss": heads[name].net for name in label_losses}
        self._nets |= {hint.name: hint.follower for hint in self.hints}
        # Variables, so that steps which are traced already use a weight that is set later.
        self._hint_weights = {hint.name: _setting(f"{hint.name}_weight") for hint in self.hints}
        for hint in self.hints:
            hint.weigh_in(self)

    @property
    def names(self):
        """The terms' names in the logs: label losses, then hints."""
        return list(self._nets)

    def follow_weight(self, hint):
        """Updates a hint's weight, if it is a number; the hint calls this when it is set."""
        if not callable(hint.weight):
            self._hint_weights[hint.name].assign(hint.weight)

    @property
    def has_parts(self):
        """Whether some terms move other variables than the rest."""
        return self.shared_layers_learn_from == "booster"

    def part_of(self, name):
        """The part of the objective that a term belongs to.

        Returns:
            `"both"` if all terms move all variables that they reach; otherwise the net that the
            term belongs to, `"light"` or `"booster"`. A hint belongs to the net that follows.
        """
        return self._nets[name] if self.has_parts else "both"

    def terms(self, y, logits, sample_weight=None, hidden=None, step=0):
        """The terms on this replica's examples.

        Args:
            y: labels, the same for all nets; a dict by output if there are several.
            logits: dict from heads' names to logits, shape (batch, ..., classes). If a hint follows
                a teacher's logits, also from `"teacher"` to these, or to a dict of them by output.
            sample_weight: weights of the examples, shape (batch,), or of their positions, shape
                (batch, ...), in label losses and hints, as `batch.py` describes; a dict by output
                or by net if they differ; or `None`.
            hidden: dict from "light", "booster" and "teacher" to dicts from the names of the layers
                that hints read to their outputs.
            step: the optimizer's step, for weights that follow a schedule.

        Returns:
            Dict from `names` to `(weight, mean over the examples)`, scalars of Keras's floatx.

        Raises:
            ValueError: if labels are missing, or sample weights do not fit.
        """
        terms = self.label_terms(y, logits, sample_weight)
        for hint in self.hints:
            by_step = callable(hint.weight)
            weight = hint.weight(step) if by_step else self._hint_weights[hint.name]
            weight = tf.cast(weight, keras.config.floatx())
            compared = self._compared(hint, y, logits, hidden, sample_weight)
            terms[hint.name] = weight, sum(mean_of(hint.loss, *arguments) for arguments in compared)
        return terms

    def label_terms(self, y, logits, sample_weight=None):
        """The label losses of `terms`, for the heads with given logits."""
        terms = {}
        for name, loss in self.label_losses.items():
            if name not in logits:
                continue
            head = self.heads[name]
            weights = self._weights(sample_weight, head.net, head.output)
            label = label_of(head.output, y)
            value = mean_of(loss, label, logits[name], weights, labels_of=name)
            terms[f"{name}_loss"] = self.label_weights[name], value
        return terms

    def losses(self, terms):
        """The objective by parts: a dict from `part_of` the terms to sums of weight · value."""
        by_part = {}
        for name, (weight, value) in terms.items():
            by_part.setdefault(self.part_of(name), []).append(weight * value)
        return {part: sum_in_order(values) for part, values in by_part.items()}

    def record(self, terms, of_layers, logits, term_means, loss_mean):
        """Records the terms of a step, and their sum, for the logs.

        Args:
            terms: as `terms` gives them.
            of_layers: list of losses of layers, such as of regularizers.
            logits: the step's logits, by heads' names.
            term_means: dict from names to the `keras.metrics.Mean`s of the terms.
            loss_mean: that of the sum.

        Returns:
            `(losses, regularization)`: the result of `losses`, and the layers' losses, scalars.
        """
        examples = tf.shape(keras.tree.flatten(logits)[0])[0]
        losses = self.losses(terms)
        regularization = [tf.cast(tf.reduce_sum(x), keras.config.floatx()) for x in of_layers]
        for name, (_, value) in terms.items():
            term_means[name].update_state(value, sample_weight=examples)
        total = [*losses.values(), *regularization]
        # A light net without a label loss that is evaluated alone has no term.
        loss_mean.update_state(sum_in_order(total) if total else 0.0, sample_weight=examples)
        return losses, regularization

    def gradients(self, tape, losses, variables, shared=()):
        """The gradient of each variable by the losses that may move it.

        Args:
            tape: `tf.GradientTape` that recorded the losses; persistent if `has_parts`.
            losses: dict as `losses` gives it. Entries with other names, such as regularization,
                move all variables.
            variables: list of `tf.Variable`s or `keras.Variable`s.
            shared: those among them that both nets have, if `has_parts`.

        Returns:
            List with a gradient for each variable, or `None`.
        """
        if not self.has_parts:
            return tape.gradient(list(losses.values()), variables)
        shared_ids = {id(variable) for variable in shared}
        gradients = {id(variable): [] for variable in variables}
        for part, loss in losses.items():
            moved = [v for v in variables if part != "light" or id(v) not in shared_ids]
            for variable, gradient in zip(moved, tape.gradient(loss, moved), strict=True):
                if gradient is not None:
                    gradients[id(variable)].append(gradient)
        # A single gradient is not changed: those of embeddings are sparse.
        return [
            sum_in_order(summands) if len(summands) > 1 else next(iter(summands), None)
            for summands in gradients.values()
        ]

    def _weights(self, sample_weight, net, output):
        return weights_of(sample_weight, net, output, list(self._names[net]))

    def _compared(self, hint, y, logits, hidden, sample_weight):
        """What a hint compares: followed and follower's values, weights, a mask, labels."""
        compared = []
        for followed, follower, output in self._pairs(hint, logits, hidden):
            mask = getattr(followed, MASK, None)
            if self.gradient_block or hint.follows != "booster":
                followed = tf.stop_gradient(followed)
            weights = self._weights(sample_weight, hint.follower, output)
            labels = label_of(output, y) if takes(hint.loss, "labels") else None
            compared.append((followed, follower, weights, mask, labels))
        return compared

    def _pairs(self, hint, logits, hidden):
        """Triples of the followed value, the follower's value, and the output, if there is one."""
        if hint.layers is None:
            for output, name in self._names[hint.follower].items():
                if hint.follows == "teacher":
                    followed = label_of(output, logits["teacher"])
                else:
                    followed = logits[self._names[hint.follows][output]]
                yield followed, logits[name], output
            return
        for follower_layer, followed_layer in hint.layers.items():
            follower = hidden[hint.follower][follower_layer]
            if hint.projection:
                follower = self.projections[hint.name, follower_layer](follower)
            yield hidden[hint.follows][followed_layer], follower, None


def sum_in_order(values):
    """The sum of tensors of one shape, from the first to the last.

    `tf.add_n` adds three or more tensors in an order that depends on which of their buffers is free
    at that instant, and TensorFlow turns chains of `+` into one such sum. So the last bit would
    vary.

    Example:
        >>> float(sum_in_order([tf.constant(1e8), tf.constant(-1e8), tf.constant(1.0)]))
        1.0
    """
    return tf.reduce_sum(tf.stack(list(values)), axis=0)


def without(values, others):
    """The values that are not among others, by identity.

    Example:
        >>> one, two = [1], [1]
        >>> without([one, two], [two])[0] is one
        True
    """
    others = {id(other): other for other in others}  # kept, so that their ids stay valid
    return [value for value in values if id(value) not in others]


def sum_of_gradients(gradients, otherwise):
    """The sum of a tensor's gradients, from the first to the last, for deterministic training.

    A tensor that three or more operations read, such as the last one that two residual nets share,
    gets as many gradients. TensorFlow adds them with one `tf.add_n`, even under
    `tf.config.experimental.enable_op_determinism`.

    Args:
        gradients: list of tensors and `tf.IndexedSlices`.
        otherwise: function from such a list to the sum, used if the order does not matter: for two
            of them, slices, or values of another kind.

    Example:
        >>> gradients = [tf.constant(value) for value in (1e8, -1e8, 1.0)]
        >>> float(sum_of_gradients(gradients, tf.add_n))
        1.0
    """
    dense = all(
        isinstance(gradient, tf.Tensor) and gradient.dtype.is_floating for gradient in gradients
    )
    return sum_in_order(gradients) if dense and len(gradients) > 2 else otherwise(gradients)


def _setting(name):
    """A number that may be set between steps, on all replicas."""
    return keras.Variable(
        0.0,
        trainable=False,
        dtype=keras.config.floatx(),
        aggregation="only_first_replica",
        name=name,
    )


def check_routing(shared_layers_learn_from, booster):
    """Checks from which net shared layers learn.

    Raises:
        ValueError: if the value is unknown, or there is no booster to learn from.

    Example:
        >>> check_routing("booster", booster=None)
        Traceback (most recent call last):
        ValueError: Shared layers cannot learn from a missing booster. ...
    """
    if shared_layers_learn_from not in ("both", "booster"):
        raise ValueError(
            'shared_layers_learn_from is "both" or "booster". Received: '
            f"shared_layers_learn_from={shared_layers_learn_from!r}"
        )
    if shared_layers_learn_from == "booster" and booster is None:
        raise ValueError(
            "Shared layers cannot learn from a missing booster. Received: "
            "shared_layers_learn_from='booster', booster=None; pass a booster, or 'both'"
        )


def parts(light, booster, variables_of):
    """Variables by the net that has them.

    Args:
        light: the light net.
        booster: the booster, or `None`.
        variables_of: function from a net to its variables, such as its trainable ones.

    Returns:
        Dict from the `PARTS` to lists of `keras.Variable`s.

    Example:
        >>> import keras
        >>> inputs = keras.Input((5,))
        >>> low = keras.layers.Dense(4, activation="relu", name="low")(inputs)
        >>> light = keras.Model(inputs, keras.layers.Dense(3)(low), name="light")
        >>> high = keras.layers.Dense(8, activation="relu", name="high")(low)
        >>> booster = keras.Model(inputs, keras.layers.Dense(3)(high), name="booster")
        >>> by_part = parts(light, booster, lambda net: net.trainable_variables)
        >>> {part: len(variables) for part, variables in by_part.items()}
        {'shared': 2, 'light only': 2, 'booster only': 4}
    """
    lights = {id(variable): variable for variable in variables_of(light)}
    boosters = {}
    if booster is not None:
        boosters = {id(variable): variable for variable in variables_of(booster)}
    return {
        SHARED: [variable for key, variable in lights.items() if key in boosters],
        LIGHT_ONLY: [variable for key, variable in lights.items() if key not in boosters],
        BOOSTER_ONLY: [variable for key, variable in boosters.items() if key not in lights],
    }
