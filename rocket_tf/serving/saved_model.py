"""The light net alone, as a SavedModel for TensorFlow Serving."""

import functools
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.analysis.costs import count_parameters
from rocket_tf.core import keras_internals
from rocket_tf.core.heads import by_output
from rocket_tf.core.label_losses import is_multi_label
from rocket_tf.serving import companions, warmup
from rocket_tf.serving import signatures as serving_signatures
from rocket_tf.serving.folding import as_constants, fold_batch_normalization
from rocket_tf.serving.parity import LARGEST_DIFFERENCE, difference, made_up_input
from rocket_tf.system import files

_LARGEST_DIFFERENCE_OF_HALF_PRECISION = 0.05  # a dozen roundings to 8 bits
_COMPARED_EXAMPLES = 8
_TIMED_BLOCKS, _TIMED_CALLS = 20, 10
# Of an optimized graph's latency to the plain one's: less is noise.
_LEAST_GAIN = 0.98


def export_light(
    model,
    directory,
    class_names=None,
    input_dtype=None,
    *,
    optimize=False,
    examples=None,
    provenance=None,
    version=None,
    overwrite=False,
    prove=None,
    user_inputs=(),
    multi_label=None,
):
    """Writes the inference path of the light net to `<directory>/<version>/`.

    The SavedModel holds each variable that the light net reads once, and nothing of the booster,
    the optimizer or random generators. Its signatures take any batch size unless the net fixes one:

    - `serving_default`: the net's inputs by their names (characters other than letters, digits and
      underscores become underscores); pixels as uint8;
    - `serve_float`, for nets on pixels: the same as float32, 0 to 255;
    - `serve_bytes`, for nets on pixels of one size and one or three channels: `image_bytes` for an
      input `images`, string, shape (batch,), PNG or JPEG files that are decoded and resized inside;
    - `serve_candidates`, where `user_inputs` are named: those once, shape (1, ...), all others for
      each candidate, so that many items are scored for one user in one request.

    All of them return, of nets with several outputs for each under `<output>_...`,

    - `logits`: float32, shape (batch, ..., classes);
    - `probabilities`: their softmax; of a single logit, or of multi-label ones, their sigmoid;
    - `classes`: int64, shape (batch, ...), the most probable class; of a single logit, 0 or 1; of
      multi-label ones, 0 or 1 for each, shape (batch, ..., classes);
    - `class_names`: string, the classes by name, where `class_names` are given; not of multi-label
      ones.

    With it come `assets/labels.txt` (the class names, a line each), warm-up requests for TensorFlow
    Serving and `assets.extra/provenance.json`. Before the folder gets its name, the export is
    loaded, the warm-up requests are run, and their logits compared with the model's.

    Args:
        model: a `RocketModel`, or a functional `keras.Model` to export as it is.
        directory: the model's folder, as TensorFlow Serving's `base_path`.
        class_names: names of the classes, in their order; not of nets with several outputs.
        input_dtype: dtype of the inputs of `serving_default`, cast to the net's own inside. `None`:
            uint8 for a net on pixels (one input of shape (batch, height, width, channels), read by
            a `Normalization` or `Rescaling` layer alone), the net's own otherwise.
        optimize: whether to fold batch normalisations into convolutions and to make the weights
            constants, if this is measured to answer a batch of one faster on this machine, and
            changes no logit by more than 1e-5, relative to logits above 1.
        examples: inputs of the net, of which the warm-up requests take the first; arrays in the
            structure of the net's inputs. `None`: made up.
        provenance: dict that goes into `provenance.json` beside versions and time.
        version: number of the version. `None`: one more than the highest.
        overwrite: whether a version that is there is replaced, once the new one is whole.
        prove: called with the folder before it gets its name, for proofs of one's own; if it
            raises, nothing is kept.
        user_inputs: names of the net's inputs that are the same for all candidates of a request.
        multi_label: whether each of several logits is a yes or no of its own. `None`: as the
            label loss of a compiled `RocketModel` tells; no, for other models.

    Returns:
        `pathlib.Path` of the version that was written.

    Raises:
        ValueError: if the number of class names is not that of the classes, one has line breaks,
            two inputs' names become one, the version is not a positive integer, or `user_inputs`
            are no inputs, or all of them.
        FileExistsError: if the version is there.
        RuntimeError: if the export does not compute what the model computes.
        OSError: if the folder cannot be written.

    Example:
        >>> import tempfile, keras, rocket_tf
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rocket_tf.export_light(light, folder, class_names=["no", "yes"]).name
        '1'
    """
    light = getattr(model, "light", model)
    if multi_label is None:
        multi_label = _is_multi_label(model)
    _check_class_names(light, class_names, multi_label)
    _check_user_inputs(light, user_inputs)
    if version is not None and (not isinstance(version, int) or version < 1):
        raise ValueError(f"version must be a positive integer. Received: version={version!r}")
    warmup_example, examples = _examples(light, examples)
    make_signatures = functools.partial(
        serving_signatures.make_signatures,
        light,
        class_names=class_names,
        input_dtype=input_dtype,
        user_inputs=user_inputs,
        multi_label=multi_label,
    )
    signatures = make_signatures(lambda inputs: light(inputs, training=False))
    requests = _requests(light, signatures, warmup_example)
    told = {**(provenance or {}), "net": describe_net(light), "optimized": False}
    if optimize:
        faster, measured = _optimized(
            light,
            signatures,
            _requests(light, signatures, examples)[serving_signatures.DEFAULT],
            make_signatures,
        )
        signatures = faster or signatures
        told |= {"optimized": faster is not None, "optimization": measured}

    def write(folder):
        try:
            _save(light, signatures, class_names, folder)
            warmup.write(folder, requests)
            companions.write_provenance(companions.provenance_of(folder), told)
            _prove(light, folder, examples)
        except tf.errors.OpError as error:  # of TensorFlow's own file system
            raise OSError(f"{directory}: cannot be written: {error.message}") from error
        if prove is not None:
            prove(folder)

    return files.write_version(directory, write, version, overwrite)


