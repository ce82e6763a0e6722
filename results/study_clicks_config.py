"""The final configuration of a study.

python -m tools.study --config=configs/clicks.py --seeds=10 --set=train_examples=100000
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """The chosen hint, and the other fields as given."""
    config = options.default()
    config.epochs = 3
    config.batch_size = 256
    config.dataset = "simulated_clicks"
    config.train_examples = 100000
    config.validation_examples = 20000
    config.optimizer = "sparse_adam"
    config.learning_rate = 0.001
    config.learning_rate_drops = (0.6666666666666666,)
    config.weight_decay = 0.0
    return with_method(config, method)
