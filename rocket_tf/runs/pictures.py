"""The pictures in a run's folder: learning curves, gradient flow, attention maps."""

import keras

from rocket_tf.analysis.gradient_flow import attention_maps, gradient_flow
from rocket_tf.networks import group_outputs
from rocket_tf.reporting import pictures

_IMAGES_SHOWN = 8
# However large the batches of the run, whose gradients several devices may have shared.
_EXAMPLES_OF_FLOW = 128


def draw(model, data, folder, num_classes=None):
    """Draws a run's pictures into its folder: attention maps of wide residual nets alone.

    Args:
        model: the trained model.
        data: the run's `rocket_tf.data.DataSet`.
        folder: the run's `RunFolder`, with its metrics.
        num_classes: classes of one-hot labels; `None`: labels are integers.
    """
    curves = pictures.learning_curves({folder.path.name: folder.read_metrics()})
    pictures.save(curves, folder.pictures / "learning_curves.png")
    flow = flow_of(model, data, num_classes)
    if flow is None:
        return
    pictures.save(pictures.gradient_flow(flow), folder.pictures / "gradient_flow.png")

    other = {"booster": model.booster} if model.booster is not None else {"teacher": model.teacher}
    if not group_outputs(model.light):
        return
    images, _ = data.test.first(_IMAGES_SHOWN)
    maps = {
        name: attention_maps(net, images, group_outputs(net))
        for name, net in ({"light": model.light} | other).items()
    }
    pictures.save(pictures.attention_maps(images, maps), folder.pictures / "attention_maps.png")


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
    return gradient_flow(model, inputs, labels)