def _is_multi_label(model):
    """Whether the light net's label losses, if there are any, are of multi-label outputs."""
    losses = model.objective.label_losses if getattr(model, "objective", None) else {}
    return any(
        is_multi_label(model.output[head], loss)
        for head, loss in losses.items()
        if model.heads[head].net == "light"
    )


def _check_user_inputs(light, user_inputs):
    names = [tensor.name for tensor in light.inputs]
    if user_inputs and not set(user_inputs) < set(names):
        raise ValueError(
            f"user_inputs must be some of the net's inputs {names}, and leave some for the "
            f"candidates. Received: user_inputs={list(user_inputs)}"
        )


def _check_class_names(light, class_names, multi_label):
    if class_names is None:
        return
    if isinstance(light.output, dict):
        raise ValueError(
            "class_names are of nets with one output. Received: class_names for outputs "
            f"{list(light.output)}; leave them out"
        )
    classes = light.outputs[0].shape[-1]
    classes = classes if multi_label else max(classes, 2)
    if len(class_names) != classes:
        raise ValueError(
            f"class_names must name each of the {classes} classes. "
            f"Received {len(class_names)}: {list(class_names)}"
        )
    broken = [name for name in class_names if str(name).splitlines() not in ([], [str(name)])]
    if broken:
        raise ValueError(f"class_names must be of one line each. Received: {broken}")


def _examples(light, examples):
    """Arrays in the order of the net's inputs and of their dtypes: to warm up, and to compare."""
    if examples is None:
        made_up = [
            made_up_input(tensor.dtype, tensor.shape, _COMPARED_EXAMPLES) for tensor in light.inputs
        ]
        # Warm-up requests of one value are stored as one value.
        first = [
            np.full_like(_first(array, tensor), array.flat[0])
            for array, tensor in zip(made_up, light.inputs, strict=True)
        ]
        return first, made_up
    keras.tree.assert_same_structure(light.input, examples)
    given = [
        np.asarray(array, object if tensor.dtype == "string" else tensor.dtype)
        for tensor, array in zip(light.inputs, keras.tree.flatten(examples), strict=True)
    ]
    first = [_first(array, tensor) for array, tensor in zip(given, light.inputs, strict=True)]
    return first, first


def _first(array, tensor):
    """The smallest batch that an input takes."""
    return array[: tensor.shape[0] or 1]


def _requests(light, signatures, example):
    """The same example as a request to each signature."""
    requests = {}
    for signature, function in signatures.items():
        wanted = function.structured_input_signature[1]
        if signature == serving_signatures.ENCODED:
            (name,) = wanted
            files_of_images = [
                tf.io.encode_png(image.astype(np.uint8)).numpy() for image in example[0]
            ]
            requests[signature] = {name: np.array(files_of_images, object)}
            continue
        # Of what is given once, as a user's inputs are to candidates, the first.
        requests[signature] = {
            name: array.astype(wanted[name].dtype.as_numpy_dtype)[: wanted[name].shape[0]]
            for name, array in zip(serving_signatures.input_names(light), example, strict=True)
        }
    return requests


