"""What a served light net can be asked: each way to ask is a signature.

A `Signature` is all that is known of one way to ask: the function that a SavedModel holds, the
request that stands for some examples, and the logits that the net itself gives for that request. A
further way is a further class here, and a line in `signatures_of`.
"""

import re

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.core import keras_internals
from rocket_tf.core.heads import by_output

DEFAULT, FLOAT, ENCODED = "serving_default", "serve_float", "serve_bytes"
CANDIDATES = "serve_candidates"


def input_names(net):
    """The names of a net's inputs in signatures: a letter, then letters, digits and underscores.

    Inputs that Keras has named, by numbers that differ from process to process, are called
    "inputs", or "inputs_0", "inputs_1" and so on where there are several.

    Args:
        net: functional `keras.Model`.

    Raises:
        ValueError: if two names become one.
    """
    several = len(net.inputs) > 1
    names = [
        (f"inputs_{index}" if several else "inputs")
        if re.fullmatch(r"keras_tensor(_\d+)?", tensor.name)
        else tensor.name
        for index, tensor in enumerate(net.inputs)
    ]
    names = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in names]
    names = [name if name[0].isalpha() else f"input_{name}" for name in names]
    if len(set(names)) < len(names):
        raise ValueError(
            f"The inputs need names that differ in letters or digits: they become {names} in a "
            f"signature. Received: {[tensor.name for tensor in net.inputs]}"
        )
    return names


def takes_pixels(net):
    """Whether a net takes raw pixels: all that reads its only input is a normalisation.

    Args:
        net: functional `keras.Model`.
    """
    if len(net.inputs) != 1 or len(net.inputs[0].shape) != 4:
        return False
    readers = [
        layer
        for layer in net.layers
        for node in keras_internals.calls_of(layer)
        if any(tensor is net.inputs[0] for tensor in node.input_tensors)
    ]
    return bool(readers) and all(
        isinstance(layer, keras.layers.Normalization | keras.layers.Rescaling) for layer in readers
    )


class Signature:
    """The net's inputs by their names, in one dtype.

    Attributes:
        name: the signature's name in the SavedModel.
        net: the functional `keras.Model` that is asked.
    """

    def __init__(self, name, net, dtype=None):
        """Makes the signature; `dtype` is that of its inputs, `None` the net's own."""
        self.name = name
        self.net = net
        self._dtype = dtype

    def trace(self, answer):
        """The function to save, with named inputs and outputs.

        Args:
            answer: concrete function from the net's inputs by name to all outputs.
        """
        own = _specifications(self.net)
        specifications = self._specifications()
        if specifications == own:
            return answer

        @tf.function(autograph=False)
        def serve(**tensors):
            return answer(**{name: tf.cast(tensors[name], own[name].dtype) for name in own})

        return serve.get_concrete_function(**specifications)

    def request(self, examples):
        """The request that asks for some examples.

        Args:
            examples: arrays in the order of the net's inputs.

        Returns:
            Dict from the names of the signature's inputs to arrays.
        """
        return {
            name: array.astype(specification.dtype.as_numpy_dtype)[: specification.shape[0]]
            for (name, specification), array in zip(
                self._specifications().items(), examples, strict=True
            )
        }

    def expected(self, examples):
        """The net's own logits for the request, by the names of the signature's outputs."""
        arrays = self._as_asked(examples)
        tensors = [
            tf.cast(tf.convert_to_tensor(array), tensor.dtype)
            for array, tensor in zip(arrays, self.net.inputs, strict=True)
        ]
        outputs = self.net(keras.tree.pack_sequence_as(self.net.input, tensors), training=False)
        return {
            "logits" if name is None else f"{name}_logits": logits
            for name, logits in by_output(outputs).items()
        }

    def _specifications(self):
        return _specifications(self.net, self._dtype)

    def _as_asked(self, examples):
        """The examples as the request holds them: in its dtype, and as many."""
        return list(self.request(examples).values())


class ImageFileSignature(Signature):
    """PNG or JPEG files, which are decoded and resized to the pixels that the net takes."""

    def __init__(self, net):
        super().__init__(ENCODED, net)
        (own_name,) = input_names(net)
        # Clients of the REST interface write {"b64": ...}; names that end so say what is meant.
        self._input_name = f"{own_name.removesuffix('s')}_bytes"

    def trace(self, answer):
        (images,), (own_name,) = self.net.inputs, input_names(self.net)
        name = self._input_name

        @tf.function(autograph=False)
        def serve(**tensors):
            pixels = decode_images(tensors[name], images.shape[1:])
            return answer(**{own_name: tf.cast(pixels, images.dtype)})

        return serve.get_concrete_function(
            **{name: tf.TensorSpec(images.shape[:1], tf.string, name=name)}
        )

    def request(self, examples):
        encoded = [tf.io.encode_png(image).numpy() for image in self._as_asked(examples)[0]]
        return {self._input_name: np.array(encoded, object)}

    def _as_asked(self, examples):
        return [array.astype(np.uint8) for array in examples]


