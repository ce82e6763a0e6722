"""The kinds of steps to time: how each is built, and in which process it runs.

To add a kind, add a line to the table here and one to the table of ratios (`figures.py`), and,
unless it varies an existing kind, a builder to `keras_steps.py` or `torch_steps.py`.
"""

import dataclasses
import importlib

from rocket_tf.system.startup import load_tensorflow_quietly

HERE = ""  # the measuring process


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of step.

    Attributes:
        builder: module and function of this package that build the step: `f(settings, **options)`
            returns a function without arguments that takes one step and waits for it.
        options: keyword arguments of the builder.
        process: name of the process that takes the step; kinds with the same name share it.
    """

    builder: str
    options: dict = dataclasses.field(default_factory=dict)
    process: str = HERE

    @property
    def module(self):
        """Name of the builder's module."""
        return f"rocket_tf.benchmarks.{self.builder.split('.')[0]}"

    def build(self, settings):
        """The step, a function without arguments."""
        builder = getattr(importlib.import_module(self.module), self.builder.split(".")[1])
        return builder(settings, **self.options)


def _clicks(process="tables", **options):
    return Kind("click_steps.training_step", options, process)


def _train(net, process=HERE, **options):
    return Kind("keras_steps.training_step", {"net": net, **options}, process)


KINDS = {
    "light": _train("light"),
    "booster": _train("booster"),
    "rocket": _train("rocket"),
    "distiller": _train("distiller"),
    "booster_keras_norm": _train("booster", normalization="keras"),
    "rocket_keras_norm": _train("rocket", normalization="keras"),
    "distiller_keras_norm": _train("distiller", normalization="keras"),
    "rocket_bfloat16": _train("rocket", policy="mixed_bfloat16"),
    "rocket_loop": Kind("keras_steps.handwritten_step"),
    "input_pipeline": Kind("keras_steps.input_epoch"),
    # In one process, the threads and allocators of PyTorch and TensorFlow would disturb each other.
    "rocket_pytorch": Kind("torch_steps.training_step", process="PyTorch"),
    "rocket_pytorch_bfloat16": Kind(
        "torch_steps.training_step", {"autocast": True}, process="PyTorch"
    ),
    # Tables of this size leave memory in a state that slows the other kinds.
    "clicks_smallest": _clicks(share=0.001),
    "clicks_middle": _clicks(share=0.1),
    "clicks_largest": _clicks(),
    "clicks_smallest_history": _clicks(share=0.001, history=True),
    "clicks_largest_history": _clicks(history=True),
    "clicks": _clicks(share=0.3),
    "clicks_keras": _clicks("Keras's tables", share=0.3, sparse=False),
    "clicks_pytorch": Kind("torch_click_steps.training_step", {"share": 0.3}, "PyTorch's tables"),
    # Logical devices must be created before TensorFlow starts.
    "rocket_1_replica": _train("rocket", "1 replica", replicas=1),
    "rocket_2_replicas": _train("rocket", "2 replicas", replicas=2),
    "rocket_2_workers": Kind("two_workers.training_step", process="2 workers"),
}
# A step within `fit`, including its overhead: `fit` itself calls the other kinds.
WITHIN_FIT = "rocket_fit"


def load_libraries(names):
    """Imports the libraries that some kinds need, once and quietly."""
    modules = {KINDS[name].module for name in names}
    if any("torch" not in module for module in modules):
        load_tensorflow_quietly()
    for module in modules:
        importlib.import_module(module)
