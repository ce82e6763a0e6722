"""The package's source, as tests read it."""

import ast


def imports_of(source):
    """The modules of the project that a source file imports, wherever in it, by dotted name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append("rocket_tf.a_relative_import")
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name == "rocket_tf" or name.startswith("rocket_tf.")]
