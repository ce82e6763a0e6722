"""Exports the light net of a finished run in several formats, each checked against the model."""

import dataclasses
import logging
from pathlib import Path

import keras
import numpy as np

from rocket_tf.core.heads import by_output
from rocket_tf.errors import ConfigError, DataUnavailableError, ExportError
from rocket_tf.runs import finished as finished_run
from rocket_tf.runs.folder import RunFolder
from rocket_tf.serving import companions, converters, model_card, runtimes
from rocket_tf.serving.answers import CLASSIFICATION, own_name
from rocket_tf.serving.descriptions import hints_of
from rocket_tf.serving.fixed_inputs import served_net
from rocket_tf.serving.parity import LARGEST_DIFFERENCE, difference
from rocket_tf.serving.saved_model import (
    allowed_difference,
    describe_net,
    export_light,
)
from rocket_tf.serving.signatures import input_names
from rocket_tf.system import files

_BATCH = 256
_MADE_UP = 32  # number of made-up images, used if there are no test images
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Export:
    """An exported file or folder.

    Attributes:
        kind: the format, in a few words.
        path: path of the file or folder.
        size: total size in bytes.
        test_error: error in per cent on the run's test images, in the format's own runtime; `None`
            if the test images no longer exist.
        difference: the largest difference between its logits and the model's on the test images,
            relative for logits above 1. Both have the same precision, except for int8.
    """

    kind: str
    path: Path
    size: int
    test_error: float | None
    difference: float


def export_run(
    workdir,
    formats,
    output=None,
    optimize=False,
    precision=None,
    calibration_examples=500,
    data_dir="",
    data=None,
    data_path="",
):
    """Writes a finished run's light net, format by format.

    Each format becomes a version in `<output>/light`, `<output>/litert`, `<output>/onnx` or
    `<output>/keras`. It gets its name once it is complete and checked on the run's test images. The
    format `keras` holds a file each for the light net and the booster, for further training.

    Args:
        workdir: the run's folder.
        formats: some of `runtimes.FORMATS`. LiteRT comes in float32 and in int8.
        output: folder to write to; `None`: the run's own.
        optimize: as in `export_light`.
        precision: dtype policy of the SavedModel; `None`: the run's own. Others are float32.
        calibration_examples: number of training images, the first ones, that set int8's ranges.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.
        data: an open `rocket_tf.data.DataSet`, used if it is the run's.
        data_path: where the run's own data is now; empty: where it was. If there are no test images
            any more, exports are checked on made-up ones; int8 needs training images.

    Yields:
        An `Export` for each version, when it is written.

    Raises:
        ConfigError: if a format is unknown or not installed, if there is no finished run with a
            light net, or if TensorFlow could not load a SavedModel from the folder.
        CheckpointError, DataUnavailableError: like `rocket_tf.train.evaluate`.
        ExportError: if a converter fails, or a float format does not compute what the model does.
        OSError: if something cannot be written.
    """
    with RunFolder(workdir).undisturbed():
        yield from _export_run(
            workdir,
            formats,
            output,
            optimize,
            precision,
            calibration_examples,
            data_dir,
            data,
            data_path,
        )


def _export_run(
    workdir, formats, output, optimize, precision, calibration_examples, data_dir, data, data_path
):
    runtimes.check_formats(formats)
    runtimes.check_folder(output or workdir, formats)
    folder, config, summary, data = finished_run.open_run(workdir, data_dir, data, data_path)
    if "light" not in summary and set(formats) - {"keras"}:
        raise ConfigError(
            f"--workdir: {workdir} trained no light net, only a booster; --formats=keras saves it"
        )
    if data.card.kind == "clicks" and set(formats) - {"savedmodel"}:
        raise ConfigError(
            f"--formats: got {','.join(formats)} for a net that reads ids and strings, expected "
            "savedmodel: the others have no hashing"
        )
    model, _, _ = finished_run.restore(workdir, "float32", data)
    light = model.light
    origin = finished_run.provenance(folder, config, summary)
    origin["hints"] = hints_of(model)
    output = Path(output or workdir)
    if "savedmodel" in formats:
        yield _export_savedmodel(folder, data, output, optimize, precision, origin)
    prover = _Prover(light, data)
    origin = {**origin, "net": describe_net(light)}
    task = {"multi_label": data.card.multi_label}
    if "litert" in formats:
        calibration, _ = data.train.first(calibration_examples)
        contents = {
            "light.tflite": (
                "LiteRT, float32",
                converters.to_litert(light, **task),
                LARGEST_DIFFERENCE,
            ),
            "light_int8.tflite": (
                "LiteRT, int8",
                converters.to_litert(light, calibration, **task),
                None,
            ),
        }
        yield from _write(output / "litert", contents, prover, data.class_names, origin)
    if "onnx" in formats:
        contents = {"light.onnx": ("ONNX", converters.to_onnx(light, **task), LARGEST_DIFFERENCE)}
        yield from _write(output / "onnx", contents, prover, data.class_names, origin)
    if "keras" in formats:
        nets = {"light": light, "booster": model.booster}
        if "light" not in summary:
            nets = {"booster": light}
        yield from _write_keras(output / "keras", nets, data, origin)


