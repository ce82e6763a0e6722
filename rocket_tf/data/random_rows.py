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
    places = rows[:, None] * width + tf.range(width, dtype=tf.int64)
    counts = tf.cast(places // _WORDS, tf.uint64) + counter[0]
    words = _philox(counts, tf.broadcast_to(counter[1], tf.shape(counts)), key[0])
    words = tf.gather(words, places % _WORDS, batch_dims=2)
    # TensorFlow makes a float from the 23 lower bits of a word, the fraction of a number in [1, 2).
    return tf.cast(tf.bitwise.bitwise_and(words, _word(0x7FFFFF)), tf.float32) * 2.0**-23


def _philox(lower, upper, key):
    """The words for counters of 128 bits in two halves, shape (*counters, 4), all uint64."""
    xor = tf.bitwise.bitwise_xor
    words = [_low(lower), _high(lower), _low(upper), _high(upper)]
    keys = [_low(key), _high(key)]
    for _ in range(_ROUNDS):
        first, second = words[0] * _word(_MULTIPLIERS[0]), words[2] * _word(_MULTIPLIERS[1])
        words = [
            xor(xor(_high(second), words[1]), keys[0]),
            _low(second),
            xor(xor(_high(first), words[3]), keys[1]),
            _low(first),
        ]
        keys = [_low(each + _word(step)) for each, step in zip(keys, _WEYL, strict=True)]
    return tf.stack(words, axis=-1)


def _low(values):
    return tf.bitwise.bitwise_and(values, _word(_LOW))


def _high(values):
    return tf.bitwise.right_shift(values, _word(32))


def _word(value):
    return tf.constant(value, tf.uint64)
