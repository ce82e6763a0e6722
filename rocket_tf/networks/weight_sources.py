"""Where a net's first weights come from: a name, a file, a preset.

A `.keras` file and a preset of KerasHub contain a net and replace a backbone. ImageNet's weights by
name and a `.weights.h5` file contain only weights and need a backbone. It does not import
TensorFlow.
"""

import importlib.util
import json
import os
import zipfile
from pathlib import Path

from rocket_tf.networks.backbone_names import image_size_of

IMAGENET = "imagenet"
_HUB = "hub/"
INSTALL_HUB = 'pip install "rocket_tf[hub]", or in a clone: pip install -e ".[hub]"'
_KERAS_DOWNLOADS = "https://storage.googleapis.com"
_SECONDS = 10
_MISSING = "there is no such file"


def kind_of(weights):
    """The kind of a source: "imagenet", "keras", "weights.h5", "hub", or "" for anything else.

    Example:
        >>> [kind_of(text) for text in ("imagenet", "nets/a.keras", "a.weights.h5", "hub/x", "y")]
        ['imagenet', 'keras', 'weights.h5', 'hub', '']
    """
    if weights == IMAGENET:
        return IMAGENET
    if weights.startswith(_HUB) and len(weights) > len(_HUB):
        return "hub"
    for suffix in ("keras", "weights.h5"):
        if weights.endswith(f".{suffix}"):
            return suffix
    return ""


def has_net(weights):
    """Whether a source contains a net, so that no backbone is needed.

    Example:
        >>> has_net("nets/a.keras"), has_net("imagenet"), has_net("")
        (True, False, False)
    """
    return kind_of(weights) in ("keras", "hub")


def preset_of(weights):
    """The preset that `hub/<preset>` names: KerasHub's own, a local folder, or `hf://…`.

    Example:
        >>> preset_of("hub/hf://keras/resnet_18_imagenet")
        'hf://keras/resnet_18_imagenet'
    """
    return weights.removeprefix(_HUB)


def problem_of(weights, backbone):
    """Why weights cannot be loaded on this machine, in words; empty if nothing prevents it.

    It uses the network if a name must be downloaded.

    Args:
        weights: a text that `kind_of` knows.
        backbone: for weights without a net, the net's name in keras.applications.
    """
    kind = kind_of(weights)
    if kind == IMAGENET:
        return _problem_of_download(backbone)
    if kind == "hub":
        return "" if importlib.util.find_spec("keras_hub") else f"needs keras_hub: {INSTALL_HUB}"
    if not os.path.isfile(weights):
        return _MISSING
    if kind == "keras":
        return _read_config(weights)[1]
    return ""


def image_size_of_net(weights, backbone):
    """Height and width, in pixels, of the images that a net is made for.

    Args:
        weights: a text that `kind_of` knows.
        backbone: for weights without a net, the net's name in keras.applications.

    Returns:
        An int; 0 if the net takes images of any size.

    Raises:
        ValueError: if a `.keras` file cannot be read.
    """
    kind = kind_of(weights)
    if kind == "hub":
        return _image_size_of_preset(Path(preset_of(weights)))
    if kind != "keras":
        return image_size_of(backbone)
    config, problem = _read_config(weights) if os.path.isfile(weights) else ({}, _MISSING)
    if problem:
        raise ValueError(problem)
    sizes = [shape[1:3] for shape in _input_shapes(config)]
    return next((height for height, width in sizes if height is not None and height == width), 0)


def keras_folder():
    """Where Keras looks for weights that it has downloaded."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return os.path.join(home, "models")


def ways_out(backbone):
    """What to do if a net's weights cannot be downloaded, in words."""
    return (
        f"put Keras's file of {backbone} without its top into {keras_folder()}, where Keras looks "
        "first, or name a .keras or .weights.h5 file"
    )


def _problem_of_download(backbone):
    import requests

    folder, plain_name = Path(keras_folder()), _plain(backbone)
    cached = folder.glob("*top*.h5") if folder.is_dir() else ()
    if any(plain_name in _plain(path.name) for path in cached):
        return ""
    try:
        requests.head(_KERAS_DOWNLOADS, timeout=_SECONDS)
    except requests.RequestException as error:
        return (
            f"Keras cannot download it ({_KERAS_DOWNLOADS}: {type(error).__name__}); "
            + ways_out(backbone)
        )
    return ""


def _plain(name):
    """A net's name without the signs that its file has between words, for comparison."""
    return "".join(filter(str.isalnum, name)).lower()


def _read_config(path):
    """The configuration in a `.keras` file, and what is wrong with it, in words, if anything."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json")), ""
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        message = " ".join(str(error).split())
        return {}, f"it cannot be read as a .keras file ({type(error).__name__}: {message})"


def _input_shapes(config):
    """The shapes of a net's image inputs, (batch, height, width, channels)."""
    layers = config.get("config", {}).get("layers", [])
    for layer in layers:
        layer_config = layer.get("config", {})
        shape = layer_config.get("batch_shape") or layer_config.get("batch_input_shape")
        if layer.get("class_name") == "InputLayer" and shape is not None and len(shape) == 4:
            yield shape


def _image_size_of_preset(folder):
    """The size of its image converter if the preset is a local folder with one; else 0."""
    try:
        converter = json.loads((folder / "image_converter.json").read_text())
        height, width = converter["config"]["image_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return height if height == width else 0
