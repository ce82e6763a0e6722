"""What proves a SavedModel of a light net, check by check, as its server would meet it."""

import io
import json
import sys
import time
from pathlib import Path

import numpy as np

from rocket_tf.serving.c_loader import LoadedModel, LoaderError
from rocket_tf.startup import load_tensorflow_quietly, stderr_kept_back

BATCH_SIZES = (1, 3, 8)
_BYTES_PER_PARAMETER = 4.3
_INDEX_BYTES_PER_VARIABLE = 250  # names and shapes, beside the numbers


class CheckFailed(Exception):
    """A check that did not pass; the message says why."""


def prove(directory, workdir=None):
    """Proves an export, the cheap checks first; TensorFlow is imported for the last ones only.

    Args:
        directory: folder of a SavedModel that `export_light` wrote.
        workdir: folder of the run that it is of, whose checkpoint it is compared with; `None`: the
            run in whose folder it lies, if it does.

    Yields:
        `(name, told)` for each check that passed or had nothing to do, in words.

    Raises:
        CheckFailed: by the first one that does not pass.
    """
    directory = Path(directory)
    yield "files", _check_files(directory)
    start = time.perf_counter()
    try:
        with stderr_kept_back(LoaderError):
            model = LoadedModel(directory)
    except LoaderError as error:
        raise CheckFailed(f"loader: TensorFlow's C++ loader refuses it: {error}") from error
    seconds = time.perf_counter() - start
    without = "" if "tensorflow" in sys.modules else ", without importing tensorflow"
    yield "loader", f"TensorFlow's C++ loader takes it in {seconds:.1f} s{without}"
    yield "signatures", "; ".join(_check_signatures(model))
    examples = _examples(model)
    yield "batches", _check_batches(model, examples)
    yield "agreement", _check_agreement(model, examples)
    load_tensorflow_quietly()
    yield "variables", _check_variables(directory)
    yield "warm-up", _check_warmup(model, directory)
    yield "checkpoint", _check_checkpoint(model, directory, workdir, examples)


def _check_files(directory):
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (directory / name).is_file():
            raise CheckFailed(f"files: there is no {name} in {directory}")
    parts = [path for path in directory.rglob("*") if path.is_file()]
    empty = [path for path in parts if not path.stat().st_size]
    if empty:
        raise CheckFailed(f"files: {empty[0]} is empty")
    size = sum(path.stat().st_size for path in parts)
    return f"{len(parts)} files, {size / 1000:.0f} kB"


def _check_signatures(model):
    if "serving_default" not in model.signatures:
        raise CheckFailed(
            f"signatures: there is no serving_default; there are {', '.join(model.signatures)}"
        )
    for name, signature in model.signatures.items():
        if not {"logits", "probabilities", "classes"} <= signature.outputs.keys():
            raise CheckFailed(
                f"signatures: {name} gives {', '.join(signature.outputs)}; expected logits, "
                "probabilities and classes at least"
            )
        told = ", ".join(
            f"{key} {info.dtype} {_shape(info.shape)}" for key, info in signature.inputs.items()
        )
        yield f"{name}({told})"


def _shape(shape):
    return "" if shape is None else "×".join("n" if size is None else str(size) for size in shape)


def _examples(model):
    """For each signature its inputs, with as many rows as the largest batch."""
    examples = {}
    pixels = None
    for name in sorted(model.signatures, key=lambda name: name == "serve_bytes"):
        inputs = model.signatures[name].inputs
        if name == "serve_bytes":
            examples[name] = {key: _encoded(pixels) for key in inputs}
            continue
        examples[name] = {key: _made_up(info) for key, info in inputs.items()}
        if name == "serving_default":
            (pixels, *_) = examples[name].values()
    return examples


def _made_up(info):
    """Whole numbers of 0 to 255 for pixels and floats, zeros for other numbers, empty strings."""
    first, *rest = info.shape
    shape = [first or max(BATCH_SIZES), *(size or 1 for size in rest)]
    if info.dtype == "string":
        return np.full(shape, b"", object)
    if info.dtype == "uint8" or info.dtype.startswith("float"):
        return np.random.default_rng(0).integers(0, 256, shape).astype(info.dtype)
    return np.zeros(shape, info.dtype)


def _encoded(images):
    from PIL import Image

    encoded = []
    for image in images.astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
        encoded.append(file.getvalue())
    return np.array(encoded, object)


