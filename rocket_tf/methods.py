"""For configuration files that were written before 0.2; it is `rocket_tf.config.methods` now."""

from rocket_tf.config.methods import METHODS, with_method

__all__ = ["METHODS", "with_method"]
