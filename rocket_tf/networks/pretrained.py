"""Nets that start from trained weights: of keras.applications, of files, of KerasHub's presets.

Each becomes a `Start`: a plain functional model from raw pixels to features, with its preprocessing
inside and without its classifier. Its layers are always built from a description in JSON, so a run
can build its nets again without the file or a network connection.
"""

import dataclasses
import json

import h5py
import keras
import numpy as np
from keras import layers

from rocket_tf.core import graph, keras_internals
from rocket_tf.core.calls import Calls, calls_of_graph
from rocket_tf.networks.backbone_names import preprocessing_of
from rocket_tf.networks.weight_sources import IMAGENET, INSTALL_HUB, kind_of, preset_of, ways_out

# Layers without weights that may follow a classifier: they leave its classes in their order.
_AFTER_CLASSIFIER = (layers.Activation, layers.Softmax, layers.Flatten, layers.Reshape)
# Layers that may come before a classifier; the new classifier has its own.
_BEFORE_CLASSIFIER = (layers.Dropout, layers.GlobalAveragePooling2D)


@keras.saving.register_keras_serializable(package="rocket_tf")
class ImageNetPreprocessing(layers.Layer):
    """Scales pixels from 0 to 255 like `keras.applications.imagenet_utils.preprocess_input`.

    Args:
        mode: "tf", "caffe" or "torch".
        **kwargs: as for every layer.

    Example:
        >>> import numpy as np
        >>> ImageNetPreprocessing("tf")(np.full((1, 1, 1, 3), 255.0)).numpy().ravel()
        array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, mode, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, pixels):
        return keras.applications.imagenet_utils.preprocess_input(
            pixels, data_format="channels_last", mode=self.mode
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


@dataclasses.dataclass(frozen=True)
class Start:
    """The start of a net.

    Attributes:
        description: the description from which its layers are built, also later; fit for JSON.
        values: dict from the layers' names to their weights, lists of arrays; `None`: random ones.
        classifier: `[kernel, bias]` of the classifier that came with it, arrays, or `None`.
    """

    description: dict
    values: dict | None = None
    classifier: list | None = None


def load(weights, backbone, input_shape, preprocessing=""):
    """A net with trained weights.

    Args:
        weights: "imagenet", the path of a `.keras` or `.weights.h5` file, or "hub/<preset>".
        backbone: for "imagenet" and `.weights.h5`, a name in keras.applications; else empty.
        input_shape: (height, width, channels) of the images.
        preprocessing: "tf", "caffe", "torch" or "none": how pixels are scaled first. Empty: as the
            application or the preset does, and not at all for a `.keras` file.

    Returns:
        `Start`.

    Raises:
        ValueError: if there are no such weights, or they do not fit; the message names the layer.

    Example:
        >>> net = keras.applications.MobileNet(
        ...     weights=None, input_shape=(32, 32, 3), alpha=0.25, classes=5
        ... )
        >>> net.save("five_classes.keras")
        >>> start = load("five_classes.keras", "", (32, 32, 3))
        >>> features_of(start).output.shape, [array.shape for array in start.classifier]
        ((None, 1, 1, 256), [(256, 5), (5,)])
    """
    kind = kind_of(weights)
    first = []
    if kind == "keras":
        net = _load_file(weights)
    elif kind == "hub":
        net, first = _load_preset(preset_of(weights))
    else:
        net = _load_application(weights, backbone, input_shape)
        preprocessing = preprocessing or preprocessing_of(backbone)
    if preprocessing in ("tf", "caffe", "torch"):
        # In float32 under every policy: bfloat16 would blur the pixels.
        first = [ImageNetPreprocessing(preprocessing, dtype="float32", name="preprocessing")]
    elif preprocessing == "none":
        first = []
    images, outputs = _repeat(net, input_shape, first)
    outputs, classifier = _without_classifier(keras.Model(images, outputs))
    features = keras.Model(images, outputs, name="features")
    return Start(
        {
            "features": json.loads(features.to_json()),
            "sees_pixels": _before_first_weights(features),
            "classes": None if classifier is None else len(classifier[1]),
        },
        {layer.name: layer.get_weights() for layer in features.layers if layer.weights},
        classifier,
    )


def features_of(start):
    """The net of a `Start` up to its classifier.

    Its layers have the current dtype policy, except those before the first with weights, which read
    pixels. All layers are trainable, even if they were frozen in the file.

    Returns:
        Functional `keras.Model` from pixels, 0 to 255, of shape (batch, height, width, channels),
        to features of shape (batch, ..., channels).

    Raises:
        ValueError: if it has layers of KerasHub, which is not installed.
    """
    description = json.dumps(start.description["features"])
    _import_layers(description)
    config = json.loads(description)
    for layer in config["config"]["layers"]:
        # Operations of keras.ops have none.
        if "dtype" in layer["config"] and layer["name"] not in start.description["sees_pixels"]:
            layer["config"]["dtype"] = keras.config.dtype_policy().name
    features = keras.models.model_from_json(json.dumps(config))
    for layer in features.layers:
        layer.trainable = True
        if start.values is not None and layer.weights:
            layer.set_weights(start.values[layer.name])
    return features


def classify(role, start, num_classes, dropout=0.0):
    """A net with a new classifier: logits of shape (batch, num_classes), dtype float32.

    If the net came with a classifier for as many classes, its weights are kept.

    Args:
        role: the net's name.
        start: its `Start`.
        num_classes: number of logits.
        dropout: fraction of the pooled features that is dropped in training.

    Returns:
        Functional `keras.Model` on raw pixels, whose last layer is the classifier.
    """
    net = features_of(start)
    features = net.output
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name=f"{role}_pool")(features)
    if dropout:
        features = layers.Dropout(dropout, name=f"{role}_dropout")(features)
    head = layers.Dense(num_classes, dtype="float32", name=f"{role}_logits")
    net = keras.Model(net.input, head(features), name=role)
    if start.classifier is not None and start.description["classes"] == num_classes:
        head.set_weights(start.classifier)
    return net


def trained_layers(start, net):
    """The layers of a net of `classify` that do not start at random, a list.

    Args:
        start: its `Start`.
        net: the net.
    """
    names = {layer["config"]["name"] for layer in start.description["features"]["config"]["layers"]}
    trained = [layer for layer in net.layers if layer.name in names]
    keeps_classifier = start.description["classes"] == net.output.shape[-1]
    return trained + net.layers[-1:] if keeps_classifier else trained


def _load_file(path):
    from rocket_tf.networks import normalization, wide_resnet  # noqa: F401 - layers in their files

    try:
        net = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds
        raise ValueError(f"Keras cannot load it ({_one_line(error)})") from error
    return _checked(net)


def _load_preset(preset):
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(f"needs keras_hub: {INSTALL_HUB}") from error
    try:
        net = keras_hub.models.Backbone.from_preset(preset)
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except Exception as error:  # as above, and network errors
        raise ValueError(
            f"KerasHub cannot load it ({_one_line(error)}); name a preset that it has, or a local "
            "folder that save_to_preset of a backbone and of its image converter wrote"
        ) from error
    # Images are resized already.
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    first = layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")
    return _checked(net), [first]


def _load_application(weights, backbone, input_shape):
    make = getattr(keras.applications, backbone)
    keras_weights = IMAGENET if weights == IMAGENET else None
    try:
        images = keras.Input(input_shape, name="images")
        net = make(include_top=False, weights=keras_weights, input_tensor=images)
    except Exception as error:  # also network errors
        if keras_weights is None:
            raise ValueError(_one_line(error)) from error
        raise ValueError(
            f"Keras cannot load {backbone} with its weights of ImageNet ({_one_line(error)}); "
            + ways_out(backbone)
        ) from error
    if keras_weights is None:
        _read_weights(weights, net)
    return net


def _read_weights(path, net):
    """Loads weights from a `.weights.h5` file into a net's layers, by their names."""
    saved = {}
    try:
        with h5py.File(path) as file:
            file.visititems(lambda _, group: _note_layer(group, saved))
    except OSError as error:
        raise ValueError(f"it cannot be read ({_one_line(error)})") from error
    if not saved:
        raise ValueError(
            "it has no names of layers, expected what save_weights of a Keras model writes today; "
            "save the model as a .keras file instead"
        )
    for layer in graph.leaf_layers(net):
        if not layer.weights:
            continue
        arrays = saved.get(layer.name)
        if arrays is None:
            raise ValueError(
                f"it has no layer {layer.name!r}, which {net.name} has; is it another net's?"
            )
        expected = [tuple(weight.shape) for weight in layer.weights]
        if [array.shape for array in arrays] != expected:
            raise ValueError(
                f"its layer {layer.name!r} has weights of shapes "
                f"{[array.shape for array in arrays]}, expected {expected}"
            )
        layer.set_weights(arrays)


