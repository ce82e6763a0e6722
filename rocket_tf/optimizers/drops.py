"""When the learning rate drops. It does not import TensorFlow."""


def drop_steps(drops, total: int) -> list[int]:
    """The steps, counted from 0, at which the learning rate drops.

    Args:
        drops: fractions of the training, increasing, between 0 and 1.
        total: steps of the whole training.
    """
    return [round(fraction * total) for fraction in drops]
