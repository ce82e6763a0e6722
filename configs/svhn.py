"""SVHN, train and extra (the paper's Table 4): WRN-16-1 in WRN-40-1, interval layout.

python -m rocket_tf.main --config=configs/svhn.py --workdir=runs/svhn

Test error in the paper: light net 2.29 % (alone 3.58 %). It has not been run at this length here.
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """Adam and dropout in the booster's own layers.

    The paper does not give epochs, batch size and hint weight for SVHN. 80, 128 and 0.03 are our
    choice. The model is chosen on a validation split as in Sermanet et al. (2012).
    """
    config = options.default()
    config.dataset = "svhn"
    config.validation_examples = 6000  # 400 of each class from train, 200 from extra
    config.epochs = 80
    config.optimizer = "adam"
    config.learning_rate = 1e-3
    config.learning_rate_drops = (0.25, 0.5, 0.75)  # epochs 20, 40 and 60 of 80
    config.weight_decay = 0.0
    config.booster_dropout = 0.2
    return with_method(config, method)
