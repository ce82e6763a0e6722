"""Input: what the data sets are, where they come from, and the tf.data pipelines over them."""
