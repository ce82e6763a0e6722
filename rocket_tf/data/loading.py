"""The data of a configuration, wherever it comes from."""

from rocket_tf.data import own_data
from rocket_tf.data.array_data import assemble
from rocket_tf.data.cards import card_of
from rocket_tf.data.catalog import CLICK_CLASSES, LOCAL_DATASETS, SIMULATED
from rocket_tf.data.clicks import movielens
from rocket_tf.data.clicks import simulated as simulated_clicks
from rocket_tf.data.images import named as images


def load(config, data_dir=""):
    """Reads the data of a configuration, downloading it first where it is missing.

    Args:
        config: a mapping from fields to values.
        data_dir: folder of TensorFlow Datasets; empty: the configuration's own.

    Returns:
        `array_data.ArrayData`.

    Raises:
        DamagedDataError: if the data is there and damaged.
        DataUnavailableError: if the data can be neither found nor downloaded, or a class has too
            few examples to hold out.
    """
    dataset, data_dir = config["dataset"], data_dir or config["data_dir"]
    cut = config["train_examples"], config["validation_examples"]
    card = card_of(config)
    if dataset in LOCAL_DATASETS:
        own = own_data.read(config)
        return assemble(dataset, card, [own.train], own.test, own.class_names, *cut)
    if card.kind == "images":
        return images.load(dataset, data_dir, *cut, config["split_seed"])
    if dataset in SIMULATED:
        impressions = card.train_examples + card.test_examples
        clicks, _ = simulated_clicks.simulate(
            impressions, seed=config["split_seed"], history_length=config["history_length"]
        )
    else:
        clicks = movielens.read(
            dataset.removeprefix("movielens_"), data_dir, config["history_length"]
        )
    train, test = ((part.inputs, part.labels) for part in (clicks.train, clicks.test))
    return assemble(dataset, card, [train], test, list(CLICK_CLASSES), *cut)
