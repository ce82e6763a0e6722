"""The light net alone, as a SavedModel for TensorFlow Serving."""

import functools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.analysis.costs import count_parameters
from rocket_tf.core import graph, keras_internals
from rocket_tf.errors import ExportError
from rocket_tf.serving import answers, companions, model_card, warmup
from rocket_tf.serving import signatures as serving_signatures
from rocket_tf.serving.descriptions import costs_of, hints_of, way
from rocket_tf.serving.fixed_inputs import served_net
from rocket_tf.serving.folding import as_constants, fold_batch_normalization
from rocket_tf.serving.parity import IDS, LARGEST_DIFFERENCE, difference, made_up_input
from rocket_tf.serving.signatures import DEFAULT, input_names, signatures_of
from rocket_tf.system import files, timing
from rocket_tf.system.transfers import shown, size_of

_LARGEST_DIFFERENCE_OF_HALF_PRECISION = 0.05  # about twelve roundings to 8 bits
_COMPARED_EXAMPLES = 8
Task = Literal["classification", "multi_label", "regression"]
# Ratio of an optimized graph's latency to the plain one's; smaller gains are noise.
_LEAST_GAIN = 0.98


def export_light(
    model: keras.Model,
    directory: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    input_dtype: str | None = None,
    *,
    optimize: bool = False,
    examples: Any = None,
    provenance: Mapping[str, Any] | None = None,
    version: int | None = None,
    overwrite: bool = False,
    prove: Callable[[Path], Any] | None = None,
    user_inputs: Sequence[str] = (),
    example_defaults: Mapping[str, Any] | None = None,
    multi_label: bool | None = None,
    task: Task | Mapping[str, Task] | None = None,
) -> Path:
    """Writes the inference path of the light net to `<directory>/<version>/`.

    The SavedModel holds each variable that the light net reads once, and nothing of the booster,
    the optimizer or random generators. Its signatures take any batch size unless the net fixes one:

    - `serving_default`: the net's inputs by name; pixels as uint8. Names that TensorFlow does not
      accept are changed: characters other than letters, digits and underscores become underscores,
      `class` and `self` become `input_class` and `input_self`, and `item` beside `Item` becomes
      `item_2`; `provenance.json` lists the names. Features of `click_pair` with `served_as` are not
      inputs;
    - `serve_float`, for nets on pixels: the same as float32, 0 to 255;
    - `serve_bytes`, for nets on pixels of fixed size with one or three channels: `image_bytes` for
      an input `images`, string, shape (batch,), PNG or JPEG files that the model decodes and
      resizes;
    - `serve_candidates`, with `user_inputs`: these once, shape (1, ...), and all others for each
      candidate, so that one request scores many items for one user;
    - `serve_examples`, with `example_defaults`: `examples`, string, shape (batch,), serialized
      `tf.train.Example`s with a feature for each input, by name.

    They return, for a regression,

    - `predictions`: the net's output, float32;

    and otherwise

    - `logits`: float32, shape (batch, ..., classes);
    - `probabilities`: their softmax; for a single logit and for multi-label outputs, the sigmoid;
    - `classes`: int64, shape (batch, ...), the most probable class; for a single logit, 0 or 1; for
      multi-label outputs, 0 or 1 for each, shape (batch, ..., classes);
    - `class_names`: string, the names of `classes`, if `class_names` are given; not for multi-label
      outputs.

    For nets with several outputs, each has these with the prefix `<output>_`.

    The folder also has `assets/labels.txt` (the class names, one a line), warm-up requests for
    TensorFlow Serving, `assets.extra/provenance.json` and, for people,
    `assets.extra/model_card.md`. Before the folder gets its name, the export is loaded, the warm-up
    requests are run, and their logits are compared with the model's.

    Args:
        model: a `RocketModel`, or a functional or sequential `keras.Model`, which is exported
            itself.
        directory: the model's folder, as TensorFlow Serving's `base_path`; without brackets and
            backslashes, which TensorFlow reads as patterns when it loads an export.
        class_names: names of the classes, in order; not for nets with several outputs.
        input_dtype: dtype of the inputs of `serving_default`, which are cast to the net's own.
            `None`: uint8 for a net on pixels (one input of shape (batch, height, width, channels),
            read only by a `Normalization` or `Rescaling` layer), otherwise the net's own.
        optimize: whether to fold batch normalizations into convolutions and to make the weights
            constants, if this measurably speeds up a batch of one on this machine, and changes no
            logit by more than 1e-5, relative for logits above 1.
        examples: inputs of the net, arrays in the structure of its inputs. The warm-up requests use
            the first one, and the comparison with the model the first eight. `None`: made up.
        provenance: dict that goes into `provenance.json` with versions and time, and onto the card;
            "test_error" is a dict from "light" and "booster" to errors in per cent.
        version: number of the version. `None`: one more than the highest.
        overwrite: whether to replace an existing version when the new one is complete.
        prove: function called with the folder before it gets its name, for your own checks; if it
            raises, nothing is kept.
        user_inputs: names of the net's inputs that are the same for all candidates of a request.
        example_defaults: dict from names of the net's inputs to the default of `serve_examples` for
            a value that an example lacks; for an input of several values, the padding at the end.
            Other inputs must be in each example. `None`: there is no such signature.
        multi_label: whether each of several logits is a separate yes or no. `None`: as `task` says.
        task: what the outputs mean: "classification", "multi_label" (each of several logits is a
            separate yes or no) or "regression"; or a dict of these by output. `None`: it follows
            from the label loss of a compiled `RocketModel`, the light net's or else the booster's;
            for other models, it is classification. Cross-entropies and hinge losses mean classes,
            binary cross-entropy of several logits means multi-label, and Keras's other losses, such
            as mean squared error, mean a regression. A loss of your own implies no task, unless
            there are class names.

    Returns:
        `pathlib.Path` of the version that was written.

    Raises:
        ValueError: if the number of class names is not that of the classes, or one has line breaks;
            if the version is not a positive integer; if `user_inputs` are not inputs, or are all of
            them; if `example_defaults` are not for inputs, or an example cannot hold an input; if
            the task is unknown; or if the directory's path has brackets or backslashes.
        FileExistsError: if the version exists.
        ExportError: if the export does not compute what the model computes, or if the model gives
            no finite values for the examples, so that they cannot be compared.
        OSError: if the folder cannot be written.

    Example:
        >>> import tempfile, keras, rocket_tf
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rocket_tf.export_light(light, folder, class_names=["no", "yes"]).name
        '1'
    """
    if isinstance(model, keras.Sequential):
        model = graph.as_functional("model", model)
    light = served_net(getattr(model, "light", model))
    _check_directory(directory)
    tasks = answers.tasks_of(model, task, multi_label, named=class_names is not None)
    _check_class_names(light, class_names, tasks)
    _check_user_inputs(light, user_inputs)
    if example_defaults is not None:
        serving_signatures.check_example_defaults(light, example_defaults)
    if version is not None and (not isinstance(version, int) or version < 1):
        raise ValueError(f"version must be a positive integer. Received: version={version!r}")
    warmup_example, examples = _examples(light, examples)
    signatures = signatures_of(light, input_dtype, user_inputs, example_defaults)
    make_functions = functools.partial(
        serving_signatures.make_functions,
        signatures,
        class_names=class_names,
        tasks=tasks,
    )
    functions = make_functions(lambda inputs: light(inputs, training=False))
    origin = {**(provenance or {}), "net": describe_net(light), "optimized": False}
    known = origin if model_card.is_of_run(origin) else {}
    origin["nets"] = known.get("nets") or costs_of(model)
    origin["hints"] = known.get("hints") or hints_of(model)
    if optimize:
        own_names = [answers.own_name(*output) for output in tasks.items()]
        faster, measured = _optimized(
            light, functions[DEFAULT], signatures[0].request(examples), make_functions, own_names
        )
        functions = faster or functions
        origin |= {"optimized": faster is not None, "optimization": measured}

    def write(folder):
        try:
            size = sum(size_of(variable.value) for variable in light.variables)
            with shown(f"Saving {directory}", size, functools.partial(files.size_of, folder)):
                _save(light, functions, class_names, folder)
            requests = {
                signature.name: signature.request(warmup_example) for signature in signatures
            }
            warmup.write(folder, requests)
            companions.write_provenance(companions.provenance_of(folder), origin)
            ways = [way(name, functions[name], request) for name, request in requests.items()]
            model_card.write(folder, ways, tasks.values())
            _prove(light, tasks, signatures, folder, examples)
        except tf.errors.OpError as error:  # of TensorFlow's own file system
            raise OSError(f"{directory}: cannot be written: {error.message}") from error
        if prove is not None:
            prove(folder)

    return files.write_version(directory, write, version, overwrite)


