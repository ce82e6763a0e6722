"""Classifies images with an export (SavedModel, LiteRT or ONNX), or predicts values for them.

    rocket-tf predict runs/digits/light photo.png more_photos/
    rocket-tf predict runs/digits/onnx/1/light.onnx photos/ --format=jsonl --top=3
    rocket-tf predict runs/digits/light photos/ --format=csv > classes.csv

A file that is not an image is named on stderr, the others are classified, and the exit code is 1.
In folders, it reads the files that training reads, and names the others on stderr.
"""

import csv
import sys

import numpy as np

from rocket_tf.commands import Parser
from rocket_tf.errors import ConfigError
from rocket_tf.serving.prediction import Classifier, find_export, find_images
from rocket_tf.system import files
from rocket_tf.system.answering import answer, complain


def main(argv=None):
    """Classifies what the arguments name; returns the process's exit code."""
    parser = Parser("predict", __doc__)
    parser.add_argument("export", help="version, folder of versions, .tflite or .onnx file")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--format", choices=tuple(_FORMATS), default="table")
    parser.add_argument("--top", type=int, default=1, help="classes to print (%(default)s)")
    parser.add_argument("--batch_size", type=int, default=32, help="images at once (%(default)s)")
    arguments = parser.parse_args(argv)
    return answer("predict", lambda: _predict(arguments))


def _predict(arguments):
    for name in ("top", "batch_size"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name}: got {getattr(arguments, name)}, expected at least 1")
    images, skipped = find_images(arguments.images)
    hidden = sum(path.name.startswith(".") for path in skipped)
    for path in skipped:
        if not path.name.startswith("."):
            complain("predict", f"{path}: skipped, its name is not that of an image")
    if hidden:  # there may be one for each image, if a Mac has packed them
        complain("predict", f"hidden files skipped, as in training: {hidden}")
    classify = Classifier(find_export(arguments.export))
    printer = _FORMATS[arguments.format](images, classify.is_regression)
    unreadable = 0
    for start in range(0, len(images), arguments.batch_size):
        batch = images[start : start + arguments.batch_size]
        for path, result in zip(batch, classify(batch), strict=True):
            if isinstance(result, Exception):
                unreadable += 1
                complain("predict", result)
                continue
            if classify.is_regression:
                printer.values(path, np.ravel(result).tolist())
                continue
            best = np.argsort(-result, kind="stable")[: arguments.top]
            printer.classes(path, [(classify.name(index), float(result[index])) for index in best])
        sys.stdout.flush()
    return 1 if unreadable else 0


class _Table:
    """Answers for people to read."""

    def __init__(self, images, is_regression):
        self._width = max(len(str(path)) for path in images)

    def classes(self, path, best):
        classes = "  ".join(f"{name} {100 * probability:6.2f} %" for name, probability in best)
        print(f"{path!s:<{self._width}}  {classes}")

    def values(self, path, predictions):
        print(f"{path!s:<{self._width}}  {'  '.join(f'{value:.6g}' for value in predictions)}")


class _JsonLines:
    """A JSON object for each image, one a line."""

    def __init__(self, images, is_regression):
        pass

    def classes(self, path, best):
        classes = [{"class": name, "probability": probability} for name, probability in best]
        print(files.as_json({"file": str(path), "classes": classes}))

    def values(self, path, predictions):
        print(files.as_json({"file": str(path), "predictions": predictions}))


class _Csv:
    """A row for each image and each of its classes or values, in order."""

    def __init__(self, images, is_regression):
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        columns = ("output", "prediction") if is_regression else ("rank", "class", "probability")
        self._writer.writerow(("file", *columns))

    def classes(self, path, best):
        for rank, (name, probability) in enumerate(best, 1):
            self._writer.writerow((path, rank, name, probability))

    def values(self, path, predictions):
        for output, value in enumerate(predictions):
            self._writer.writerow((path, output, value))


_FORMATS = {"table": _Table, "jsonl": _JsonLines, "csv": _Csv}
