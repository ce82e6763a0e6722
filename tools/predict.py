"""Classifies images with an export: a SavedModel, LiteRT or ONNX.

    python -m tools.predict runs/digits/light photo.png more_photos/
    python -m tools.predict runs/digits/onnx/1/light.onnx photos/ --format=jsonl --top=3

A file that is no image is named on stderr, the others are classified, and the exit code is 1.
"""

import argparse
import json
import os
import sys

import numpy as np

from rocket_tf.errors import ConfigError


def main(argv=None):
    """Classifies what the arguments name; returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", help="version, folder of versions, .tflite or .onnx file")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--format", choices=("table", "jsonl"), default="table")
    parser.add_argument("--top", type=int, default=1, help="classes to tell of each (%(default)s)")
    parser.add_argument("--batch_size", type=int, default=32, help="images at once (%(default)s)")
    arguments = parser.parse_args(argv)
    try:
        return _predict(arguments)
    except ConfigError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _predict(arguments):
    from rocket_tf.serving.prediction import Classifier, find_export, find_images

    for name in ("top", "batch_size"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name}: got {getattr(arguments, name)}, expected at least 1")
    images = find_images(arguments.images)
    classify = Classifier(find_export(arguments.export))
    show = {"table": _show_row, "jsonl": _show_json}[arguments.format]
    width = max(len(str(path)) for path in images)
    unreadable = 0
    for start in range(0, len(images), arguments.batch_size):
        batch = images[start : start + arguments.batch_size]
        for path, answer in zip(batch, classify(batch), strict=True):
            if isinstance(answer, Exception):
                unreadable += 1
                print(f"predict: {answer}", file=sys.stderr)
                continue
            best = np.argsort(-answer, kind="stable")[: arguments.top]
            show(path, [(classify.name(index), float(answer[index])) for index in best], width)
        sys.stdout.flush()
    return 1 if unreadable else 0


def _show_row(path, classes, width):
    told = "  ".join(f"{name} {100 * probability:6.2f} %" for name, probability in classes)
    print(f"{path!s:<{width}}  {told}")


def _show_json(path, classes, _):
    told = [{"class": name, "probability": probability} for name, probability in classes]
    print(json.dumps({"file": str(path), "classes": told}))


if __name__ == "__main__":
    sys.exit(main())
