"""Checks which columns of clicks only the booster may read."""

from collections.abc import Mapping

from rocket_tf.config.fields import FIELDS
from rocket_tf.config.read_by import METHODS_WITH_TEACHER
from rocket_tf.data.catalog import DatasetCard
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.errors import ConfigError


def check_booster_only(config: Mapping, columns: Columns | None) -> None:
    """Checks the columns that only the booster reads.

    Args:
        config: a configuration of clicks.
        columns: the columns of its data.

    Raises:
        ConfigError: if a column is not a category or a number; if the light net would have none
            left; if a history that it reads has values of one; if a request of the export would
            have one; or if the method's light net follows a booster trained before.
    """
    chosen = tuple(config["booster_only"])
    if not chosen or columns is None:
        return

    def refuse(expected, value=chosen):
        raise ConfigError(f"config.booster_only: got {value!r}{expected}")

    allowed = (*columns.categories, *columns.numbers)
    if columns.features:
        allowed = tuple(feature.name for feature in columns.features if feature.kind != "history")
    histories = [column for column in columns.lists if column.kind == "history"]
    unknown = [name for name in chosen if name not in allowed]
    if unknown:
        kinds = "features other than histories" if columns.features else "categories or numbers"
        refuse(f", expected columns of {kinds} that the nets read, of {allowed}", unknown[0])
    if set(chosen) >= set(allowed) and not histories:
        refuse(", expected fewer: the light net would have nothing to read; leave some out")
    for history in histories:
        if history.of in chosen:
            refuse(
                f" with history {history.name!r}, expected another: both nets read the history, "
                "which has its values; leave it out",
                history.of,
            )
    fixed = [feature.name for feature in columns.features if feature.served_as is not None]
    if set(fixed) & set(chosen):
        refuse(
            ", which has served_as, expected another: the export has no inputs that only the "
            "booster reads; leave one of the two out",
            next(name for name in fixed if name in chosen),
        )
    requested = [name for name in config["request_columns"] if name in chosen]
    if requested and tuple(config["request_columns"]) != FIELDS["request_columns"].default:
        refuse(
            ", which request_columns also has, expected another: the export has no such input; "
            "remove it from one of the two",
            requested[0],
        )
    if config["method"] in METHODS_WITH_TEACHER:
        refuse(
            f" with method={config['method']}, expected (): there the light net follows a booster "
            "that was trained before, on the light net's inputs; take --config.method=rocket"
        )


def check_test_part(config: Mapping, card: DatasetCard) -> None:
    """Checks that a booster alone has a test part to be evaluated on.

    Raises:
        ConfigError: if the test part lacks columns that it reads.
    """
    if card.test_lacks and config["method"] == "booster" and config["evaluate_test"]:
        raise ConfigError(
            f"config.method: got booster with a test part that lacks {', '.join(card.test_lacks)}, "
            "expected one with the booster's columns; add them to the test part, or hold examples "
            "out and leave it closed, as with --config.validation_examples=1000 "
            "--config.evaluate_test=False"
        )
