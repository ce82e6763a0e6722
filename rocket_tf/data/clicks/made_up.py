"""Makes a click log of any length from a seed, in bounded memory, for trying large data.

It does not import TensorFlow.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from rocket_tf.system.transfers import shown

COLUMNS = ("user", "item", "query", "hour", "price", "history")
_CLICK_RATE_LOGIT = -1.5
_BYTES_A_ROW = 100  # about, for progress
_HISTORY = 8  # items at most
_QUERIES = 1_000_000


def write(folder, rows, seed=0, rows_in_group=131_072, test_rows=0):
    """Writes train.parquet and test.parquet.

    A row has the columns `COLUMNS` and "click": ids of users and items, one of 10⁶ strings,
    the hour, a price, and up to eight items. A logistic model decides whether it is a click. Row
    group i is a function of (seed, i), so a longer log begins like a shorter one.

    Args:
        folder: where; it is made if it is missing.
        rows: rows of the training part.
        seed: a non-negative integer.
        rows_in_group: rows in a row group.
        test_rows: rows of the test part; 0: a tenth of `rows`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": rows, "test": test_rows or max(rows // 10, 1)}
    total, done = sum(parts.values()), [0]
    with shown(f"Making {folder}", total * _BYTES_A_ROW, lambda: done[0] * _BYTES_A_ROW):
        for part, (name, number) in enumerate(parts.items()):
            table = _group(seed, part, 0, 0)
            with pa.parquet.ParquetWriter(folder / f"{name}.parquet", table.schema) as writer:
                for group, start in enumerate(range(0, number, rows_in_group)):
                    size = min(rows_in_group, number - start)
                    writer.write_table(_group(seed, part, group, size), row_group_size=size)
                    done[0] += size


def _group(seed, part, group, rows):
    random = np.random.default_rng([seed, part, group])
    # Squares of uniform numbers: few users and items have most of the impressions.
    user = (random.random(rows) ** 2 * 1_000_000).astype(np.int64)
    item = (random.random(rows) ** 2 * 200_000).astype(np.int64)
    query = random.integers(0, _QUERIES, rows)
    hour = random.integers(0, 24, rows)
    price = random.lognormal(3.0, 0.5, rows).astype(np.float32)
    lengths = random.integers(0, _HISTORY + 1, rows)
    seen = (random.random(lengths.sum()) ** 2 * 200_000).astype(np.int64)
    logit = (
        _CLICK_RATE_LOGIT
        + _effect(user, seed, 1)
        + _effect(item, seed, 2)
        + _effect(query % 1000, seed, 3)
        - 0.02 * (price - 22.0)
        + 0.1 * lengths
    )
    click = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    texts = np.char.add("query ", query.astype(str)) if rows else np.empty(0, str)
    offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int32())
    return pa.table(
        {
            "click": click,
            "user": user,
            "item": item,
            "query": pa.array(texts, pa.string()),
            "hour": hour,
            "price": price,
            "history": pa.ListArray.from_arrays(offsets, pa.array(seen)),
        }
    )


def _effect(ids, seed, stream):
    """A fixed number for each id, from about -1 to 1."""
    mixed = (ids.astype(np.uint64) + np.uint64(seed * 8 + stream)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(40)).astype(np.float64) / 2**23 - 1
