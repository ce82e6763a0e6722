"""Writes click logs of a few rows in any format."""

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf


def write_log(folder, form, rows, floats=()):
    """Writes the same rows as both parts of a log.

    Args:
        folder: the folder to write to.
        form: "csv", "parquet" or "tfrecord".
        rows: dict from columns to lists of values.
        floats: columns whose values are floats in TFRecord files; the others are integers.

    Returns:
        The folder.
    """
    folder.mkdir(exist_ok=True)
    for part in ("train", "test"):
        if form == "csv":
            values = zip(*rows.values(), strict=True)
            lines = [",".join(rows), *(",".join(map(str, row)) for row in values)]
            (folder / f"{part}.csv").write_text("\n".join(lines))
        elif form == "parquet":
            pq.write_table(pa.table(rows), folder / f"{part}.parquet", row_group_size=3)
        else:
            with tf.io.TFRecordWriter(str(folder / f"{part}.tfrecord")) as writer:
                for row in zip(*rows.values(), strict=True):
                    features = {
                        name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                        if name in floats
                        else tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                        for name, value in zip(rows, row, strict=True)
                    }
                    example = tf.train.Example(features=tf.train.Features(feature=features))
                    writer.write(example.SerializeToString())
    return folder
