"""Classifies image files with an export of any format."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import orientation
from rocket_tf.errors import ConfigError, LoaderError, UnreadableImageError
from rocket_tf.serving import companions, runtimes
from rocket_tf.serving.c_api import INVALID_ARGUMENT
from rocket_tf.serving.c_loader import LoadedModel
from rocket_tf.system import files
from rocket_tf.system.startup import stderr_kept_back

_EXPORT_SUFFIXES = (".tflite", ".onnx")
_SIGNATURE = "serve_bytes"
_PREDICTIONS = "predictions"  # of a regression
_ANSWERS = "probabilities", _PREDICTIONS
_NO_IMAGE = "cannot be read as a PNG or JPEG image"
_OWN_FORMATS = ("PNG", "JPEG")  # passed to every export's runtime unchanged


def find_export(path):
    """Finds the export at a path: the path itself, or the newest version in a folder of versions.

    Args:
        path: folder of a SavedModel, folder of versions, folder with one .tflite or .onnx file, or
            such a file.

    Returns:
        `pathlib.Path`.

    Raises:
        ConfigError: if there is none.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"{path}: does not exist; expected an export")
    if not path.is_dir() or (path / "saved_model.pb").exists():
        return path
    exports = [part for part in sorted(path.iterdir()) if part.suffix in _EXPORT_SUFFIXES]
    if len(exports) > 1:
        names = ", ".join(part.name for part in exports)
        raise ConfigError(f"{path}: holds several exports ({names}); name one of them")
    if exports:
        return exports[0]
    newest = files.newest_version(path)
    if newest is None:
        raise ConfigError(
            f"{path}: holds neither a saved_model.pb nor versions (folders named by a number); "
            "expected an export, as python -m tools.export writes them"
        )
    return find_export(newest)


def find_images(paths):
    """Finds image files among files, and in folders and their subfolders.

    Args:
        paths: files, all of which are used, and folders, from which the files that training reads
            are used (`data.images.files.find`).

    Returns:
        `(found, skipped)`: lists of `pathlib.Path`; those skipped are other files in folders.

    Raises:
        ConfigError: if a path does not exist, or a folder has no images.
    """
    found, skipped = [], []
    for path in map(Path, paths):
        if path.is_dir():
            images, others = image_files.find(path)
            if not images:
                raise ConfigError(
                    f"{path}: has no images; expected files ending in "
                    f"{', '.join(image_files.SUFFIXES)}, not hidden ones"
                )
            found += map(Path, images)
            skipped += map(Path, others)
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"{path}: does not exist; expected an image or a folder of images")
    return found, skipped


class Classifier:
    """An export that classifies image files, or predicts values for them.

    A SavedModel decodes and resizes them itself; for other formats, Pillow does it, with the same
    pixels as in training. Both turn images as their EXIF data say.

    Args:
        export: path of the export, from `find_export`.

    Attributes:
        class_names: the classes' names, or `None` without labels.
        is_regression: whether it gives predictions, not classes.

    Raises:
        ConfigError: if it does not take batches of images, if its labels do not fit, or if it
            cannot be loaded.
    """

    def __init__(self, export):
        export = Path(export)
        if export.is_dir():
            self._infer, self.is_regression, classes = _saved_model(export)
        else:
            self._infer, self.is_regression, classes = _with_pillow(export)
        self.class_names = companions.read_labels(export)
        if self.class_names is not None and classes not in (None, len(self.class_names)):
            raise ConfigError(
                f"{companions.labels_of(export)}: names {len(self.class_names)} classes, but the "
                f"export has {classes}"
            )

    def __call__(self, paths):
        """Classifies files.

        Args:
            paths: list of files.

        Returns:
            List with an item for each file: an array of its classes' probabilities or a
            regression's predictions, or an `UnreadableImageError` that says why there are none.
        """
        contents = [_content(path) for path in paths]
        readable = [content for content in contents if isinstance(content, bytes)]
        try:
            answers = iter(self._infer(readable) if readable else [])
        except UnreadableImageError:
            # The whole request fails if one file is not an image, so each is sent alone.
            answers = iter([self._alone(content) for content in readable])
        answers = [next(answers) if isinstance(content, bytes) else content for content in contents]
        return [
            UnreadableImageError(f"{path}: {answer}") if isinstance(answer, Exception) else answer
            for path, answer in zip(paths, answers, strict=True)
        ]

    def name(self, index):
        """The name of a class, or its number."""
        return str(index) if self.class_names is None else self.class_names[index]

    def _alone(self, content):
        try:
            return self._infer([content])[0]
        except UnreadableImageError as error:
            return error


