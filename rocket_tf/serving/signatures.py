"""The signatures of a served light net: the kinds of requests that it answers.

A `Signature` holds the function that is saved in a SavedModel, the request for given examples, and
the logits that the net itself gives for that request. To add a signature, add a class here and a
line in `signatures_of`.
"""

import re

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.core import keras_internals
from rocket_tf.core.heads import by_output
from rocket_tf.serving import answers, example_messages
from rocket_tf.serving.image_decoding import decode_images
from rocket_tf.system.argument_names import argument_names

DEFAULT, FLOAT, ENCODED = "serving_default", "serve_float", "serve_bytes"
CANDIDATES, EXAMPLES = "serve_candidates", "serve_examples"


def input_names(net):
    """The names of a net's inputs in signatures, in the order of the inputs.

    They are the net's own if TensorFlow accepts them (`argument_names`). Keras names inputs by
    numbers that differ from process to process; such inputs become "inputs", or "inputs_0",
    "inputs_1" and so on if there are several.

    Args:
        net: functional `keras.Model`.
    """
    several = len(net.inputs) > 1
    return argument_names(
        [
            (f"inputs_{index}" if several else "inputs")
            if re.fullmatch(r"keras_tensor(_\d+)?", tensor.name)
            else tensor.name
            for index, tensor in enumerate(net.inputs)
        ]
    )


def takes_pixels(net):
    """Whether a net takes raw pixels: only a normalization reads its only input.

    Args:
        net: functional `keras.Model`.
    """
    if len(net.inputs) != 1 or len(net.inputs[0].shape) != 4:
        return False
    readers = [
        call.operation
        for call in keras_internals.calls_in(keras.Model(net.inputs, net.outputs))
        if any(tensor is net.inputs[0] for tensor in call.input_tensors)
    ]
    return bool(readers) and all(
        isinstance(layer, keras.layers.Normalization | keras.layers.Rescaling) for layer in readers
    )


class Signature:
    """The net's inputs by name, in one dtype.

    Attributes:
        name: the signature's name in the SavedModel.
        net: the functional `keras.Model` that answers.
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
        net_specifications = _specifications(self.net)
        specifications = self._specifications()
        if specifications == net_specifications:
            return answer

        @tf.function(autograph=False)
        def serve(**tensors):
            return answer(
                **{
                    name: tf.cast(tensors[name], net_specifications[name].dtype)
                    for name in net_specifications
                }
            )

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
        """The net's own outputs for the request, by name; `None` names the only one."""
        arrays = self._as_requested(examples)
        tensors = [
            tf.cast(tf.convert_to_tensor(array), tensor.dtype)
            for array, tensor in zip(arrays, self.net.inputs, strict=True)
        ]
        inputs = keras.tree.pack_sequence_as(self.net.input, tensors)
        return by_output(self.net(inputs, training=False))

    def _specifications(self):
        return _specifications(self.net, self._dtype)

    def _as_requested(self, examples):
        """The examples in the dtype and batch size of the request."""
        return list(self.request(examples).values())


class ImageFileSignature(Signature):
    """PNG or JPEG files, which are decoded and resized to the net's pixels."""

    def __init__(self, net):
        super().__init__(ENCODED, net)
        (own_name,) = input_names(net)
        # Clients of the REST interface write {"b64": ...} for names with this ending.
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
        encoded = [tf.io.encode_png(image).numpy() for image in self._as_requested(examples)[0]]
        return {self._input_name: np.array(encoded, object)}

    def _as_requested(self, examples):
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

    def _as_requested(self, examples):
        request = self.request(examples)
        given_once = self._given_once()
        return [
            np.repeat(array, len(example), axis=0) if name in given_once else array
            for (name, array), example in zip(request.items(), examples, strict=True)
        ]


class ExampleSignature(Signature):
    """Serialized `tf.train.Example`s, one for each example, as in TFRecord files.

    A feature has the name of its input, and values that a message can hold: int64, float32 or
    bytes. For an input of shape (batch, values), it is a list.

    Attributes:
        defaults: dict from inputs' names in signatures to the default for a missing value, which
            also pads a list that is shorter than its input; a longer one is cut. Other inputs must
            be present, with the right number of values.
    """

    def __init__(self, net, defaults):
        super().__init__(EXAMPLES, net)
        self.defaults = dict(defaults)

    def trace(self, answer):
        net_specifications = _specifications(self.net)
        features = {name: self._feature(name, spec) for name, spec in net_specifications.items()}

        @tf.function(autograph=False)
        def serve(**given):
            parsed = tf.io.parse_example(given["examples"], features)
            tensors = {}
            for name, spec in net_specifications.items():
                values = parsed[name]
                if isinstance(features[name], tf.io.FixedLenSequenceFeature):
                    length = spec.shape[1]
                    room = [[0, 0], [0, length]]
                    values = tf.pad(values, room, constant_values=self.defaults[name])[:, :length]
                    values = tf.ensure_shape(values, [None, length])
                tensors[name] = tf.cast(values, spec.dtype)
            return answer(**tensors)

        (batch, *_) = next(iter(net_specifications.values())).shape
        return serve.get_concrete_function(
            examples=tf.TensorSpec([batch], tf.string, name="examples")
        )

    def request(self, examples):
        columns = super().request(examples)
        return {"examples": example_messages.serialized(columns, self.defaults)}

    def _as_requested(self, examples):
        return list(super().request(examples).values())

    def _feature(self, name, spec):
        kind = tf.as_dtype(example_messages.kind_of(spec.dtype.name))
        shape = spec.shape[1:]
        if name not in self.defaults:
            return tf.io.FixedLenFeature(shape, kind)
        default = self.defaults[name]
        if shape.rank:
            return tf.io.FixedLenSequenceFeature([], kind, True, default)
        return tf.io.FixedLenFeature([], kind, default)


