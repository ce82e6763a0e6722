"""What an export returns for each output of a net, by its task: classes, or only values."""

import keras
import tensorflow as tf

from rocket_tf.core.heads import by_output
from rocket_tf.core.label_losses import is_multi_label

CLASSIFICATION, MULTI_LABEL, REGRESSION = "classification", "multi_label", "regression"
TASKS = CLASSIFICATION, MULTI_LABEL, REGRESSION
_LOSSES_OF_CLASSES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.Hinge,
    keras.losses.SquaredHinge,
    keras.losses.CategoricalHinge,
    keras.losses.CTC,
)
_LOSSES_OF_VALUES = (
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.Poisson,
    keras.losses.CosineSimilarity,
    keras.losses.Circle,
)
# Keras's losses that are functions, by name.
_FUNCTIONS_OF_CLASSES = ("hinge", "squared_hinge", "categorical_hinge", "ctc")
_FUNCTIONS_OF_VALUES = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "poisson",
    "cosine_similarity",
)


def tasks_of(model, task=None, multi_label=None, named=False):
    """The task of each output of a model's light net.

    Args:
        model: a `RocketModel`, or a functional `keras.Model`.
        task: one of `TASKS` for all outputs, or a dict of them by output. If it is `None`, or an
            output is left out, the label loss of a compiled `RocketModel` decides; for other
            models, it is classification.
        multi_label: whether classes are multi-label; `None`: the label loss decides.
        named: whether classes have names; if so, there are classes.

    Returns:
        Dict from outputs' names, `None` for the only one, to tasks.

    Raises:
        ValueError: if a task or an output is unknown, if arguments contradict each other, or if the
            user's own label loss does not imply a task.
    """
    outputs = by_output(getattr(model, "light", model).output)
    requested = task if isinstance(task, dict) else dict.fromkeys(outputs, task)
    if not set(requested) <= set(outputs) or not set(requested.values()) <= {None, *TASKS}:
        of_outputs = "" if None in outputs else f", or a dict of them by output of {list(outputs)}"
        raise ValueError(f"task must be one of {TASKS}{of_outputs}. Received: task={task!r}")
    tasks = {}
    for output, logits in outputs.items():
        output_task = requested.get(output) or _implied_by_loss(model, output, logits)
        if output_task is None and (named or multi_label is not None):
            output_task = CLASSIFICATION
        if output_task is None:
            raise ValueError(
                f"The label loss {_label_loss(model, output).name!r} of the light net does not "
                f"say what {'the output' if output is None else f'output {output!r}'} means; "
                "pass task='classification', 'multi_label' or 'regression' to export_light"
            )
        if output_task == REGRESSION and multi_label:
            raise ValueError(
                "multi_label is for classes. Received: multi_label=True for "
                f"{'a regression' if output is None else f'output {output!r}, a regression'}"
            )
        if output_task != REGRESSION and multi_label is not None and requested.get(output) is None:
            output_task = MULTI_LABEL if multi_label else CLASSIFICATION
        tasks[output] = output_task
    return tasks


def _label_loss(model, output):
    """The label loss of the light net's output, else the booster's, else `None`."""
    losses = model.objective.label_losses if getattr(model, "objective", None) else {}
    by_net = {
        model.heads[head].net: loss
        for head, loss in losses.items()
        if model.heads[head].output == output
    }
    return by_net.get("light", by_net.get("booster"))


def _implied_by_loss(model, output, logits):
    """The task of a label loss; `None` for the user's own loss."""
    loss = _label_loss(model, output)
    if loss is None:
        return CLASSIFICATION
    if is_multi_label(logits, loss):
        return MULTI_LABEL
    if isinstance(loss, _LOSSES_OF_CLASSES) or loss.name in _FUNCTIONS_OF_CLASSES:
        return CLASSIFICATION
    if isinstance(loss, _LOSSES_OF_VALUES) or loss.name in _FUNCTIONS_OF_VALUES:
        return REGRESSION
    return None


def own_name(output, task):
    """The name of the net's own output in an export: logits, or predictions.

    Args:
        output: the output's name, `None` for the only one.
        task: its task.
    """
    return _prefix(output) + ("predictions" if task == REGRESSION else "logits")


def read(outputs, tasks, class_table=None):
    """The answers that an export returns for a net's outputs.

    Args:
        outputs: the net's outputs, a tensor or a dict of tensors.
        tasks: the result of `tasks_of`.
        class_table: string tensor with the names of the classes, or `None`.

    Returns:
        Dict from names to tensors, as `export_light` describes them.
    """
    answers = {}
    for output, values in by_output(outputs).items():
        task = tasks[output]
        values = tf.cast(values, tf.float32)
        answers[own_name(output, task)] = values
        if task != REGRESSION:
            classes = _classes(values, task, class_table)
            answers |= {f"{_prefix(output)}{name}": value for name, value in classes.items()}
    return answers


def _prefix(output):
    return "" if output is None else f"{output}_"


def _classes(logits, task, class_table):
    """Probabilities, classes and, if known, their names."""
    if task == MULTI_LABEL:
        return {"probabilities": tf.sigmoid(logits), "classes": tf.cast(logits > 0, tf.int64)}
    if logits.shape.rank == 1 or logits.shape[-1] == 1:
        single = logits if logits.shape.rank == 1 else logits[..., 0]
        answers = {
            "probabilities": tf.sigmoid(logits),
            "classes": tf.cast(single > 0, tf.int64),
        }
    else:
        answers = {
            "probabilities": tf.nn.softmax(logits),
            "classes": tf.argmax(logits, axis=-1),
        }
    if class_table is not None:
        answers["class_names"] = tf.gather(class_table, answers["classes"])
    return answers
