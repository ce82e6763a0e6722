"""Checks a SavedModel of a light net by using it like a server."""

import contextlib
import io
import sys
import time
from pathlib import Path

import numpy as np

from rocket_tf.errors import CheckFailed, LoaderError
from rocket_tf.serving import companions, example_messages
from rocket_tf.serving.c_loader import LoadedModel
from rocket_tf.serving.parity import IDS, LARGEST_DIFFERENCE, difference, made_up_input
from rocket_tf.system.startup import load_tensorflow_quietly, stderr_kept_back

BATCH_SIZES = (1, 3, 8)
_BYTES_PER_PARAMETER = 4.3
_BYTES_BESIDE_NUMBERS = (
    4000,
    250,
)  # in total, and for the name and shape of each variable


def prove(directory, workdir=None, restore=None):
    """Checks an export, cheap checks first; only the last ones import TensorFlow.

    Args:
        directory: folder of a SavedModel that `export_light` wrote.
        workdir: folder of its run, whose checkpoint it is compared with; `None`: the run whose
            folder contains it, if any.
        restore: `rocket_tf.runs.finished.restore`, which loads the model of a run; `None`: the
            export is not compared.

    Yields:
        `(name, result)` in words, for each check that passed or had nothing to do.

    Raises:
        CheckFailed: for the first check that fails; the message begins with its name.
    """
    directory = Path(directory)
    yield _run_check("files", _check_files, directory)
    with contextlib.ExitStack() as stack:
        start = time.perf_counter()
        model = stack.enter_context(_run_check("loader", _load, directory)[1])
        seconds = time.perf_counter() - start
        without = "" if "tensorflow" in sys.modules else ", without importing tensorflow"
        yield "loader", f"TensorFlow's C++ loader loads it in {seconds:.1f} s{without}"
        yield _run_check("signatures", _check_signatures, model)
        _, examples = _run_check("inputs", _examples, model)
        yield _run_check("batches", _check_batches, model, examples)
        yield _run_check("agreement", _check_agreement, model, examples)
        yield _run_check("labels", _check_labels, model, directory)
        load_tensorflow_quietly()
        yield _run_check("variables", _check_variables, directory)
        yield _run_check("warm-up", _check_warmup, model, directory)
        yield _run_check(
            "checkpoint", _check_checkpoint, model, directory, workdir, restore, examples
        )


def _run_check(name, check, *arguments):
    """The check's name and result; any exception counts as a failure of the export."""
    try:
        return name, check(*arguments)
    except CheckFailed as error:
        raise CheckFailed(f"{name}: {error}") from error
    except Exception as error:
        message = " ".join(str(error).split())
        raise CheckFailed(f"{name}: {type(error).__name__}: {message}") from error


def _load(directory):
    try:
        with stderr_kept_back(LoaderError):
            return LoadedModel(directory)
    except LoaderError as error:
        raise CheckFailed(f"TensorFlow's C++ loader refuses it: {error}") from error


def _check_files(directory):
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (directory / name).is_file():
            raise CheckFailed(f"there is no {name} in {directory}")
    parts = [path for path in directory.rglob("*") if path.is_file()]
    empty = [path for path in parts if not path.stat().st_size]
    if empty:
        raise CheckFailed(f"{empty[0]} is empty")
    size = sum(path.stat().st_size for path in parts)
    return f"{len(parts)} files, {size / 1000:.0f} kB"


def _check_signatures(model):
    if "serving_default" not in model.signatures:
        raise CheckFailed(f"there is no serving_default; there are {', '.join(model.signatures)}")
    described = []
    for name, signature in model.signatures.items():
        net_outputs = _net_outputs(signature.outputs)
        prefixes = [key.removesuffix("logits") for key in net_outputs if key.endswith("logits")]
        expected = {
            f"{prefix}{kind}" for prefix in prefixes for kind in ("probabilities", "classes")
        }
        if not net_outputs or not expected <= signature.outputs.keys():
            raise CheckFailed(
                f"{name} gives {', '.join(signature.outputs)}; expected predictions, or logits, "
                "probabilities and classes at least"
            )
        result = ", ".join(
            f"{key} {info.dtype} {_shape(info.shape)}" for key, info in signature.inputs.items()
        )
        described.append(f"{name}({result})")
    return "; ".join(described)


