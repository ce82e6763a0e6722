"""The quoted figures: ratios of measured medians, their meaning, and their targets."""

import dataclasses
import importlib.util
import statistics

from rocket_tf.errors import ConfigError

INSTALL_PYTORCH = 'pip install "rocket_tf[torch]", or in a clone: pip install -e ".[torch]"'

_MOST_MEDIAN_TO_LEAST = 1.25  # on a machine that does nothing else, medians come within 1.1


@dataclasses.dataclass(frozen=True)
class Figure:
    """A ratio of medians, or a median.

    Attributes:
        above: name of the measurement above the line.
        below: names of those below, whose medians are added; none: the figure is the one above.
        meaning: its meaning, in words.
        at_most: the target, if it is an upper bound.
        at_least: the target, if it is a lower bound.
    """

    above: str
    below: tuple
    meaning: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def measurements(self):
        """Names of all measurements that it needs."""
        return (self.above, *self.below)

    @property
    def target(self):
        """The target as a dict fit for JSON; empty if there is none."""
        bounds = {"at_most": self.at_most, "at_least": self.at_least}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def value(self, medians):
        """The figure, from a dict from measurements to medians."""
        divisor = sum(medians[name] for name in self.below) if self.below else 1
        return medians[self.above] / divisor

    def verdict(self, value):
        """The target in words, and whether a value meets it; empty if there is none."""
        if self.at_most is not None:
            return f"target: at most {self.at_most:g}, {_met(value <= self.at_most)}"
        if self.at_least is not None:
            return f"target: at least {self.at_least:g}, {_met(value >= self.at_least)}"
        return ""


FIGURES = {
    "rocket_to_separate": Figure(
        "rocket", ("light", "booster"), "rocket step ÷ (light step + booster step)", at_most=0.97
    ),
    "fit_to_loop": Figure(
        "rocket_fit", ("rocket_loop",), "fit ÷ hand-written tf.function loop", at_most=1.03
    ),
    "fused_to_keras": Figure(
        "rocket", ("rocket_keras_norm",), "rocket step ÷ the same with Keras's batch norm"
    ),
    "bfloat16_to_float32": Figure(
        "rocket_bfloat16", ("rocket",), "rocket step, mixed_bfloat16 ÷ float32"
    ),
    "rocket_to_pytorch": Figure(
        "rocket",
        ("rocket_pytorch",),
        "rocket step ÷ the same in PyTorch eager, channels_last, float32",
        at_most=0.85,
    ),
    "bfloat16_to_pytorch": Figure(
        "rocket_bfloat16",
        ("rocket_pytorch_bfloat16",),
        "rocket step, mixed_bfloat16 ÷ PyTorch's bfloat16 autocast",
        at_most=0.8,
    ),
    "rocket_to_two_stage": Figure(
        "rocket",
        ("booster", "distiller"),
        "rocket epoch ÷ two stages (booster alone, then keras.distillation.Distiller)",
        at_most=0.75,
    ),
    "rocket_to_two_stage_keras_norm": Figure(
        "rocket",
        ("booster_keras_norm", "distiller_keras_norm"),
        "rocket epoch ÷ two stages with Keras's batch norm",
    ),
    "pipeline_to_rocket": Figure(
        "pipeline_rate",
        ("rocket_rate",),
        "examples/s of the input pipeline alone ÷ those that rocket steps take",
        at_least=100,
    ),
    "rocket_memory_to_booster": Figure(
        "rocket_memory",
        ("booster_memory",),
        "peak memory of training, rocket ÷ booster alone",
        at_most=1.3,
    ),
    "rocket_memory_to_booster_above_tensorflow": Figure(
        "rocket_memory_above_tensorflow",
        ("booster_memory_above_tensorflow",),
        "the same less the memory after TensorFlow has loaded",
    ),
    "two_replicas_to_one": Figure(
        "rocket_2_replicas",
        ("rocket_1_replica",),
        "rocket step of one global batch, 2 logical CPU devices ÷ 1",
    ),
    "two_workers_to_one": Figure(
        "rocket_2_workers",
        ("rocket_1_replica",),
        "rocket step of one global batch, 2 worker processes on this machine ÷ 1",
        at_most=1.15,
    ),
    "largest_table_to_smallest": Figure(
        "clicks_largest",
        ("clicks_smallest",),
        "rocket step of click nets, tables of table_rows ÷ of a thousandth",
        at_most=1.5,
    ),
    "middle_table_to_smallest": Figure(
        "clicks_middle", ("clicks_smallest",), "the same, of a tenth ÷ of a thousandth", at_most=1.5
    ),
    "largest_table_to_smallest_history": Figure(
        "clicks_largest_history",
        ("clicks_smallest_history",),
        "the same with a history of 20, of table_rows ÷ of a thousandth",
        at_most=1.5,
    ),
    "clicks_to_pytorch": Figure(
        "clicks",
        ("clicks_pytorch",),
        "rocket step of click nets, tables of 0.3 table_rows ÷ the same in PyTorch (SparseAdam)",
        at_most=0.8,
    ),
    "clicks_to_keras": Figure(
        "clicks",
        ("clicks_keras",),
        "the same ÷ keras.layers.Embedding with Keras's Adam",
    ),
    "first_step": Figure(
        "first_step",
        (),
        "seconds from the command to the first step's checkpoint, digits",
        at_most=15,
    ),
}


def choose(names=None):
    """The figures to measure.

    Args:
        names: names with commas between; `None`: all that can be measured here.

    Returns:
        `(figures, left_out)`: a dict from names to `Figure`s, and, if PyTorch is not installed, the
        names of those that need it.

    Raises:
        ConfigError: if there is no such figure, or if a named one needs PyTorch.
    """
    chosen = list(FIGURES) if names is None else names.split(",")
    for name in chosen:
        if name not in FIGURES:
            raise ConfigError(f"--only: got {name!r}, expected some of {','.join(FIGURES)}")
    left_out = []
    if importlib.util.find_spec("torch") is None:
        left_out = [name for name in chosen if "pytorch" in name]
    if left_out and names is not None:
        raise ConfigError(
            f"--only: {','.join(left_out)} needs PyTorch, which is not installed; {INSTALL_PYTORCH}"
        )
    return {name: FIGURES[name] for name in chosen if name not in left_out}, left_out


def summarize(values):
    """Median and range of a list of numbers, as JSON holds them."""
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def disturbed(milliseconds):
    """Kinds of steps that other work on the machine has slowed down, so that ratios say little.

    It does not slow all alike: PyTorch's threads wait for each other after every operation.

    Args:
        milliseconds: dict from kinds to lists of numbers.

    Returns:
        List of the kinds whose median is far above their least.
    """
    return [
        name
        for name, values in milliseconds.items()
        if statistics.median(values) > _MOST_MEDIAN_TO_LEAST * min(values)
    ]


def evaluate(figures, measured):
    """The value of each figure.

    Args:
        figures: dict from names to `Figure`s.
        measured: dict from measurements to lists of numbers.

    Returns:
        Dict from the figures' names to numbers.
    """
    medians = {name: statistics.median(values) for name, values in measured.items()}
    return {name: round(figure.value(medians), 4) for name, figure in figures.items()}


def _met(is_met):
    return "met" if is_met else "missed"