def _note_layer(group, saved):
    """Records a layer's weights in a file under its name, if a group has both."""
    if isinstance(group, h5py.Group) and "name" in group.attrs and len(group):
        arrays = [group[str(index)] for index in range(len(group)) if str(index) in group]
        saved[group.attrs["name"]] = [np.array(array) for array in arrays]


def _checked(net):
    """A loaded net as a functional model with one image as input and one output."""
    net = graph.as_functional("it", net)
    if len(net.inputs) != 1 or len(net.inputs[0].shape) != 4:
        shapes = [tuple(tensor.shape) for tensor in net.inputs]
        raise ValueError(f"it takes inputs of shapes {shapes}, expected one, of images")
    if keras.tree.is_nested(net.output):
        raise ValueError(
            f"it gives {len(net.outputs)} outputs, expected one; for a rocket, save rocket.light or"
            " rocket.booster"
        )
    return net


def _repeat(net, input_shape, first):
    """Repeats a net's calls on images of a shape, with nested models unpacked and layers before."""
    images = pixels = keras.Input(input_shape, name="images")
    for layer in first:
        pixels = layer(pixels)
    nested = [
        model
        for model in keras_internals.all_layers(net)
        if isinstance(model, keras.Model) and model is not net and getattr(model, "inputs", None)
    ]
    try:
        [outputs] = Calls().repeat("net", net, [pixels], nested)
        keras.Model(images, outputs)
    except Exception as error:  # from a layer that does not take such images
        raise ValueError(
            f"it does not take images of shape {tuple(input_shape)} ({_one_line(error)})"
        ) from error
    return images, outputs


