"""The card of a configuration's data: from the catalog, or of one's own data, as it is read."""

import dataclasses

from rocket_tf.data import own_data
from rocket_tf.data.catalog import DATASETS, LOCAL_DATASETS


def card_of(config):
    """What is known of a configuration's data.

    Args:
        config: a mapping from fields to values.

    Returns:
        `catalog.DatasetCard`.

    Raises:
        DataUnavailableError: if it is one's own data, and cannot be read.
    """
    if config["dataset"] in LOCAL_DATASETS:
        return own_data.read(config).card
    card = DATASETS[config["dataset"]]
    if card.kind == "images":
        return card
    columns = dataclasses.replace(card.columns, history_length=config["history_length"])
    return dataclasses.replace(card, columns=columns)
