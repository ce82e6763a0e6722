"""Your own images, in train/<class>/*.jpg and test/<class>/*.jpg, of any size and format.

python -m rocket_tf.main --config=configs/image_folder.py --config.data_path=<folder>

MobileNetV3Small in EfficientNetB0, both from random weights, with AdamW, a warm-up and a cosine,
label smoothing and RandAugment. You can use any two of `backbone_names.BACKBONES`, or wide residual
nets by leaving both names empty. To start from trained weights:

    --config.booster_weights=imagenet --config.light_weights=imagenet
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """Images of 64 by 64 pixels, 30 epochs of AdamW."""
    config = options.default()
    config.dataset = "image_folder"
    config.light_backbone = "MobileNetV3Small"
    config.booster_backbone = "EfficientNetB0"
    config.epochs = 30
    config.batch_size = 32
    config.flip = True
    config.crop_padding = 4  # pixels
    config.rand_augment = 0.3
    config.optimizer = "adamw"
    config.learning_rate = 1e-3
    config.weight_decay = 0.05
    config.learning_rate_schedule = "cosine"
    config.warmup_epochs = 1
    config.label_smoothing = 0.1
    return with_method(config, method)
