"""Classifies images with an export: a SavedModel, LiteRT or ONNX; or predicts values of them.

    rocket-tf predict runs/digits/light photo.png more_photos/
    rocket-tf predict runs/digits/onnx/1/light.onnx photos/ --format=jsonl --top=3

A file that is no image is named on stderr, the others are classified, and the exit code is 1.
"""

import json
import sys

import numpy as np

from rocket_tf.commands import Parser
from rocket_tf.errors import ConfigError
from rocket_tf.serving.prediction import Classifier, find_export, find_images
from rocket_tf.system.answering import answer, complain


def main(argv=None):
    """Classifies what the arguments name; returns the process's exit code."""
    parser = Parser("predict", __doc__)
    parser.add_argument("export", help="version, folder of versions, .tflite or .onnx file")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--format", choices=("table", "jsonl"), default="table")
    parser.add_argument("--top", type=int, default=1, help="classes to tell of each (%(default)s)")
    parser.add_argument("--batch_size", type=int, default=32, help="images at once (%(default)s)")
    arguments = parser.parse_args(argv)
    return answer("predict", lambda: _predict(arguments))


def _predict(arguments):
    for name in ("top", "batch_size"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name}: got {getattr(arguments, name)}, expected at least 1")
    images = find_images(arguments.images)
    classify = Classifier(find_export(arguments.export))
    in_table = arguments.format == "table"
    show = _show_row if in_table else _show_json
    show_values = _show_values_in_row if in_table else _show_values_in_json
    width = max(len(str(path)) for path in images)
    unreadable = 0
    for start in range(0, len(images), arguments.batch_size):
        batch = images[start : start + arguments.batch_size]
        for path, found in zip(batch, classify(batch), strict=True):
            if isinstance(found, Exception):
                unreadable += 1
                complain("predict", found)
                continue
            if classify.is_regression:
                show_values(path, np.ravel(found).tolist(), width)
                continue
            best = np.argsort(-found, kind="stable")[: arguments.top]
            show(path, [(classify.name(index), float(found[index])) for index in best], width)
        sys.stdout.flush()
    return 1 if unreadable else 0


def _show_row(path, classes, width):
    told = "  ".join(f"{name} {100 * probability:6.2f} %" for name, probability in classes)
    print(f"{path!s:<{width}}  {told}")


def _show_values_in_row(path, values, width):
    print(f"{path!s:<{width}}  {'  '.join(f'{value:.6g}' for value in values)}")


def _show_json(path, classes, _):
    told = [{"class": name, "probability": probability} for name, probability in classes]
    print(json.dumps({"file": str(path), "classes": told}))


def _show_values_in_json(path, values, _):
    print(json.dumps({"file": str(path), "predictions": values}))