def _check_directory(directory):
    if files.is_pattern(directory):
        raise ValueError(
            "directory must be a path without [ ] and \\, which TensorFlow reads as a pattern when "
            f"it loads an export. Received: directory={str(directory)!r}; use another"
        )


def _check_user_inputs(light, user_inputs):
    names = [tensor.name for tensor in light.inputs]
    if user_inputs and not set(user_inputs) < set(names):
        raise ValueError(
            f"user_inputs must be some of the net's inputs {names}, and leave some for the "
            f"candidates. Received: user_inputs={list(user_inputs)}"
        )


def _check_class_names(light, class_names, tasks):
    if class_names is None:
        return
    if isinstance(light.output, dict):
        raise ValueError(
            "class_names are for nets with one output. Received: class_names for outputs "
            f"{list(light.output)}; leave them out"
        )
    if tasks[None] == answers.REGRESSION:
        raise ValueError(
            "class_names are for classes. Received: class_names for a regression; leave them out or"
            " pass task='classification'"
        )
    shape = light.outputs[0].shape
    classes = shape[-1] if len(shape) > 1 else 1
    classes = classes if tasks[None] == answers.MULTI_LABEL else max(classes, 2)
    if len(class_names) != classes:
        raise ValueError(
            f"class_names must name each of the {classes} classes. "
            f"Received {len(class_names)}: {list(class_names)}"
        )
    multiline = [name for name in class_names if str(name).splitlines() not in ([], [str(name)])]
    if multiline:
        raise ValueError(f"class_names must be of one line each. Received: {multiline}")