def describe_net(net):
    """Parameters, inputs and dtypes of a net, for its provenance."""
    return {
        "name": net.name,
        "parameters": count_parameters(net),
        "inputs": [
            {"name": name, "shape": list(tensor.shape), "dtype": tensor.dtype}
            for name, tensor in zip(serving_signatures.input_names(net), net.inputs, strict=True)
        ],
        "compute_dtypes": sorted({layer.compute_dtype for layer in net.layers if layer.weights}),
    }


def _optimized(light, plain, request, make_signatures):
    """Signatures that answer faster, or `None`, and what was measured."""
    folded, count = fold_batch_normalization(light)
    fast = make_signatures(as_constants(folded))
    plain_default, fast_default = (
        signatures[serving_signatures.DEFAULT] for signatures in (plain, fast)
    )
    request = _as_tensors(request)
    largest = _largest_difference(plain_default(**request), fast_default(**request))
    smallest = {
        name: _first(tensor, specification)
        for (name, tensor), specification in zip(request.items(), light.inputs, strict=True)
    }
    ratio = _time_ratio(lambda: fast_default(**smallest), lambda: plain_default(**smallest))
    measured = {
        "folded_batch_normalizations": count,
        "latency_ratio_to_plain": round(ratio, 3),
        "largest_difference": largest,
    }
    is_better = ratio < _LEAST_GAIN and largest <= LARGEST_DIFFERENCE
    return (fast if is_better else None), measured


def _time_ratio(first, second):
    """Median over blocks of the ratio of two calls' medians; they take turns."""
    ratios = []
    for block in range(_TIMED_BLOCKS + 1):
        times = [], []
        for _ in range(_TIMED_CALLS):
            for call, taken in zip((first, second), times, strict=True):
                start = time.perf_counter()
                call()
                taken.append(time.perf_counter() - start)
        if block:  # the first one warms up
            ratios.append(statistics.median(times[0]) / statistics.median(times[1]))
    return statistics.median(ratios)


def _save(light, signatures, class_names, directory):
    module = tf.Module()
    module.light_variables = list(signatures[serving_signatures.DEFAULT].variables)
    module.tables = _lookup_tables(light)
    with tempfile.TemporaryDirectory() as folder:
        if class_names is not None:
            labels = Path(folder) / companions.LABELS
            companions.write_labels(labels, class_names)
            module.labels = tf.saved_model.Asset(str(labels))
        tf.saved_model.save(module, str(directory), signatures=signatures)


def _lookup_tables(light):
    """The tables that layers such as `StringLookup` read, which are no variables."""
    return [
        value
        for layer in keras_internals.all_layers(light)
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]


def _prove(light, directory, examples):
    """Runs the warm-up requests through the export, as the server will, and compares logits."""
    served = tf.saved_model.load(str(directory)).signatures
    for signature, inputs in warmup.read(directory):
        served[signature](**_as_tensors(inputs))
    allowed = allowed_difference(light)
    for signature, inputs in _requests(light, served, examples).items():
        answers = served[signature](**_as_tensors(inputs))
        largest = _largest_difference(_expected(light, signature, inputs, examples), answers)
        if not largest <= allowed:  # not a number, either
            raise RuntimeError(
                f"The export's {signature} does not compute what the model computes: logits differ "
                f"by {largest:.1g}, and {allowed:.0e} is allowed; nothing was written"
            )


def _expected(light, signature, request, examples):
    """The model's own logits for a request of some examples, as the export names them."""
    if signature == serving_signatures.CANDIDATES:
        names = serving_signatures.input_names(light)
        examples = [
            np.repeat(request[name], len(array), axis=0) if len(request[name]) == 1 else array
            for name, array in zip(names, examples, strict=True)
        ]
    outputs = light(keras.tree.pack_sequence_as(light.input, _as_tensors(examples)))
    return {
        "logits" if name is None else f"{name}_logits": logits
        for name, logits in by_output(outputs).items()
    }


def _largest_difference(expected, answers):
    """The largest difference of all logits, relative to those above 1."""
    return max(
        difference(logits, answers[name])
        for name, logits in expected.items()
        if name.endswith("logits")
    )


def _as_tensors(arrays):
    return keras.tree.map_structure(tf.convert_to_tensor, arrays)


def allowed_difference(net):
    """How far the logits of an export may be from the net's, relative to logits above 1."""
    is_float32 = describe_net(net)["compute_dtypes"] == ["float32"]
    return LARGEST_DIFFERENCE if is_float32 else _LARGEST_DIFFERENCE_OF_HALF_PRECISION
