"""Computes single rows of the tables of random numbers of `tf.random.stateless_uniform`.

TensorFlow fills a table with Philox 4x32-10 (Salmon et al., 2011): a counter encrypted with a key
gives four words of 32 bits, the table's next four values. So any row can be computed without the
rows before it.
"""

import tensorflow as tf

_WORDS = 4  # words for each counter
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the key in each round
_LOW = 0xFFFFFFFF


def uniform_rows(seed, rows, width):
    """The rows of `tf.random.stateless_uniform([any number, width], seed)`, by their numbers.

    Args:
        seed: int64, shape (2,).
        rows: int64, shape (batch,), each from 0 on.
        width: values in a row.

    Returns:
        float32, shape (batch, width), in [0, 1), on a CPU.

    Example:
        >>> table = tf.random.stateless_uniform([100, 3], [1, 2])
        >>> rows = uniform_rows(tf.constant([1, 2], tf.int64), tf.constant([99, 7], tf.int64), 3)
        >>> bool(tf.reduce_all(rows == tf.gather(table, [99, 7])))
        True
    """
    # The lower half of the counter begins at 0, so counting never carries.
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    positions = rows[:, None] * width + tf.range(width, dtype=tf.int64)
    counts = tf.cast(positions // _WORDS, tf.uint64) + counter[0]
    words = _philox(tf.stack([counts, tf.broadcast_to(counter[1], tf.shape(counts))], -1), key[0])
    words = tf.gather(words, positions % _WORDS, batch_dims=2)
    # TensorFlow makes a float from the 23 lower bits of a word, the fraction of a number in [1, 2).
    return tf.cast(tf.bitwise.bitwise_and(words, _constant(0x7FFFFF)), tf.float32) * 2.0**-23


@tf.function(autograph=False)
def _philox(halves, key):
    """The words for counters of 128 bits, uint64.

    Args:
        halves: of the counters, the lower one first, shape (..., 2).
        key: of 64 bits.

    Returns:
        Shape (..., 4).
    """
    xor = tf.bitwise.bitwise_xor
    low, by_32, multipliers = _constant(_LOW), _constant(32), _constant(_MULTIPLIERS)
    split = tf.stack([tf.bitwise.bitwise_and(key, low), tf.bitwise.right_shift(key, by_32)])
    round_keys = split + _constant([[turn * step for step in _WEYL] for turn in range(_ROUNDS)])
    last = tf.constant([-1])
    # The first and the third of four words; the second and the fourth.
    outer, inner = tf.bitwise.bitwise_and(halves, low), tf.bitwise.right_shift(halves, by_32)
    for round_key in tf.unstack(tf.bitwise.bitwise_and(round_keys, low)):
        products = tf.reverse(outer * multipliers, last)
        outer = xor(xor(tf.bitwise.right_shift(products, by_32), inner), round_key)
        inner = tf.bitwise.bitwise_and(products, low)
    words = tf.stack([outer, inner], axis=-1)
    return tf.reshape(words, tf.concat([tf.shape(halves)[:-1], [_WORDS]], 0))


def _constant(value):
    return tf.constant(value, tf.uint64)
