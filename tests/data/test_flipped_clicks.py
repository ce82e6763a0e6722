"""Click logs with bytes that are flipped, cut off or doubled are read, or answered in one line."""

import os
import random

from rocket_tf.data.clicks import folder as click_folder
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.errors import DataUnavailableError

# By hand: ROCKET_FUZZ=500 python -m pytest tests/data/test_flipped_clicks.py -n 0
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


def test_flips_of_csv(tmp_path, capfd):
    chance = random.Random(0)
    whole = {part: written(chance, 12) for part in ("train", "test")}
    refused, read = [], 0
    for _ in range(TRIES):
        part = chance.choice(list(whole))
        for name, content in whole.items():
            content = damaged(content, chance) if name == part else content
            (tmp_path / f"{name}.csv").write_bytes(content)
        try:
            log = click_folder.read(tmp_path, COLUMNS, tell=lambda line: None)
        except DataUnavailableError as error:
            refused.append(str(error))
        else:
            read += 1
            assert set(log.train.labels) <= {0, 1} and len(log.train.labels)
    assert len(refused) > TRIES / 4 and read
    assert all(line.startswith(str(tmp_path)) for line in refused)
    assert capfd.readouterr().err == ""  # nor does a library write anything
