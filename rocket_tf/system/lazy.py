"""Names of a package that are imported when they are first asked for."""

import importlib


def lazy_names(package, modules):
    """`__getattr__` and `__dir__` of a package whose public names live in its modules.

    Args:
        package: its `__name__`.
        modules: dict from public names to the modules that define them, such as
            `{"Hint": "rocket_tf.core.hints"}`. A module that is called as its name is the name.

    Returns:
        `(__getattr__, __dir__)`.
    """

    def get_attribute(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(modules[name])
        return module if modules[name].endswith(f".{name}") else getattr(module, name)

    return get_attribute, lambda: sorted(modules)
