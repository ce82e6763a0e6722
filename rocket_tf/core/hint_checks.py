"""Whether hints fit the nets that they compare, and the labels that losses take."""

from rocket_tf.core import graph
from rocket_tf.core.batch import takes
from rocket_tf.core.heads import by_output, heads_of
from rocket_tf.core.label_losses import is_binary, is_of_one_class

# The nets, in messages.
NET = {"light": "the light net", "booster": "the booster", "teacher": "the teacher"}


def compares(loss):
    """What a loss compares; `None` for a loss of the user's that does not say.

    Example:
        >>> from rocket_tf.core.hint_losses import AttentionMSE
        >>> compares(AttentionMSE())
        'maps'
    """
    return getattr(loss, "compares", None)


def check_hints(hints, light, booster, teacher):
    """Checks that each hint has a unique name and a net to follow.

    Raises:
        ValueError: if one has not, if a loss is not defined for so few classes, or if the teacher
            does not fit the other nets.

    Example:
        >>> import keras
        >>> from rocket_tf import Hint
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> check_hints([Hint("kd")], light, booster=None, teacher=None)
        Traceback (most recent call last):
        ValueError: A hint follows the booster, and there is none. ...
    """
    names = [hint.name for hint in hints]
    heads = heads_of({"light": light.output, "booster": light.output})
    reserved = {"loss", *(f"{head}_loss" for head in heads)}
    if len(set(names)) < len(names) or reserved & set(names):
        raise ValueError(
            f"Hints must have different names, none of {sorted(reserved)}: they are the names in "
            f"the logs. Received: {names}; name them, as in Hint(..., name='low_hint_loss')"
        )
    followed = {hint.follows for hint in hints}
    for role, net in (("booster", booster), ("teacher", teacher)):
        if role in followed and net is None:
            raise ValueError(
                f"A hint follows the {role}, and there is none. Received: {role}=None; pass one, "
                "or hint=None"
            )
    if "light" in followed and booster is None:
        raise ValueError(
            "In a hint with follows='light', the booster follows the light net, and there is no "
            "booster. Received: booster=None; pass one, or leave the hint out"
        )
    for hint in hints:
        if hint.layers is None:
            for output in by_output(light.output).values():
                _check_classes(hint, "logits", output.shape)
    if teacher is None:
        return
    if "teacher" not in followed:
        raise ValueError("A teacher was given and no hint follows it; pass Hint(follows='teacher')")
    graph.check_pair(light, teacher, "teacher")
    for role, net in (("light", light), ("booster", booster)):
        if net is not None and graph.common_layers(net, teacher):
            raise ValueError(
                f"teacher and {role} share layers, and a teacher is frozen. Received common "
                f"layers: {[layer.name for layer in graph.common_layers(net, teacher)]}; give the "
                "teacher layers of its own (keras.models.clone_model, then set_weights)"
            )


def check_hidden(hints, outputs):
    """Checks that the layers paired by hints can be compared.

    Args:
        hints: list of `Hint`s.
        outputs: dict from "light", "booster" and "teacher" to dicts from layers' names to outputs.

    Raises:
        ValueError: if the shapes of two layers do not fit the loss between them.

    Example:
        >>> import keras
        >>> from rocket_tf import Hint
        >>> outputs = {"light": {"low": keras.Input((4,))}, "booster": {"high": keras.Input((8,))}}
        >>> check_hidden([Hint("cosine", layers={"low": "high"}, projection=True)], outputs)
        >>> check_hidden([Hint("cosine", layers={"low": "high"})], outputs)
        Traceback (most recent call last):
        ValueError: cosine cannot compare the light net's layer 'low' with the booster's 'high': ...
    """
    for hint in hints:
        for follower_layer, followed_layer in (hint.layers or {}).items():
            shapes = (
                outputs[hint.follower][follower_layer].shape,
                outputs[hint.follows][followed_layer].shape,
            )
            kind = compares(hint.loss)
            compared = shapes
            if kind == "maps" or hint.projection:
                # Maps are over positions: channels are averaged, or changed by projections.
                compared = [shape[:-1] for shape in shapes]
            minimum_rank = 3 if kind == "maps" else 2
            fits = kind is None or _may_be_equal(*compared)
            if not fits or min(map(len, shapes)) < minimum_rank:
                raise ValueError(
                    f"{hint.loss.name} cannot compare {NET[hint.follower]}'s layer "
                    f"{follower_layer!r} with {NET[hint.follows]}'s {followed_layer!r}: shapes "
                    f"{shapes[0]} and {shapes[1]}; pair layers of one shape (for attention, of one "
                    "height and width), or of other widths with Hint(..., projection=True)"
                )
            _check_classes(hint, f"{NET[hint.follows]}'s layer {followed_layer!r}", shapes[1])


def check_label_losses(hints, heads, label_losses):
    """Checks that hints on logits fit the labels, as far as the label losses describe them.

    Args:
        hints: list of `Hint`s.
        heads: dict from names to `Head`s.
        label_losses: dict from heads' names to losses, as `label_losses_by_head` gives it.

    Raises:
        ValueError: if a hint that compares classes meets multi-label logits, or if a hint that
            reads the class of each label meets label losses without one.

    Example:
        >>> import keras
        >>> from rocket_tf import Hint
        >>> heads = heads_of({"light": 0, "booster": 0})
        >>> binary = keras.losses.BinaryCrossentropy(from_logits=True)
        >>> check_label_losses([Hint("dist")], heads, {"light": binary})
        Traceback (most recent call last):
        ValueError: 'dist' compares softmaxes over classes, ...
    """
    for hint in hints:
        if hint.layers is not None or _least_classes(hint.loss) < 3:
            continue
        for output in dict.fromkeys(head.output for head in heads.values()):
            losses = {
                name: loss for name, loss in label_losses.items() if heads[name].output == output
            }
            for name, loss in losses.items():
                if is_binary(loss):
                    raise ValueError(
                        f"{hint.loss.name!r} compares softmaxes over classes, but under the label "
                        f"loss of {name}, {loss.name}, each logit is a separate yes or no. "
                        "Take 'sigmoid_kd' or 'logits_mse'"
                    )
            if takes(hint.loss, "labels") and not (
                losses and all(is_of_one_class(loss) for loss in losses.values())
            ):
                received = {name: loss.name for name, loss in losses.items()}
                raise ValueError(
                    f"{hint.loss.name!r} reads the class of each label, so its nets must train on "
                    "keras.losses.SparseCategoricalCrossentropy, without ignore_class, or "
                    f"CategoricalCrossentropy. Received: label losses {received}"
                    f"{'' if output is None else f' of the output {output!r}'}; take another "
                    "hint, such as 'kd'"
                )


def _check_classes(hint, what, shape):
    """Checks that there are as many classes as a loss needs, if their number is known."""
    minimum = _least_classes(hint.loss)
    if shape[-1] is not None and shape[-1] < minimum:
        standardized = " with standardize=True" if hint.loss.name == "kd" else ""
        raise ValueError(
            f"{hint.loss.name!r}{standardized} needs {minimum} classes or more: with fewer, "
            f"nothing is left to compare but which one is more likely. Received: {what} of shape "
            f"{shape}; take another hint, such as 'logits_mse' or 'kd'"
        )


def _least_classes(loss):
    return getattr(loss, "least_classes", 1)


def _may_be_equal(first, second):
    """Whether two shapes are equal, as far as their sizes are known."""
    return len(first) == len(second) and all(
        None in (one, other) or one == other for one, other in zip(first, second, strict=True)
    )
