"""Which values of `optimization_fields` make sense together."""

from collections.abc import Mapping

from rocket_tf.config.read_by import kind_of
from rocket_tf.data.catalog import DatasetCard
from rocket_tf.errors import ConfigError
from rocket_tf.optimizers.catalog import ON_WHOLE_TABLES, OPTIMIZERS


def check_optimization(config: Mapping) -> None:
    """Checks what can be checked without the data.

    Raises:
        ConfigError: for the first combination that makes no sense.
    """
    for field in ("optimizer", "table_optimizer"):
        optimizer = config[field]
        if config["weight_decay"] and optimizer and not OPTIMIZERS[optimizer].weight_decay:
            raise ConfigError(
                f"config.weight_decay: got {config['weight_decay']} with {field}={optimizer}, "
                "expected 0: it has no weight decay; add --config.weight_decay=0"
            )
    if config["warmup_epochs"] > config["epochs"]:
        raise ConfigError(
            f"config.warmup_epochs: got {config['warmup_epochs']}, expected at most epochs, "
            f"{config['epochs']}; lower it"
        )
    if config["patience"] and not config["validation_examples"]:
        raise ConfigError(
            f"config.patience: got {config['patience']} with validation_examples=0, expected 0: "
            "the training must not end by the test examples; hold examples out, as with "
            "--config.validation_examples=200"
        )
    _check_averages(config)
    _check_weights(config)


def check_class_weights(config: Mapping, card: DatasetCard) -> None:
    """Checks that there is a weight for each class, if there are any.

    Raises:
        ConfigError: if not.
    """
    weights = config["class_weights"]
    if weights and len(weights) != card.num_classes:
        raise ConfigError(
            f"config.class_weights: got {len(weights)} numbers, expected {card.num_classes}, one "
            f"for each class of dataset={config['dataset']}"
        )


def _check_averages(config):
    momentum = config["average_momentum"]
    if not momentum or kind_of(config) != "clicks":
        return
    if config["optimizer"] not in ON_WHOLE_TABLES:
        raise ConfigError(
            f"config.average_momentum: got {momentum} with optimizer={config['optimizer']}, "
            "expected 0: an average goes over whole embedding tables in each step, and this "
            f"optimizer does not; take one of {', '.join(ON_WHOLE_TABLES)}"
        )
    for field in ("table_optimizer", "table_learning_rate"):
        if config[field]:
            raise ConfigError(
                f"config.{field}: got {config[field]!r} with average_momentum={momentum}, expected "
                "nothing: weights are averaged by one optimizer for all of them"
            )


def _check_weights(config):
    if config["class_weights"] and config["balance_classes"]:
        raise ConfigError(
            "config.balance_classes: got True with class_weights, expected False: it computes them"
        )
    field = "class_weights" if config["class_weights"] else "balance_classes"
    for mixing in ("mixup", "cutmix"):
        if config[field] and config[mixing]:
            raise ConfigError(
                f"config.{mixing}: got {config[mixing]} with {field}, expected 0: a mixed label is "
                "of two classes, with two weights; set one of the two to its default"
            )
