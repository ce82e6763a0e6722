"""Functions by which tests read the package's source."""

import ast


def imports_of(source):
    """The dotted names of the project's modules that a source file imports anywhere."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append("rocket_tf.a_relative_import")
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name == "rocket_tf" or name.startswith("rocket_tf.")]