def _without_classifier(net):
    """The features that a net's classifier reads, and its kernel and bias, or `None`."""
    makers = {id(output): call for call in calls_of_graph(net) for output in call.outputs}
    features = net.output

    def passed(kinds):
        nonlocal features
        while id(features) in makers and isinstance(makers[id(features)].operation, kinds):
            features = makers[id(features)].input_tensors[0]

    if len(features.shape) == 4:
        return features, None
    passed(_AFTER_CLASSIFIER)
    if id(features) not in makers:
        raise ValueError("it has no layers with weights, expected a net that was trained")
    call, classifier = makers[id(features)], None
    if isinstance(call.operation, layers.Dense) or _is_pointwise(call.operation):
        classifier = _kernel_and_bias(call.operation)
        features = call.input_tensors[0]
    elif len(net.output.shape) != 2:
        raise ValueError(
            f"it ends in layer {call.operation.name!r} with output {tuple(net.output.shape)}, "
            "expected a Dense layer, or features of an image"
        )
    unpooled = features
    passed(_BEFORE_CLASSIFIER)
    # An average over the image is left to the new classifier; a dropout alone stays.
    return (features if len(features.shape) == 4 else unpooled), classifier


def _is_pointwise(operation):
    return isinstance(operation, layers.Conv2D) and tuple(operation.kernel_size) == (1, 1)


def _kernel_and_bias(layer):
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    kernel = kernel.reshape(kernel.shape[-2:])
    bias = np.zeros(kernel.shape[-1]) if layer.bias is None else layer.bias
    return [kernel, keras.ops.convert_to_numpy(bias)]


def _before_first_weights(features):
    """The names of the layers that read pixels, which bfloat16 would blur."""
    names = []
    for layer in features.layers:
        if layer.trainable_weights:
            break
        names.append(layer.name)
    return names


def _import_layers(description):
    """Imports the modules that register the layers of a description."""
    from rocket_tf.networks import normalization, wide_resnet  # noqa: F401

    if "keras_hub" in description:
        try:
            import keras_hub  # noqa: F401
        except ImportError as error:
            raise ValueError(f"the net has layers of keras_hub: {INSTALL_HUB}") from error


def _one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} …"
