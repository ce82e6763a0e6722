"""The package's public names, and that commands import them without loading TensorFlow."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rocket_tf

EXPECTED = {
    "Calibration": "class",
    "CalibrationError": "class",
    "ExactAUC": "class",
    "BinnedAUC": "class",
    "GroupAUC": "class",
    "SampledGroupAUC": "class",
    "SmoothedCrossEntropy": "class",
    "Hint": "class",
    "MeanAveragePrecision": "class",
    "RocketModel": "class",
    "attention_maps": "function",
    "backbone_names": "module",
    "export_light": "function",
    "gradient_flow": "function",
    "networks": "module",
    "optimizers": "module",
    "ownership": "function",
}
NETWORKS = {
    "Embedding": "class",
    "Feature": "class",
    "FusedBatchNormalization": "class",
    "backbone_pair": "function",
    "branch": "function",
    "click_pair": "function",
    "group_outputs": "function",
    "wide_resnet_pair": "function",
}
KINDS = {"class": inspect.isclass, "function": inspect.isfunction, "module": inspect.ismodule}


@pytest.mark.parametrize(
    "package, names", [(rocket_tf, EXPECTED), (rocket_tf.networks, NETWORKS)], ids=["top", "nets"]
)
def test_every_name_has_its_kind(package, names):
    assert set(package.__all__) == set(names) <= set(dir(package))
    for name, kind in names.items():
        assert KINDS[kind](getattr(package, name)), name
    with pytest.raises(AttributeError, match="no attribute 'student'"):
        package.student  # noqa: B018


@pytest.mark.parametrize("name", ["", ".data", ".networks", ".optimizers"])
def test_type_checkers_see_the_same_names_in_the_same_modules(name):
    package = importlib.import_module(f"rocket_tf{name}")
    (guarded,) = [
        node
        for node in ast.parse(Path(package.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]
    seen = {}
    for statement in guarded.body:
        (alias,) = statement.names
        assert alias.asname == alias.name  # otherwise, it would not be re-exported
        seen[alias.name] = statement.module
    modules = getattr(package, "_MODULES", {})
    parents = {public: module.rpartition(".")[0] for public, module in modules.items()}
    assert seen == package._DEFINED_IN | parents


def in_a_fresh_process(code):
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return result.stdout.strip()


@pytest.mark.slow
def test_importing_the_package_registers_all_its_classes():
    """Otherwise, a `.keras` file that contains one of them could not be loaded."""
    package = Path(rocket_tf.__file__).parent
    registration = r'register_keras_serializable\(package="rocket_tf"\)\nclass (\w+)'
    classes = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(registration, path.read_text())
    }
    assert {"RocketModel", "Hint", "SGDWithL2", "ActivationUnit"} <= classes
    code = "import rocket_tf, keras\nprint(*keras.saving.get_custom_objects())"
    assert {f"rocket_tf>{name}" for name in classes} <= set(in_a_fresh_process(code).split())


def test_a_command_imports_it_without_tensorflow():
    code = (
        "import sys\nsys.orig_argv = ['python', '-m', 'rocket_tf.main', '']\n"
        "import rocket_tf\nassert 'tensorflow' not in sys.modules\n"
        "print(rocket_tf.backbone_names.BACKBONES[0])\nassert 'tensorflow' not in sys.modules"
    )
    assert in_a_fresh_process(code) == "ConvNeXtTiny"
