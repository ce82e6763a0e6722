"""The kinds of steps that are timed: in which process each is taken, and how it is built.

A further kind is a line in the table here, one in the table of ratios (`figures.py`), and, where it
is no variation of the others, a builder in `keras_steps.py` or `torch_steps.py`.
"""

import dataclasses
import importlib

from rocket_tf.system.startup import load_tensorflow_quietly

HERE = ""  # the process that measures


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of step.

    Attributes:
        builder: module and function of this package that make the step: `f(settings, **options)`
            gives a function without arguments that takes one step and waits until it is done.
        options: keyword arguments of the builder.
        process: the process that takes the step; kinds with the same one share it.
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
    # PyTorch's threads and allocator beside TensorFlow's in one process would disturb both.
    "rocket_pytorch": Kind("torch_steps.training_step", process="PyTorch"),
    "rocket_pytorch_bfloat16": Kind(
        "torch_steps.training_step", {"autocast": True}, process="PyTorch"
    ),
    # What tables of that size leave in memory would burden the others.
    "clicks_smallest": _clicks(share=0.001),
    "clicks_middle": _clicks(share=0.1),
    "clicks_largest": _clicks(),
    "clicks_smallest_history": _clicks(share=0.001, history=True),
    "clicks_largest_history": _clicks(history=True),
    "clicks": _clicks(share=0.3),
    "clicks_keras": _clicks("Keras's tables", share=0.3, sparse=False),
    "clicks_pytorch": Kind("torch_click_steps.training_step", {"share": 0.3}, "PyTorch's tables"),
    # Logical devices are made before TensorFlow starts.
    "rocket_1_replica": _train("rocket", "1 replica", replicas=1),
    "rocket_2_replicas": _train("rocket", "2 replicas", replicas=2),
    "rocket_2_workers": Kind("two_workers.training_step", process="2 workers"),
}
# A step as `fit` takes it, with all that goes on around it: `fit` itself calls the other kinds.
WITHIN_FIT = "rocket_fit"


def load_libraries(names):
    """Imports what the steps of some kinds need, once and quietly."""
    modules = {KINDS[name].module for name in names}
    if any("torch" not in module for module in modules):
        load_tensorflow_quietly()
    for module in modules:
        importlib.import_module(module)
