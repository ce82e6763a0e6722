"""The final configuration of a study.

python -m tools.study --config=configs/image_folder.py --seeds=12 --set=data_path=runs/recipes/images --set=light_backbone= --set=booster_backbone= --set=light_depth=10 --set=booster_depth=16 --set=image_size=8 --set=crop_padding=1 --set=flip=False --set=rand_augment=0
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """The chosen hint, and the other fields as given."""
    config = options.default()
    config.epochs = 30
    config.batch_size = 32
    config.dataset = "image_folder"
    config.data_path = "runs/recipes/images"
    config.image_size = 8
    config.validation_examples = 120
    config.crop_padding = 1
    config.light_depth = 10
    config.booster_depth = 16
    config.optimizer = "adamw"
    config.learning_rate = 0.001
    config.learning_rate_schedule = "cosine"
    config.warmup_epochs = 1.0
    config.weight_decay = 0.05
    config.label_smoothing = 0.1
    return with_method(config, method)