def check_example_defaults(net, defaults):
    """Checks that a net can be served by `ExampleSignature`.

    Args:
        net: functional `keras.Model`.
        defaults: as for `ExampleSignature`, by the inputs' own names.

    Raises:
        ValueError: if a name is not that of an input, or a message cannot hold an input.
    """
    names = [tensor.name for tensor in net.inputs]
    unknown = [name for name in defaults if name not in names]
    if unknown:
        raise ValueError(
            f"example_defaults must be by the net's inputs {names}. Received: {unknown[0]!r}"
        )
    for tensor in net.inputs:
        example_messages.kind_of(tensor.dtype)
        shape = tensor.shape[1:]
        if len(shape) > 1 or None in shape:
            raise ValueError(
                "serve_examples takes inputs of shape (batch,) or (batch, values) with a known "
                f"number of values. Received: {tensor.name!r} of shape {tuple(tensor.shape)}; "
                "leave example_defaults out"
            )


def signatures_of(net, input_dtype=None, user_inputs=(), example_defaults=None):
    """The signatures of a net.

    Args:
        net: functional `keras.Model`.
        input_dtype: dtype of the inputs of `serving_default`; `None`: uint8 for pixels, the net's
            own otherwise.
        user_inputs: names of the inputs that a signature for candidates takes once.
        example_defaults: as for `check_example_defaults`; `None`: there is no `serve_examples`.

    Returns:
        List of `Signature`s; the first is `serving_default`.
    """
    if user_inputs or example_defaults is not None or not takes_pixels(net):
        signatures = [Signature(DEFAULT, net, input_dtype)]
        if user_inputs:
            signatures.append(CandidateSignature(net, user_inputs))
        if example_defaults is not None:
            net_names = [tensor.name for tensor in net.inputs]
            names = dict(zip(net_names, input_names(net), strict=True))
            defaults = {names[name]: value for name, value in example_defaults.items()}
            signatures.append(ExampleSignature(net, defaults))
        return signatures
    signatures = [Signature(DEFAULT, net, input_dtype or "uint8"), Signature(FLOAT, net, "float32")]
    return [*signatures, ImageFileSignature(net)] if _takes_files(net) else signatures


def make_functions(signatures, infer, class_names=None, tasks=None):
    """The functions of signatures, for a SavedModel.

    Args:
        signatures: list of `Signature`s of one net.
        infer: function from the net's inputs to its outputs; the net itself, or one that computes
            the same.
        class_names: names of the classes, in their order, or `None`.
        tasks: the task of each output, from `answers.tasks_of`; `None`: classification.

    Returns:
        Dict from names to concrete functions with named inputs and outputs, as `export_light`
        describes them.
    """
    net = signatures[0].net
    tasks = tasks or dict.fromkeys(by_output(net.output), answers.CLASSIFICATION)
    answer = _answer_function(net, infer, class_names, tasks)
    return {signature.name: signature.trace(answer) for signature in signatures}


def _answer_function(net, infer, class_names, tasks):
    """From the net's inputs by name to all outputs; the same function for all signatures."""
    names = input_names(net)
    class_table = None if class_names is None else tf.constant(list(class_names))

    @tf.function(autograph=False)
    def answer(**tensors):
        # A session takes any shape for a placeholder, and convolutions may accept it.
        checked = [
            tf.ensure_shape(tensors[name], tensor.shape)
            for name, tensor in zip(names, net.inputs, strict=True)
        ]
        outputs = infer(keras.tree.pack_sequence_as(net.input, checked))
        return answers.read(outputs, tasks, class_table)

    return answer.get_concrete_function(**_specifications(net))


def _specifications(net, dtype=None):
    return {
        name: tf.TensorSpec(tensor.shape, dtype or tensor.dtype, name=name)
        for name, tensor in zip(input_names(net), net.inputs, strict=True)
    }


def _takes_files(net):
    """Whether image files can be converted to the inputs of a net on pixels."""
    *size, channels = net.inputs[0].shape[1:]
    return None not in size and channels in (1, 3)
