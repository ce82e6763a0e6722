"""Names of a package that are imported when they are first asked for."""

import importlib


def lazy_names(package, defined_in, modules=None):
    """`__getattr__` and `__dir__` of a package whose public names live in its modules.

    Args:
        package: its `__name__`.
        defined_in: dict from public names to the modules that define them, such as
            `{"Hint": "rocket_tf.core.hints"}`.
        modules: dict from public names that are modules to these modules' full names.

    Returns:
        `(__getattr__, __dir__)`.
    """
    modules = modules or {}

    def get_attribute(name):
        if name in modules:
            return importlib.import_module(modules[name])
        if name in defined_in:
            return getattr(importlib.import_module(defined_in[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get_attribute, lambda: sorted([*defined_in, *modules])
