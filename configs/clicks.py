"""Click-through rates of a simulated log, MovieLens or your own: the paper's towers (Table 5).

python -m rocket_tf.main --config=configs/clicks.py --workdir=runs/clicks

The default is a simulated click log, which needs no download. For MovieLens, add
--config.dataset=movielens_1m; for your own log, --config.dataset=click_log
--config.data_path=<folder>. See docs/clicks.md.
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """Towers 200-80-2 and 720-360-240-180-90-2; Adam on the batch's rows of embedding tables.

    The paper gives neither the optimizer nor the hint's weight for its advertisements.
    """
    config = options.default()
    config.dataset = "simulated_clicks"
    config.epochs = 3
    config.batch_size = 256
    config.optimizer = "sparse_adam"
    config.learning_rate = 1e-3
    config.learning_rate_drops = (2 / 3,)
    config.weight_decay = 0.0
    config.hint_weight = 0.03
    return with_method(config, method)