def _export_savedmodel(folder, data, output, optimize, precision, origin):
    model, config, _ = finished_run.restore(folder.path, precision, data)
    light = model.light
    prover = _Prover(served_net(light), data)
    kind = f"SavedModel, {precision or config['precision']}"
    proved = []
    version = export_light(
        light,
        output / folder.light.name,
        finished_run.class_names_of(data),
        optimize=optimize,
        provenance=origin,
        prove=lambda partial: proved.append(prover.prove(kind, partial, allowed_difference(light))),
        **finished_run.export_arguments(data, light, config["evaluate_test"]),
    )
    return dataclasses.replace(proved[0], path=version)


class _Prover:
    """Runs exports on the test examples, or on made-up images if there are none."""

    def __init__(self, light, data):
        self._light = light
        self._split = _test_examples(data)
        self._made_up = None
        if self._split is None:
            shape = (_MADE_UP, *data.card.image_shape)
            self._made_up = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        self._logits = [light.predict_on_batch(inputs) for inputs, _ in self._batches()]

    def prove(self, kind, path, allowed=LARGEST_DIFFERENCE):
        """Measures an export; with `allowed=None`, it may differ from the model."""
        run = _LoadedNet(path) if path.suffix == ".keras" else runtimes.load(path)
        names = input_names(self._light)
        wrong, largest, error = 0, [], None
        answer_names = {
            output: own_name(output, CLASSIFICATION) for output in by_output(self._light.output)
        }
        for (inputs, labels), expected in zip(self._batches(), self._logits, strict=True):
            arrays = dict(zip(names, keras.tree.flatten(inputs), strict=True))
            # A converter may rename a single input.
            if len(run.inputs) == 1:
                arrays = dict(zip(run.inputs, arrays.values(), strict=True))
            answers = run({name: arrays[name] for name in run.inputs})
            for output, logits in by_output(expected).items():
                largest.append(difference(logits, answers[answer_names[output]]))
            if labels is not None:
                # With several labels, the error is that of the first.
                labels = labels if None in answer_names else labels[:, :1]
                wrong += _count_wrong(answers[next(iter(answer_names.values()))], labels)
        largest = float(np.max(largest))  # NaN if any of them is
        if allowed is not None and not largest <= allowed:
            raise ExportError(
                f"{kind} does not compute what the model computes: logits differ by {largest:.1g}, "
                f"but at most {allowed:.0e} is allowed; it was not kept"
            )
        if self._split is not None:
            error = 100 * (wrong / self._split.examples)
        return Export(
            kind=kind,
            path=path,
            size=files.size_of(path),
            test_error=error,
            difference=largest,
        )

    def _batches(self):
        """The test examples, with the inputs that the net reads; or images without labels."""
        if self._split is None:
            yield self._made_up, None
            return
        batches = self._split.evaluation_batches(_BATCH)
        for inputs, labels in batches.as_numpy_iterator():
            if isinstance(inputs, dict):
                inputs = {name: inputs[name] for name in self._light.input}
            yield inputs, labels


def _count_wrong(logits, labels):
    """The number of wrong answers; for multi-label examples, the share of wrong classes counts."""
    if labels.ndim > 1:
        return float(np.mean((logits > 0) != (labels > 0), axis=-1).sum())
    return int(np.count_nonzero(logits.argmax(-1) != labels))


def _test_examples(data):
    """The test examples, a `rocket_tf.data.Split`; `None` if images no longer exist."""
    try:
        return data.test
    except DataUnavailableError as error:
        if data.card.kind != "images":  # ids cannot be made up
            raise
        _LOGGER.warning(
            "There are no test images (%s): exports are compared with the model on made-up ones, "
            "and their errors are not measured",
            error,
        )
        return None


def _write_keras(directory, nets, data, origin):
    """Writes a version with a `.keras` file for each net."""
    contents = {
        f"{role}.keras": (f"Keras, {role}", converters.to_keras(net), LARGEST_DIFFERENCE)
        for role, net in nets.items()
        if net is not None
    }
    provers = {f"{role}.keras": _Prover(net, data) for role, net in nets.items() if net is not None}
    yield from _write(directory, contents, provers, data.class_names, origin)


class _LoadedNet:
    """A `.keras` file, run like an export."""

    def __init__(self, path):
        self._net = keras.models.load_model(path)
        self.inputs = input_names(self._net)

    def __call__(self, inputs):
        arrays = [inputs[name] for name in self.inputs]
        arrays = keras.tree.pack_sequence_as(self._net.input, arrays)
        return {"logits": self._net.predict_on_batch(arrays)}


def _write(directory, contents, provers, class_names, origin):
    """Writes a version with the files of `contents`: their kind, bytes and allowed difference.

    `provers` is a `_Prover` for all of them, or a dict with one for each.
    """
    exports = []

    def write(folder):
        for name, (kind, content, allowed) in contents.items():
            files.write_bytes(folder / name, content)
            prover = provers[name] if isinstance(provers, dict) else provers
            exports.append(prover.prove(kind, folder / name, allowed))
        companions.write_labels(folder / companions.LABELS, class_names)
        companions.write_provenance(folder / companions.PROVENANCE, origin)
        measured = [{**dataclasses.asdict(export), "name": export.path.name} for export in exports]
        model_card.write(exports[0].path, contents=measured)

    final = files.write_version(directory, write)
    return [dataclasses.replace(export, path=final / export.path.name) for export in exports]
