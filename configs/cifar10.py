"""CIFAR-10 (the paper's Table 1): WRN-16-1 in WRN-40-1, interval layout.

python -m rocket_tf.main --config=configs/cifar10.py --workdir=runs/cifar10

An epoch takes about 200 s on two cores (391 steps of 0.48 s, and the test images). Test errors in
the paper, medians of three seeds: light net 7.87 % (alone 8.77 %), booster 6.64 %. It has not been
run at this length here.
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """The paper's recipe (the fields' defaults) with its augmentation."""
    config = options.default()
    config.flip = True
    config.crop_padding = 4  # pixels
    return with_method(config, method)
