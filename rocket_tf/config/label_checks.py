"""Which labels of clicks make sense together, and beside other columns."""

from collections.abc import Mapping

from rocket_tf.config.fields import FIELDS
from rocket_tf.config.read_by import LABELLED, labels_of
from rocket_tf.errors import ConfigError
from rocket_tf.system.argument_names import differ_in_case_only, is_argument_name

# Of each head, what logs and summaries have under its name.
_FIGURES = ("loss", "accuracy", "auc", "gauc", "log_loss", "calibration", "calibration_error")
# What stands before the names of heads, and of hints, in logs.
_RESERVED = ("light", "booster", "teacher", "hint")


def labels_in_file(config: Mapping) -> tuple[str, tuple[str, ...]]:
    """The field that names the labels of a click log, and their columns."""
    several = labels_of(config)
    return ("label_columns", several) if several else ("label_column", (config["label_column"],))


def check_labels(config: Mapping) -> None:
    """Checks the labels of clicks, as far as can be without their data.

    Raises:
        ConfigError: if heads cannot have their names, or weights are of other labels.
    """
    labels, weights = labels_of(config), config["label_weights"]
    if labels and weights and len(weights) != len(labels):
        raise ConfigError(
            f"config.label_weights: got {len(weights)} numbers, expected {len(labels)}, one for "
            f"each of the labels {labels}"
        )
    if not labels or not LABELLED.reads(config):
        return
    if config["label_column"] != FIELDS["label_column"].default:
        raise ConfigError(
            f"config.label_column: got {config['label_column']!r} with label_columns={labels}, "
            "expected one of the two; leave label_column out"
        )
    wrong = [name for name in labels if not is_argument_name(name) or name in _RESERVED]
    if wrong:
        raise ConfigError(
            f"config.label_columns: got {wrong[0]!r}, expected names that heads can have: a "
            "letter, then letters, digits and underscores, all ASCII; no word of Python's own, and "
            f"none of {', '.join(_RESERVED)}; rename the column"
        )
    clash = differ_in_case_only(labels) or _labels_of_one_figure(labels)
    if clash:
        raise ConfigError(
            f"config.label_columns: got {clash[1]!r} beside {clash[0]!r}, expected names that "
            "differ in more than case, also once figures such as _loss stand behind them; rename "
            "one"
        )


def check_weight_column(config: Mapping, nets_read: tuple[str, ...]) -> None:
    """Checks that the weights of examples have a column of their own.

    Args:
        config: a configuration of a click log.
        nets_read: names of the columns that the nets read.

    Raises:
        ConfigError: if not.
    """
    weight = config["weight_column"]
    if weight and weight in (*nets_read, *labels_in_file(config)[1], config["user_column"]):
        raise ConfigError(
            f"config.weight_column: got {weight!r}, which is the label, the user or read by the "
            "nets, too; expected a column of its own"
        )


def check_one_class_fields(config: Mapping) -> None:
    """Checks that nothing takes examples with several labels for those of one class.

    Raises:
        ConfigError: if something does.
    """
    labels = labels_of(config)
    for name in ("label_smoothing", "class_weights", "balance_classes") if labels else ():
        value, expected = config[name], FIELDS[name].default
        if (tuple(value) if isinstance(value, list) else value) != expected:
            raise ConfigError(
                f"config.{name}: got {value!r} with the labels {labels}, expected {expected!r}: "
                "any other is for one label"
            )


def _labels_of_one_figure(labels):
    """The first two labels that have a figure of the same name; `None` without such."""
    label_of = {}
    for label in labels:
        for name in (f"{label}_{figure}" for figure in _FIGURES):
            if label_of.setdefault(name, label) != label:
                return label_of[name], label
    return None
