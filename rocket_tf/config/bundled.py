"""The configurations that come along, in a clone or in an installed package, by name."""

import importlib.util
from pathlib import Path

from rocket_tf.config import own_code
from rocket_tf.errors import ConfigError


def paths():
    """Dict from names, such as "cifar10", to the paths of the configuration files."""
    package = Path(__file__).parents[1]
    for folder in (package / "configs", package.parent / "configs"):
        configs = {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}
        if configs:
            return configs
    return {}


def load(name, method="rocket"):
    """A configuration by its name, as a `ConfigDict` of one of `methods.METHODS`."""
    return _module(name, paths()[name]).get_config(method)


def load_file(text):
    """A rocket's configuration, from a configuration file or from one that comes along.

    Args:
        text: the file's path, or a name of `paths`. Functions that the file defines, such as
            `build_nets`, are part of the configuration.

    Raises:
        ConfigError: if there is no such file, or it gives no configuration.
    """
    path = Path(paths().get(text, text)) if not Path(text).is_file() else Path(text)
    if not path.is_file():
        raise ConfigError(
            f"--config: got {text}, expected the path of a configuration file, or one of "
            f"{', '.join(paths())}; there is no such file"
        )
    try:
        config = dict(_module(path.stem, path).get_config()) | own_code.fields_of(path)
    except Exception as error:  # whatever the file raises
        raise ConfigError(
            f"--config: {path} cannot be loaded ({type(error).__name__}): {error}"
        ) from error
    return config


def _module(name, path):
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