def _examples(light, examples):
    """Arrays in the order and dtypes of the net's inputs, for warm-up and for the comparison."""
    if examples is None:
        made_up = _made_up(light)
        # Warm-up requests of one value are stored as one value.
        first = [
            np.full_like(_first(array, tensor), array.flat[0])
            for array, tensor in zip(made_up, light.inputs, strict=True)
        ]
        return first, made_up
    keras.tree.assert_same_structure(light.input, examples)
    arrays = [
        np.asarray(array, object if tensor.dtype == "string" else tensor.dtype)
        for tensor, array in zip(light.inputs, keras.tree.flatten(examples), strict=True)
    ]
    first = [_first(array, tensor) for array, tensor in zip(arrays, light.inputs, strict=True)]
    compared = [
        array[: tensor.shape[0] or _COMPARED_EXAMPLES]
        for tensor, array in zip(light.inputs, arrays, strict=True)
    ]
    if not all(np.isfinite(output).any() for output in _outputs(light, compared)):
        raise ExportError(
            "The net gives only NaN or infinity for the examples, so its export cannot be compared "
            "with it; pass other examples, or train it again"
        )
    return first, compared


def _made_up(light):
    """Inputs for which the net gives finite values; for padding, a net that masks it may not.

    Raises:
        ExportError: if there are none.
    """
    for made_of in IDS:
        made_up = [
            made_up_input(tensor.dtype, tensor.shape, _COMPARED_EXAMPLES, made_of)
            for tensor in light.inputs
        ]
        try:
            if all(np.isfinite(output).all() for output in _outputs(light, made_up)):
                return made_up
            why = "it gives NaN or infinity"
        except tf.errors.OpError:  # for example for ids out of range
            why = "it refuses them"
    raise ExportError(
        "The net has no finite output for made-up inputs, so its export cannot be compared with "
        "it: "
        f"{why}; pass inputs as examples, or train it again"
    )


