"""Click logs with flipped, lost or doubled bytes are read, or refused in one line."""

import io
import os
import random

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from rocket_tf.data import open_data
from rocket_tf.data.clicks import folder as click_folder
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.errors import DataUnavailableError

# To try more: ROCKET_FUZZ=500 python -m pytest tests/data/test_flipped_clicks.py -n 0
TRIES = int(os.environ.get("ROCKET_FUZZ", 60))
COLUMNS = Columns(categories=("user", "item"), numbers=("price",), history="history")


def written(chance, examples):
    lines = ["click,user,item,price,history"]
    for _ in range(examples):
        items = " ".join(str(chance.randrange(9)) for _ in range(chance.randrange(4)))
        lines.append(
            f'{chance.randrange(2)},u{chance.randrange(5)},"{chance.randrange(9)}",1.5,{items}'
        )
    return ("\n".join(lines) + "\n").encode()


def damaged(content, chance):
    place = chance.randrange(len(content))
    kind = chance.randrange(4)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[chance.randrange(len(content)) :]
    flipped = bytearray(content)
    for _ in range(chance.randrange(1, 5)):
        odd = chance.choice(b'\0\xff",\n\r \xef') if kind == 2 else chance.randrange(256)
        flipped[chance.randrange(len(flipped))] = odd
    return bytes(flipped)


def as_parquet(csv):
    table, content = pyarrow.csv.read_csv(io.BytesIO(csv)), io.BytesIO()
    pyarrow.parquet.write_table(table, content, row_group_size=5)
    return content.getvalue()


@pytest.mark.parametrize("streaming", ["csv", "never", "always"])
def test_flips(streaming, tmp_path, capfd):
    """The logs are CSV files, or Parquet files that are read into memory or streamed."""
    chance = random.Random(0)
    suffix = "csv" if streaming == "csv" else "parquet"
    whole = {part: written(chance, 12) for part in ("train", "test")}
    if suffix == "parquet":
        whole = {part: as_parquet(content) for part, content in whole.items()}
    refused, read = [], 0
    tries = TRIES if suffix == "csv" else TRIES // 3
    for number in range(tries):
        folder = tmp_path / str(number)  # cached facts about files depend on their paths
        folder.mkdir()
        part = chance.choice(list(whole))
        for name, content in whole.items():
            content = damaged(content, chance) if name == part else content
            (folder / f"{name}.{suffix}").write_bytes(content)
        try:
            labels = labels_of_csv(folder) if suffix == "csv" else labels_of(folder, streaming)
        except DataUnavailableError as error:
            refused.append(str(error))
        else:
            read += 1
            assert set(labels) <= {0, 1} and len(labels)
    assert len(refused) > tries / 4 and read
    assert all(line.startswith(str(tmp_path)) for line in refused)
    assert capfd.readouterr().err == ""  # nor do libraries print anything


def labels_of_csv(folder):
    return click_folder.read(folder, COLUMNS, tell=lambda line: None).train.labels


def labels_of(folder, streaming):
    settings = {
        "dataset": "click_log",
        "data_path": str(folder),
        "streaming": streaming,
        "category_columns": COLUMNS.categories,
        "number_columns": COLUMNS.numbers,
        "history_column": COLUMNS.history,
    }
    data = open_data(settings)
    data.load()
    parts = [split.evaluation_batches(7) for split in (data.train, data.test)]
    return np.concatenate([labels for part in parts for _, labels in part])