def _check_batches(model, examples):
    for name, inputs in examples.items():
        fixed = [info.shape[0] for info in model.signatures[name].inputs.values() if info.shape[0]]
        sizes = fixed[:1] or BATCH_SIZES
        whole = _predict(model, {key: array[: max(sizes)] for key, array in inputs.items()}, name)
        for size in sizes:
            outputs = _predict(model, {key: array[:size] for key, array in inputs.items()}, name)
            for key, array in outputs.items():
                if len(array) != size:
                    raise CheckFailed(
                        f"batches: {name} gives {len(array)} {key} for a batch of {size}"
                    )
            _compare(f"batches: {name}, batch {size}", whole["logits"][:size], outputs["logits"])
    return f"of {', '.join(map(str, BATCH_SIZES))} examples, row by row the same"


def _check_agreement(model, examples):
    default = _predict(model, examples["serving_default"])["logits"]
    others = [name for name in ("serve_float", "serve_bytes") if name in examples]
    for name in others:
        _compare(f"agreement: {name}", default, _predict(model, examples[name], name)["logits"])
    return f"{', '.join(others)} as serving_default" if others else "one signature, nothing to do"


def _check_variables(directory):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(directory / "variables" / "variables"))
    dtypes = reader.get_variable_to_dtype_map()
    sizes = [
        int(np.prod(shape))
        for name, shape in reader.get_variable_to_shape_map().items()
        if dtypes[name] != tf.string
    ]
    provenance = _provenance(directory)
    if not sizes:
        return "none: the weights are constants of the graph"
    if provenance is not None and sum(sizes) != provenance["net"]["parameters"]:
        raise CheckFailed(
            f"variables: {sum(sizes)} numbers are stored for {provenance['net']['parameters']} "
            "parameters; expected each once"
        )
    stored = sum(path.stat().st_size for path in (directory / "variables").iterdir())
    graph = _INDEX_BYTES_PER_VARIABLE * len(sizes)
    if stored > _BYTES_PER_PARAMETER * sum(sizes) + graph:
        raise CheckFailed(f"variables: {stored} bytes for {sum(sizes)} parameters")
    content = (directory / "saved_model.pb").read_bytes()
    for part in (b"optimizer", b"seed_generator"):
        if part in content:
            raise CheckFailed(f"variables: the graph speaks of {part.decode()}")
    return f"{sum(sizes)} parameters, each once, {stored / sum(sizes):.2f} bytes each"


def _check_warmup(model, directory):
    from rocket_tf.serving import warmup

    try:
        requests = warmup.read(directory)
    except ValueError as error:
        raise CheckFailed(f"warm-up: {error}") from error
    for signature, inputs in requests:
        _predict(model, inputs, signature, "warm-up")
    return f"{len(requests)} requests replayed" if requests else "no requests come along"


def _check_checkpoint(model, directory, workdir, examples):
    if workdir is None:
        workdir = directory.resolve().parent.parent
        if not (workdir / "config.json").exists():
            return "not compared: the export lies in no run's folder, and no --workdir is given"
    from rocket_tf import train
    from rocket_tf.checkpoint import CheckpointError
    from rocket_tf.config import ConfigError
    from rocket_tf.serving.saved_model import allowed_difference

    provenance = _provenance(directory)
    is_float32 = provenance is not None and provenance["net"]["compute_dtypes"] == ["float32"]
    try:
        net, _, _ = train.restore(workdir, "float32" if is_float32 else None)
    except (CheckpointError, ConfigError) as error:
        raise CheckFailed(f"checkpoint: {error}") from error
    (images,) = examples["serving_default"].values()
    light = getattr(net, "light", net)
    expected = light(images.astype("float32"), training=False)
    logits = _predict(model, examples["serving_default"])["logits"]
    largest = _compare("checkpoint", expected, logits, allowed_difference(light))
    return f"computes what the checkpoint of {workdir} does; logits differ by {largest:.1e} at most"


def _provenance(directory):
    path = directory / "assets.extra" / "provenance.json"
    return json.loads(path.read_text()) if path.exists() else None


def _predict(model, inputs, signature="serving_default", check="batches"):
    try:
        return model.predict(inputs, signature)
    except LoaderError as error:
        raise CheckFailed(f"{check}: {signature}: {error}") from error


def _compare(check, expected, actual, allowed=1e-5):
    expected, actual = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    largest = float(np.max(np.abs(expected - actual) / np.maximum(1, np.abs(expected))))
    if not largest <= allowed:  # not a number, either
        raise CheckFailed(f"{check}: logits differ by {largest:.1g}, allowed is {allowed:.0e}")
    return largest
