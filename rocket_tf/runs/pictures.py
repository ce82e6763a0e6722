"""The pictures in a run's folder: learning curves, reliability, gradient flow, attention maps."""

import keras

from rocket_tf.analysis.gradient_flow import attention_maps, gradient_flow
from rocket_tf.config import trained_net
from rocket_tf.core.batch import label_of
from rocket_tf.data.interface import by_name
from rocket_tf.metrics.calibration import CalibrationError
from rocket_tf.networks import group_outputs
from rocket_tf.reporting import pictures
from rocket_tf.runs.fitting import predictor, weight_column

_IMAGES_SHOWN = 8
# Independent of the run's batch size, since several devices may have shared its batches.
_EXAMPLES_OF_FLOW = 128
# At most so many batches are read: enough for a smooth curve of 20 bins.
_BATCHES_OF_RELIABILITY, _BATCH = 128, 4096


def draw(model, data, folder, num_classes=None):
    """Draws a run's pictures into its folder; attention maps only for wide residual nets.

    Reliability is drawn only for clicks, on the test examples, or on the validation examples if the
    test examples stay closed.

    Args:
        model: the trained model.
        data: the run's `rocket_tf.data.DataSet`.
        folder: the run's `RunFolder`, with its metrics.
        num_classes: classes of one-hot labels; `None`: labels are integers.
    """
    curves = pictures.learning_curves({folder.path.name: folder.read_metrics()})
    pictures.save(curves, folder.pictures / "learning_curves.png")
    if data.card.kind == "clicks":
        config = folder.read_config()
        kind = "test" if config["evaluate_test"] else "validation"
        split = getattr(data, kind)
        bins = reliability_of(model, split, data.card, trained_net(config))
        number = min(split.examples, _BATCHES_OF_RELIABILITY * _BATCH)
        figure = pictures.reliability(bins, f"{number} {kind} examples")
        pictures.save(figure, folder.pictures / "reliability.png")
    flow = flow_of(model, data, num_classes)
    if flow is None:
        return
    pictures.save(pictures.gradient_flow(flow), folder.pictures / "gradient_flow.png")

    other_net = (
        {"booster": model.booster} if model.booster is not None else {"teacher": model.teacher}
    )
    if not group_outputs(model.light):
        return
    images, _ = data.test.first(_IMAGES_SHOWN)
    maps = {
        name: attention_maps(net, images, group_outputs(net))
        for name, net in ({"light": model.light} | other_net).items()
    }
    pictures.save(pictures.attention_maps(images, maps), folder.pictures / "attention_maps.png")


def reliability_of(model, split, card, net="light"):
    """Predicted and observed clicks by bins of the predicted probability.

    Args:
        model: the trained model.
        split: the examples, a `rocket_tf.data.Split`; if there are many, only the first are used.
        card: card of their data, a `rocket_tf.data.DatasetCard`.
        net: the name of the model's light net: "light" or "booster".

    Returns:
        Dict for `reporting.pictures.reliability`.
    """
    predict, metrics = predictor(model), {}
    batches = split.evaluation_batches(
        _BATCH, weight_column=weight_column(card), label_names=card.outputs
    )
    for inputs, labels, *weights in batches.take(_BATCHES_OF_RELIABILITY):
        for name, logits in predict(inputs).items():
            metric = metrics.setdefault(name, CalibrationError())
            metric.update_state(label_of(model.heads[name].output, labels), logits, *weights)
    bins = {label: {} for label in card.outputs or [""]}
    for name, metric in metrics.items():
        head, sums = model.heads[name], metric.sums()
        if sums is not None:
            bins[head.output or ""][net if head.net == "light" else head.net] = sums
    return bins


def flow_of(model, data, num_classes=None):
    """The gradient flow of a model's hints on some training examples; `None` without hints.

    Args:
        model: the trained model.
        data: the run's `rocket_tf.data.DataSet`.
        num_classes: classes of one-hot labels; `None`: labels are integers.
    """
    if not model.hints:
        return None
    inputs, labels = data.train.first(_EXAMPLES_OF_FLOW)
    if num_classes is not None:
        labels = keras.utils.to_categorical(labels, num_classes)
    labels = by_name(labels, data.card.outputs)
    return gradient_flow(model, inputs, labels)
