"""CIFAR-100 (the paper's Table 4): WRN-16-1 in WRN-40-1, interval layout.

python -m rocket_tf.main --config=configs/cifar100.py --workdir=runs/cifar100

Test error in the paper: light net 33.3 % (alone 43.7 %). It has not been run at this length here.
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """Like CIFAR-10. The hint's weight of 0.03 is from the README of the authors' release."""
    config = options.default()
    config.dataset = "cifar100"
    config.flip = True
    config.crop_padding = 4  # pixels
    return with_method(config, method)