class CandidateSignature(Signature):
    """Many candidates for one user: the user's inputs once, all others for each candidate."""

    def __init__(self, net, user_inputs):
        super().__init__(CANDIDATES, net)
        self._user_inputs = user_inputs

    def trace(self, answer):
        specifications = self._specifications()
        given_once = self._given_once()
        first_candidate = next(name for name in specifications if name not in given_once)

        @tf.function(autograph=False)
        def serve(**tensors):
            candidates = tf.shape(tensors[first_candidate])[0]
            for name in given_once:
                tensors[name] = tf.repeat(tensors[name], candidates, axis=0)
            return answer(**tensors)

        return serve.get_concrete_function(**specifications)

    def _specifications(self):
        specifications = super()._specifications()
        for name in self._given_once():
            shape = [1, *specifications[name].shape[1:]]
            specifications[name] = tf.TensorSpec(shape, specifications[name].dtype, name=name)
        return specifications

    def _given_once(self):
        names = dict(
            zip((tensor.name for tensor in self.net.inputs), input_names(self.net), strict=True)
        )
        return [names[name] for name in self._user_inputs]

    def _as_asked(self, examples):
        request = self.request(examples)
        given_once = self._given_once()
        return [
            np.repeat(array, len(example), axis=0) if name in given_once else array
            for (name, array), example in zip(request.items(), examples, strict=True)
        ]


def signatures_of(net, input_dtype=None, user_inputs=()):
    """The ways to ask a net.

    Args:
        net: functional `keras.Model`.
        input_dtype: dtype of the inputs of `serving_default`; `None`: uint8 for pixels, the net's
            own otherwise.
        user_inputs: names of the inputs that a signature for candidates takes once.

    Returns:
        List of `Signature`s; the first is `serving_default`.
    """
    if user_inputs:
        return [Signature(DEFAULT, net, input_dtype), CandidateSignature(net, user_inputs)]
    if not takes_pixels(net):
        return [Signature(DEFAULT, net, input_dtype)]
    signatures = [Signature(DEFAULT, net, input_dtype or "uint8"), Signature(FLOAT, net, "float32")]
    return [*signatures, ImageFileSignature(net)] if _takes_files(net) else signatures


def make_functions(signatures, infer, class_names=None, multi_label=False):
    """The functions of some signatures, which a SavedModel holds.

    Args:
        signatures: list of `Signature`s of one net.
        infer: function from the net's inputs to its outputs; the net itself, or one that computes
            the same.
        class_names: names of the classes, in their order, or `None`.
        multi_label: whether each of several logits is a yes or no of its own.

    Returns:
        Dict from names to concrete functions with named inputs and outputs, as `export_light`
        describes them.
    """
    answer = _answer_function(signatures[0].net, infer, class_names, multi_label)
    return {signature.name: signature.trace(answer) for signature in signatures}


def decode_images(encoded, shape):
    """Images from PNG or JPEG files, resized where they have another size.

    Args:
        encoded: string tensor, shape (batch,).
        shape: (height, width, channels) to give; colours become grey, or grey colours, as the
            decoder does it. Images are resized, bilinear with antialiasing, until they cover the
            shape, and the middle is taken, as `data.images.files` does it for training.

    Returns:
        float32 tensor, 0 to 255, shape (batch, *shape).
    """
    height, width, channels = shape

    def decode_image(content):
        image = tf.io.decode_image(content, channels=channels, expand_animations=False)
        # The identity on images that have the size.
        sides = tf.cast(tf.shape(image)[:2], tf.float64)
        scale = tf.reduce_max(tf.constant([height, width], tf.float64) / sides)
        covering = tf.cast(tf.round(sides * scale), tf.int32)
        image = tf.image.resize(image, covering, antialias=True)
        first = (covering - [height, width]) // 2
        image = image[first[0] : first[0] + height, first[1] : first[1] + width]
        return tf.ensure_shape(image, shape)

    return tf.map_fn(decode_image, encoded, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def _answer_function(net, infer, class_names, multi_label):
    """From the net's inputs by name to all outputs; one function, whatever calls it."""
    names = input_names(net)
    class_table = None if class_names is None else tf.constant(list(class_names))

    @tf.function(autograph=False)
    def answer(**tensors):
        # A session takes any shape for a placeholder, and convolutions may make do with it.
        checked = [
            tf.ensure_shape(tensors[name], tensor.shape)
            for name, tensor in zip(names, net.inputs, strict=True)
        ]
        logits = infer(keras.tree.pack_sequence_as(net.input, checked))
        answers = {}
        for name, own in by_output(logits).items():
            prefix = "" if name is None else f"{name}_"
            outputs = _read_logits(tf.cast(own, tf.float32), multi_label, class_table)
            answers |= {f"{prefix}{what}": value for what, value in outputs.items()}
        return answers

    return answer.get_concrete_function(**_specifications(net))


def _read_logits(logits, multi_label, class_table):
    """What one output of a net says: logits, probabilities, classes and, if known, their names."""
    outputs = {"logits": logits}
    if multi_label:
        outputs["probabilities"] = tf.sigmoid(logits)
        outputs["classes"] = tf.cast(logits > 0, tf.int64)
        return outputs
    if logits.shape[-1] == 1:
        outputs["probabilities"] = tf.sigmoid(logits)
        outputs["classes"] = tf.cast(logits[..., 0] > 0, tf.int64)
    else:
        outputs["probabilities"] = tf.nn.softmax(logits)
        outputs["classes"] = tf.argmax(logits, axis=-1)
    if class_table is not None:
        outputs["class_names"] = tf.gather(class_table, outputs["classes"])
    return outputs


def _specifications(net, dtype=None):
    return {
        name: tf.TensorSpec(tensor.shape, dtype or tensor.dtype, name=name)
        for name, tensor in zip(input_names(net), net.inputs, strict=True)
    }


def _takes_files(net):
    """Whether image files can be made what a net on pixels takes."""
    *size, channels = net.inputs[0].shape[1:]
    return None not in size and channels in (1, 3)
