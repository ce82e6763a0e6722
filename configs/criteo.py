"""Criteo_x1 of the BARS benchmark: 13 numbers and 26 categories of advertisements.

python -m rocket_tf.main --config=configs/criteo.py --config.data_path=<folder>

The folder has train.csv and test.csv of Criteo_x1, as the BARS benchmark publishes them
(https://github.com/reczoo/Datasets):

    md5sum 30b89c1c7213013b92df52ec44f52dc5  train.csv (33 003 326 rows)
    md5sum 2c48b26e84c04a69b948082edae46f8c  test.csv (4 587 167 rows)

The benchmark's valid.csv is not read. Move it elsewhere, or rename it to train2.csv and hold it out
with --config.validation_examples=8250124. The files are converted to Parquet once, in a hidden
folder beside them. The users are not known, so there is no GAUC. This configuration was tested on a
stand-in of the same form, not on these files.
"""

from rocket_tf import config as options
from rocket_tf.config.methods import with_method


def get_config(method="rocket"):
    """The paper's towers over embeddings of 10 columns, batches of 4096 as in the benchmark."""
    config = options.default()
    config.dataset = "click_log"
    config.label_column = "label"
    config.user_column = ""
    config.category_columns = tuple(f"C{number}" for number in range(1, 27))
    config.number_columns = tuple(f"I{number}" for number in range(1, 14))
    config.request_columns = ()
    config.embedding_dimension = 10
    config.hash_buckets = 100_000
    config.epochs = 1
    config.batch_size = 4096
    config.optimizer = "sparse_adam"
    config.learning_rate = 1e-3
    config.learning_rate_drops = ()
    config.weight_decay = 0.0
    config.hint_weight = 0.03
    return with_method(config, method)
