"""CIFAR-10 (the paper's Table 1), bottom layout: the light net is WRN-40-1's first two groups.

python -m rocket_tf.main --config=configs/cifar10_bottom.py --workdir=runs/cifar10_bottom

Test errors in the paper, medians of three seeds: light net 7.85 % (alone 8.69 %), booster 7.27 %.
It has not been run at this length here.
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """Like cifar10.py, with the later drops of the learning rate in the authors' release.

    The booster alone and the teacher are those of cifar10.py.
    """
    config = options.default()
    config.flip = True
    config.crop_padding = 4  # pixels
    config.layout = "bottom"
    config.light_depth = 0  # follows from the booster
    config.booster_learning_rate_drops = config.learning_rate_drops
    config.learning_rate_drops = (0.345, 0.645, 0.945)  # at the start of epochs 70, 130, 190 of 200
    return with_method(config, method)