def _outputs(light, arrays):
    """The net's outputs for arrays in the order of its inputs, a list of float32 arrays."""
    inputs = keras.tree.pack_sequence_as(light.input, _as_tensors(arrays))
    outputs = keras.tree.flatten(light(inputs, training=False))
    return [tf.cast(output, tf.float32).numpy() for output in outputs]


def _first(array, tensor):
    """The smallest batch that an input takes."""
    return array[: tensor.shape[0] or 1]


def describe_net(net):
    """Parameters, inputs and dtypes of a net, for its provenance."""
    return {
        "name": net.name,
        "parameters": count_parameters(net),
        "inputs": [
            {"name": name, "shape": list(tensor.shape), "dtype": tensor.dtype}
            for name, tensor in zip(input_names(net), net.inputs, strict=True)
        ],
        "compute_dtypes": sorted({layer.compute_dtype for layer in net.layers if layer.weights}),
    }


def _optimized(light, plain, request, make_functions, own_names):
    """Functions that are faster than the plain default one, or `None`, and the measurements."""
    folded, count = fold_batch_normalization(light)
    fast = make_functions(as_constants(folded))
    request = _as_tensors(request)
    before, after = plain(**request), fast[DEFAULT](**request)
    largest = max(difference(before[name], after[name]) for name in own_names)
    smallest = {
        name: _first(tensor, specification)
        for (name, tensor), specification in zip(request.items(), light.inputs, strict=True)
    }
    ratio = timing.ratio(lambda: fast[DEFAULT](**smallest), lambda: plain(**smallest))
    measured = {
        "folded_batch_normalizations": count,
        "latency_ratio_to_plain": round(ratio, 3),
        "largest_difference": largest,
    }
    is_better = ratio < _LEAST_GAIN and largest <= LARGEST_DIFFERENCE
    return (fast if is_better else None), measured


def _save(light, functions, class_names, directory):
    module = tf.Module()
    module.light_variables = list(functions[DEFAULT].variables)
    module.tables = _lookup_tables(light)
    with tempfile.TemporaryDirectory() as folder:
        if class_names is not None:
            labels = Path(folder) / companions.LABELS
            companions.write_labels(labels, class_names)
            module.labels = tf.saved_model.Asset(str(labels))
        tf.saved_model.save(module, str(directory), signatures=functions)


def _lookup_tables(light):
    """The tables that layers such as `StringLookup` read, which are not variables."""
    return [
        value
        for layer in keras_internals.all_layers(light)
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]


def _prove(light, tasks, signatures, directory, examples):
    """Runs the warm-up requests through the export, as the server will, and compares answers."""
    served = tf.saved_model.load(str(directory)).signatures
    for signature, inputs in warmup.read(directory):
        served[signature](**_as_tensors(inputs))
    allowed = allowed_difference(light)
    for signature in signatures:
        answer = served[signature.name](**_as_tensors(signature.request(examples)))
        largest = max(
            difference(logits, answer[answers.own_name(output, tasks[output])])
            for output, logits in signature.expected(examples).items()
        )
        if not largest <= allowed:  # also if it is NaN
            raise ExportError(
                f"The export's {signature.name} does not compute what the model computes: logits "
                f"differ by {largest:.1g}, but at most {allowed:.0e} is allowed; nothing is written"
            )


def _as_tensors(arrays):
    return keras.tree.map_structure(tf.convert_to_tensor, arrays)


def allowed_difference(net):
    """How far the logits of an export may be from the net's, relative to logits above 1."""
    is_float32 = describe_net(net)["compute_dtypes"] == ["float32"]
    return LARGEST_DIFFERENCE if is_float32 else _LARGEST_DIFFERENCE_OF_HALF_PRECISION
