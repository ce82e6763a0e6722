"""The light net of a finished run in several formats, each proved against the model."""

import dataclasses
from pathlib import Path

import numpy as np

from rocket_tf import files, train
from rocket_tf.config import ConfigError
from rocket_tf.run_folder import RunFolder
from rocket_tf.serving import converters, runtimes
from rocket_tf.serving.saved_model import (
    LABELS_FILE,
    LARGEST_DIFFERENCE,
    describe_net,
    difference,
    export_light,
    write_provenance,
)

_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Export:
    """A file, or folder, that was written.

    Attributes:
        kind: what it is, in a few words.
        path: where it is.
        size: bytes of all of it.
        test_error: in per cent, on the run's test images, in the format's own runtime.
        difference: the largest difference of its logits from the model's on the test images,
            relative to logits above 1.
    """

    kind: str
    path: Path
    size: int
    test_error: float
    difference: float


def export_run(
    workdir,
    formats,
    output=None,
    optimize=False,
    precision=None,
    calibration_examples=500,
    data_dir="",
):
    """Writes a finished run's light net, format by format.

    A version is written to `<output>/light`, `<output>/litert` or `<output>/onnx`; it gets its name
    when all of it is written and proved on the run's test images.

    Args:
        workdir: the run's folder.
        formats: some of `runtimes.FORMATS`. LiteRT comes in float32 and in int8.
        output: folder to write to; `None`: the run's own.
        optimize: as in `export_light`.
        precision: dtype policy of the SavedModel; `None`: the run's own. Others are float32.
        calibration_examples: the first so many training images set the ranges of int8.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.

    Yields:
        `Export`s, as they are there.

    Raises:
        ConfigError: if a format is unknown or not installed, or there is no finished run with a
            light net.
        CheckpointError, DataUnavailableError: as `rocket_tf.train.evaluate`.
        RuntimeError: if a float format does not compute what the model computes.
        OSError: if something cannot be written.
    """
    runtimes.check_formats(formats)
    folder = RunFolder(workdir)
    model, config, summary = train.restore(workdir, "float32")
    if "light" not in summary:
        raise ConfigError(f"--workdir: {workdir} trained no light net, only a booster")
    data = train.load_data(config, data_dir)
    light = getattr(model, "light", model)
    prover = _Prover(light, data.test_images, data.test_labels)
    told = train.provenance(folder, config, summary)
    output = Path(output or workdir)
    if "savedmodel" in formats:
        yield _export_savedmodel(
            folder, prover, data.class_names, output, optimize, precision, told
        )
    if "litert" in formats:
        calibration = data.train_images[:calibration_examples]
        contents = {
            "light.tflite": ("LiteRT, float32", converters.to_litert(light)),
            "light_int8.tflite": ("LiteRT, int8", converters.to_litert(light, calibration)),
        }
        yield from _write(output / "litert", contents, prover, data.class_names, told)
    if "onnx" in formats:
        contents = {"light.onnx": ("ONNX", converters.to_onnx(light))}
        yield from _write(output / "onnx", contents, prover, data.class_names, told)


def _export_savedmodel(folder, prover, class_names, output, optimize, precision, told):
    model, config, _ = train.restore(folder.path, precision)
    version = export_light(
        model, output / folder.light.name, class_names, optimize=optimize, provenance=told
    )
    shown = precision or config["precision"]
    return prover.prove(f"SavedModel, {shown}", version, is_float=shown == "float32")


class _Prover:
    """Asks exports for the classes of the test images."""

    def __init__(self, light, images, labels):
        self._light = light
        self._images = images
        self._labels = labels
        self._logits = light.predict(images, batch_size=_BATCH, verbose=0)

    def prove(self, kind, path, is_float):
        run = runtimes.load(path)
        (name,) = run.inputs
        batches = range(0, len(self._images), _BATCH)
        logits = np.concatenate(
            [run({name: self._images[start : start + _BATCH]})["logits"] for start in batches]
        )
        largest = difference(self._logits, logits)
        if is_float and not largest <= LARGEST_DIFFERENCE:
            raise RuntimeError(
                f"{kind} does not compute what the model computes: logits differ by {largest:.1g}, "
                f"and {LARGEST_DIFFERENCE:.0e} is allowed; it was not kept"
            )
        return Export(
            kind=kind,
            path=path,
            size=sum(part.stat().st_size for part in _files(path)),
            test_error=100 * float(np.mean(logits.argmax(-1) != self._labels)),
            difference=largest,
        )

    def provenance(self, told):
        return {**told, "net": describe_net(self._light)}


def _write(directory, contents, prover, class_names, told):
    with files.new_version(directory) as (partial, final):
        exports = []
        for name, (kind, content) in contents.items():
            files.write_bytes(partial / name, content)
            exports.append(prover.prove(kind, partial / name, is_float="int8" not in name))
        files.write_text(partial / LABELS_FILE, "".join(f"{name}\n" for name in class_names))
        write_provenance(partial / "provenance.json", prover.provenance(told))
    for export in exports:
        yield dataclasses.replace(export, path=final / export.path.name)


def _files(path):
    return [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
