"""Private names of Keras and TensorFlow are used in three files alone."""

import ast
from pathlib import Path

import keras
import pytest

PACKAGE = Path(__file__).parents[2] / "rocket_tf"
OF_KERAS = PACKAGE / "core" / "keras_internals.py"
OF_OPTIMIZERS = PACKAGE / "core" / "optimizer_internals.py"
OF_TENSORFLOW = PACKAGE / "core" / "tensorflow_internals.py"


def is_private(name):
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def names_of_keras():
    """The private names of Keras's models, layers, losses, metrics, optimizers and callbacks."""
    model = keras.Model(inputs := keras.Input((2,)), keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    objects = [model, keras.Sequential(), model.layers[1], model.output, keras.Variable([0.0])]
    objects += [keras.losses.Huber(), keras.metrics.Mean(), keras.metrics.AUC()]
    objects += [model.optimizer, keras.optimizers.AdamW(), scaling, keras.callbacks.Callback()]
    return {name for each in objects for name in dir(each) if is_private(name)}


def uses_of_internals(source, names_of_keras):
    """The private names of Keras and TensorFlow in a source file, in any use.

    Args:
        source: the file's text.
        names_of_keras: private names that a class with a base must not redefine.
    """
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    defined = {node.name: private_names_of(node) for node in classes}
    inherited = [defined[node.name] & names_of_keras for node in classes if node.bases]
    own = set().union(*defined.values()) | {"_exit"}  # os._exit
    found = sorted(set().union(*inherited))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                found.append(name)
            case ast.Call(func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, key, *_]):
                if is_private(name := getattr(key, "value", "")) and name not in own:
                    found.append(name)
            case ast.Import(names=aliases):
                found += [alias.name for alias in aliases if is_internal(alias.name)]
            case ast.ImportFrom(module=module) if is_internal(module or ""):
                found.append(module)
    return found


def private_names_of(cls):
    """The private names of a class: its methods, attributes and whatever its methods assign."""
    names = {node.name for node in ast.walk(cls) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(cls):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return {name for name in names if is_private(name)}


def is_internal(module):
    return module.startswith(("keras.src", "tensorflow.python"))


def test_no_other_file_uses_private_names():
    known = names_of_keras()
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in PACKAGE.rglob("*.py")
        if path not in (OF_KERAS, OF_OPTIMIZERS, OF_TENSORFLOW)
        and (names := uses_of_internals(path.read_text(), known))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "tensor._keras_history",
        "getattr(tensor, '_keras_mask', None)",
        "class Model(Base):\n    def _make_function(self): ...",
        "class Model(Base):\n    def f(self): self._loss_tracker = None",
        "from keras.src.trainers import trainer",
        "import tensorflow.python.framework as framework",
        "model._unheard_of()",
        "class Layer(Base):\n    def f(self): self._losses = []",
    ],
)
def test_every_kind_of_use_is_found(source):
    assert uses_of_internals(source, names_of_keras())


def test_a_classs_own_private_names_are_allowed():
    source = "class Field:\n    def __init__(self): self._losses = 1\n    def _f(self): ..."
    assert uses_of_internals(source, names_of_keras()) == []


def test_each_name_is_in_its_file():
    found = uses_of_internals(OF_KERAS.read_text(), names_of_keras())
    assert {"_loss_tracker", "_compile_metrics", "_make_function", "_keras_history"} <= set(found)
    assert not any(name.startswith("tensorflow.python") for name in found)
    found = uses_of_internals(OF_OPTIMIZERS.read_text(), names_of_keras())
    assert {"_clip_gradients", "_apply_weight_decay"} <= set(found)
    found = uses_of_internals(OF_TENSORFLOW.read_text(), names_of_keras())
    assert {"tensorflow.python.framework.convert_to_constants", "_default_vspace"} <= set(found)
    assert not set(found) & names_of_keras() - {"_replace"}


@pytest.mark.parametrize("place, least", [(OF_KERAS, 10), (OF_OPTIMIZERS, 4), (OF_TENSORFLOW, 3)])
def test_each_function_says_what_it_is_for(place, least):
    functions = [node for node in ast.parse(place.read_text()).body if hasattr(node, "name")]
    assert len(functions) >= least
    assert [node.name for node in functions if not ast.get_docstring(node)] == []
