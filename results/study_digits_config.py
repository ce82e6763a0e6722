"""The final configuration of a study.

python -m tools.study --config=configs/digits.py --methods=light,rocket --seeds=12
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """The chosen hint, and the other fields as given."""
    config = options.default()
    config.epochs = 40
    config.dataset = "digits"
    config.validation_examples = 200
    config.crop_padding = 1
    config.light_depth = 10
    config.booster_depth = 28
    config.attention_weight = 62.5
    return with_method(config, method)