def _net_outputs(outputs):
    """The names of the net's own outputs: "logits" or, for a regression, "predictions".

    With several outputs, they are "<output>_logits" and "<output>_predictions".
    """
    return [name for name in outputs if name.rpartition("_")[2] in ("logits", "predictions")]


def _shape(shape):
    return "" if shape is None else "×".join("n" if size is None else str(size) for size in shape)


def _examples(model):
    """Inputs for each signature, with as many rows as the largest batch.

    They are made up; ids are chosen so that the net has an answer for them, if possible.
    """
    tried = []
    for made_of in IDS:
        tried.append(_made_up(model, made_of))
        with contextlib.suppress(CheckFailed):  # such as ids that are out of range
            outputs = _predict(model, tried[-1]["serving_default"])
            if all(np.isfinite(outputs[name]).all() for name in _net_outputs(outputs)):
                return tried[-1]
    return tried[0]


def _made_up(model, made_of):
    examples = {}
    pixels = None
    encoded = "serve_bytes", "serve_examples"  # from the request of serving_default
    for name in sorted(model.signatures, key=lambda name: name in encoded):
        inputs = model.signatures[name].inputs
        if name == "serve_bytes":
            examples[name] = {key: _encoded(pixels) for key in inputs}
            continue
        if name == "serve_examples":
            messages = example_messages.serialized(examples["serving_default"])
            examples[name] = dict.fromkeys(inputs, messages)
            continue
        examples[name] = {
            key: made_up_input(info.dtype, info.shape, max(BATCH_SIZES), made_of)
            for key, info in inputs.items()
        }
        if name == "serving_default":
            (pixels, *_) = examples[name].values()
    return examples


def _encoded(images):
    from PIL import Image

    encoded = []
    for image in images.astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
        encoded.append(file.getvalue())
    return np.array(encoded, object)


def _check_batches(model, examples):
    checked_sizes = set()
    for name, inputs in examples.items():
        rows = {key: info.shape[0] for key, info in model.signatures[name].inputs.items()}
        # Inputs that a request holds once, such as a user's for candidates, are not batches.
        sizes = BATCH_SIZES if None in rows.values() else [max(rows.values())]
        reference = _predict(model, _first_rows(inputs, rows, max(sizes)), name)
        for size in sizes:
            checked_sizes.add(size)
            outputs = _predict(model, _first_rows(inputs, rows, size), name)
            for key, array in outputs.items():
                if len(array) != size:
                    raise CheckFailed(f"{name} gives {len(array)} {key} for a batch of {size}")
            for key in _net_outputs(outputs):
                _compare(f"{key} of {name}, batch {size},", reference[key][:size], outputs[key])
    return f"of {', '.join(map(str, sorted(checked_sizes)))} examples agree row by row"


def _first_rows(inputs, rows, size):
    return {key: array[: rows[key] or size] for key, array in inputs.items()}


def _check_agreement(model, examples):
    default = _predict(model, examples["serving_default"])
    signatures = "serve_float", "serve_bytes", "serve_examples"
    compared = [name for name in signatures if name in examples]
    for name in compared:
        outputs = _predict(model, examples[name], name)
        for key in _net_outputs(default):
            _compare(f"{key} of {name}", default[key], outputs[key])
    return (
        f"{', '.join(compared)} as serving_default" if compared else "one signature, nothing to do"
    )


def _check_labels(model, directory):
    outputs = model.signatures["serving_default"].outputs
    path, labels = companions.labels_of(directory), companions.read_labels(directory)
    if labels is None:
        if "class_names" in outputs:
            raise CheckFailed(f"there is no {path}, but the outputs have class_names")
        return "the classes have no names"
    if "probabilities" not in outputs:
        raise CheckFailed(
            f"{path} names classes, but there are several outputs or those of a regression"
        )
    classes = max((outputs["probabilities"].shape or (len(labels),))[-1], 2)
    if len(labels) != classes:
        raise CheckFailed(f"{path} names {len(labels)} classes of {classes}")
    return f"{classes} classes have names"


