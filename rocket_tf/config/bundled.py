"""The configurations that come along, in a clone or in an installed package, by name."""

import importlib.util
from pathlib import Path


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
    specification = importlib.util.spec_from_file_location(name, paths()[name])
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.get_config(method)
