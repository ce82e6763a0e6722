"""Image files, classified by an export of any format."""

import io
import os
from pathlib import Path

import numpy as np

from rocket_tf import files
from rocket_tf.config import ConfigError
from rocket_tf.serving import runtimes
from rocket_tf.startup import stderr_kept_back

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_SIGNATURE = "serve_bytes"


class UnreadableImageError(ValueError):
    """A file that is not there, or no image; the message names it."""


def find_export(path):
    """The export that a path means: itself, or the newest version in a folder of versions.

    Args:
        path: folder of a SavedModel, folder of versions, or a file.

    Returns:
        `pathlib.Path`.

    Raises:
        ConfigError: if there is none.
    """
    path = Path(path)
    if path.is_dir() and not (path / "saved_model.pb").exists():
        newest = files.newest_version(path)
        if newest is None:
            raise ConfigError(
                f"{path}: holds neither a saved_model.pb nor versions (folders named by a number); "
                "expected an export, as python -m tools.export writes them"
            )
        return newest
    if not path.exists():
        raise ConfigError(f"{path}: there is nothing; expected an export")
    return path


def find_images(paths):
    """The image files among files and in folders, also in their folders.

    Args:
        paths: files, taken as they are, and folders, of which files ending in `IMAGE_SUFFIXES` are.

    Returns:
        List of `pathlib.Path`.

    Raises:
        ConfigError: if a path is not there, or a folder has no images.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            images = [
                part for part in sorted(path.rglob("*")) if part.suffix.lower() in IMAGE_SUFFIXES
            ]
            if not images:
                raise ConfigError(
                    f"{path}: has no images; expected files ending in {', '.join(IMAGE_SUFFIXES)}"
                )
            found.extend(images)
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"{path}: there is nothing; expected an image or a folder of images")
    return found


class Classifier:
    """An export that classifies image files.

    A SavedModel decodes and resizes them itself; for other formats Pillow does it, whose resizing
    differs a little from TensorFlow's.

    Args:
        export: path of the export, as `find_export` gives it.

    Attributes:
        class_names: the classes' names, or their numbers as text where no labels come along.

    Raises:
        ConfigError: if it takes no images, or its runtime is not installed.
        LoaderError: if it is a SavedModel that cannot be loaded.
    """

    def __init__(self, export):
        export = Path(export)
        if export.is_dir():
            self._infer = _saved_model(export)
            labels = export / "assets" / "labels.txt"
        else:
            self._infer = _with_pillow(export)
            labels = export.parent / "labels.txt"
        self.class_names = labels.read_text().splitlines() if labels.exists() else None

    def __call__(self, paths):
        """Classifies files.

        Args:
            paths: list of files.

        Returns:
            List with, for each file, its classes' probabilities as an array, or the
            `UnreadableImageError` that says why there are none.
        """
        contents = [_content(path) for path in paths]
        readable = [content for content in contents if isinstance(content, bytes)]
        try:
            answers = iter(self._infer(readable) if readable else [])
        except Exception:
            # One of them is no image, and the answer is for all of them: ask for each alone.
            answers = iter([self._alone(content) for content in readable])
        answers = [next(answers) if isinstance(content, bytes) else content for content in contents]
        return [
            UnreadableImageError(f"{path}: {answer}") if isinstance(answer, Exception) else answer
            for path, answer in zip(paths, answers, strict=True)
        ]

    def name(self, index):
        """The name of a class."""
        return str(index) if self.class_names is None else self.class_names[index]

    def _alone(self, content):
        try:
            return self._infer([content])[0]
        except Exception:  # of whatever decodes it
            return ValueError("cannot be read as an image")


def _content(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        return ValueError(os.strerror(error.errno) if error.errno else str(error))


def _saved_model(export):
    from rocket_tf.serving.c_loader import LoadedModel, LoaderError

    with stderr_kept_back(LoaderError):
        model = LoadedModel(export)
    if _SIGNATURE not in model.signatures:
        raise ConfigError(
            f"{export}: takes no image files (no signature {_SIGNATURE}; there are "
            f"{', '.join(model.signatures)})"
        )
    (name,) = model.signatures[_SIGNATURE].inputs

    def infer(contents):
        return model.predict({name: np.array(contents, object)}, _SIGNATURE)["probabilities"]

    return infer


def _with_pillow(export):
    run = runtimes.load(export)
    (name, (dtype, shape)), *others = run.inputs.items()
    if others or len(shape) != 4 or None in shape[1:] or shape[-1] not in (1, 3):
        raise ConfigError(
            f"{export}: takes no images (inputs: {run.inputs}); expected one input of shape "
            "(batch, height, width, 1 or 3)"
        )

    def infer(contents):
        images = np.stack([_decode(content, shape[1:]) for content in contents])
        return run({name: images.astype(dtype)})["probabilities"]

    return infer


def _decode(content, shape):
    from PIL import Image

    height, width, channels = shape
    image = Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(shape)