def _check_variables(directory):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(directory / "variables" / "variables"))
    dtypes = reader.get_variable_to_dtype_map()
    sizes = [
        int(np.prod(shape))
        for name, shape in reader.get_variable_to_shape_map().items()
        if dtypes[name] != tf.string
    ]
    provenance = companions.read_provenance(directory)
    if not sizes:
        return "none: the weights are constants of the graph"
    if provenance is not None and sum(sizes) != provenance["net"]["parameters"]:
        raise CheckFailed(
            f"{sum(sizes)} numbers are stored for {provenance['net']['parameters']} "
            "parameters; expected each once"
        )
    stored = sum(path.stat().st_size for path in (directory / "variables").iterdir())
    in_all, for_each = _BYTES_BESIDE_NUMBERS
    if stored > _BYTES_PER_PARAMETER * sum(sizes) + in_all + for_each * len(sizes):
        raise CheckFailed(f"{stored} bytes for {sum(sizes)} parameters")
    return f"{sum(sizes)} parameters, each once, {stored / sum(sizes):.2f} bytes each"


def _check_warmup(model, directory):
    from rocket_tf.serving import warmup

    try:
        requests = warmup.read(directory)
    except ValueError as error:
        raise CheckFailed(f"{error}") from error
    if not requests and companions.read_provenance(directory) is not None:
        raise CheckFailed(f"there is no {warmup.FILE}, which export_light writes")
    for signature, inputs in requests:
        _predict(model, inputs, signature)
    return f"{len(requests)} requests replayed" if requests else "there are no requests"


def _check_checkpoint(model, directory, workdir, restore, examples):
    if restore is None:
        return "not compared: no function to read runs is given"
    if workdir is None:
        workdir = directory.resolve().parent.parent
        if not (workdir / "config.json").exists():
            return "not compared: the export lies in no run's folder, and no --workdir is given"
    import keras

    from rocket_tf.core.heads import by_output
    from rocket_tf.errors import CheckpointError, ConfigError
    from rocket_tf.serving.answers import CLASSIFICATION, own_name
    from rocket_tf.serving.fixed_inputs import served_net
    from rocket_tf.serving.saved_model import allowed_difference
    from rocket_tf.serving.signatures import input_names

    provenance = companions.read_provenance(directory)
    is_float32 = provenance is not None and provenance["net"]["compute_dtypes"] == ["float32"]
    try:
        net, _, _ = restore(workdir, "float32" if is_float32 else None)
    except (CheckpointError, ConfigError) as error:
        raise CheckFailed(f"{error}") from error
    light = served_net(net.light)
    inputs = examples["serving_default"]
    names = input_names(light)
    if sorted(names) != sorted(inputs):
        raise CheckFailed(f"the net in {workdir} takes {names}, but the export {list(inputs)}")
    tensors = [
        inputs[name].astype(tensor.dtype) if tensor.dtype != "string" else inputs[name]
        for name, tensor in zip(names, light.inputs, strict=True)
    ]
    expected = light(keras.tree.pack_sequence_as(light.input, tensors), training=False)
    answers, differences = _predict(model, inputs), []
    for output, logits in by_output(expected).items():
        name = own_name(output, CLASSIFICATION)  # nets of runs always classify
        shape = answers[name].shape if name in answers else None
        if logits.shape != shape:
            raise CheckFailed(
                f"the net in {workdir} gives {name} of shape {tuple(logits.shape)}, and the export "
                f"{shape}"
            )
        differences.append(_compare(name, logits, answers[name], allowed_difference(light)))
    largest = max(differences)
    return f"computes what the checkpoint of {workdir} does; logits differ by {largest:.1e} at most"


def _predict(model, inputs, signature="serving_default"):
    try:
        return model.predict(inputs, signature)
    except LoaderError as error:
        raise CheckFailed(f"{signature}: {error}") from error


def _compare(what, expected, actual, allowed=LARGEST_DIFFERENCE):
    largest = difference(expected, actual)
    if not largest <= allowed:  # not a number, either
        raise CheckFailed(f"{what} differ by {largest:.1g}, allowed is {allowed:.0e}")
    return largest
