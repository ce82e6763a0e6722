"""Avazu_x1 of the BARS benchmark: 22 categories of advertisements on telephones.

python -m rocket_tf.main --config=configs/avazu.py --config.data_path=<folder>

The folder has train.csv and test.csv of Avazu_x1, as the BARS benchmark publishes them
(https://github.com/reczoo/Datasets):

    md5sum f1114a07aea9e996842c71648e0f6395  train.csv (28 300 276 rows)
    md5sum 9e2fe9c48705c9315ae7a0953eb57acf  test.csv (8 085 794 rows)

What criteo.py says about valid.csv (4 042 897 rows here), Parquet and users holds here, too. This
configuration was tested on a stand-in of the same form, not on these files.
"""

from rocket_tf.config import bundled


def get_config(method="rocket"):
    """Like criteo.py, with Avazu's columns."""
    config = bundled.load("criteo", method)
    config.category_columns = tuple(f"feat_{number}" for number in range(1, 23))
    config.number_columns = ()
    return config