def _content(path):
    try:
        content = files.read_bytes(path)
    except OSError as error:
        return UnreadableImageError(error.strerror)
    try:
        with Image.open(io.BytesIO(content)) as image:  # reads only the header
            image_files.check_size(image)
            is_known = image.format in _OWN_FORMATS
        return content if is_known else image_files.as_png(content)
    except (UnidentifiedImageError, OSError, SyntaxError):
        return content  # the export decides whether it can be read
    except (
        Exception
    ) as error:  # Pillow raises many kinds: for too many pixels, or an impossible value
        return UnreadableImageError(" ".join(str(error).split()) or type(error).__name__)


def _saved_model(export):
    """A function from files to answers, whether these are predictions, and their number."""
    try:
        with stderr_kept_back(LoaderError):
            model = LoadedModel(export)
    except LoaderError as error:
        raise ConfigError(f"{export}: TensorFlow cannot load it: {error}") from error
    signature = model.signatures.get(_SIGNATURE)
    answer_names = (
        [] if signature is None else [name for name in _ANSWERS if name in signature.outputs]
    )
    if not answer_names:
        raise ConfigError(
            f"{export}: does not classify image files (no signature {_SIGNATURE} with "
            "probabilities "
            f"or predictions; there are {', '.join(model.signatures) or 'none'})"
        )
    answer = answer_names[0]
    ((name, info),) = signature.inputs.items()
    _check_batch(export, info.shape)

    def infer(contents):
        try:
            with stderr_kept_back(LoaderError):  # the decoder's complaints
                return model.predict({name: contents}, _SIGNATURE, [answer])[answer]
        except LoaderError as error:
            if error.code != INVALID_ARGUMENT:
                raise ConfigError(f"{export}: {error}") from error
            raise UnreadableImageError(_NO_IMAGE) from error

    return infer, answer == _PREDICTIONS, (signature.outputs[answer].shape or [None])[-1]


def _with_pillow(export):
    """The same as `_saved_model`, for an export that takes pixels."""
    run = runtimes.load(export)
    (name, (dtype, shape)), *others = run.inputs.items()
    if others or len(shape) != 4 or None in shape[1:] or shape[-1] not in (1, 3):
        raise ConfigError(
            f"{export}: does not take images (inputs: {run.inputs}); expected one input of shape "
            "(batch, height, width, 1 or 3)"
        )
    _check_batch(export, shape)

    def infer(contents):
        images = np.stack([_decode(content, shape[1:]) for content in contents])
        return run({name: images.astype(dtype)})["probabilities"]

    return infer, False, None  # these formats are only for classification


def _check_batch(export, shape):
    if shape is not None and shape[0] not in (None, 1):
        raise ConfigError(
            f"{export}: takes only batches of {shape[0]}; export the net with a batch of any size"
        )


def _decode(content, shape):
    """An image of the wanted size and channels, as the SavedModel would decode it."""
    height, width, channels = shape
    if orientation.read(content) is None:
        raise UnreadableImageError(_NO_IMAGE)
    try:
        image = image_files.pixels(content, height, width, "L" if channels == 1 else "RGB")
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise UnreadableImageError(_NO_IMAGE) from error
    return np.asarray(image).reshape(shape)
