r"""A run on many streamed impressions with tables of 10⁷ rows: its speed, memory and checkpoints.

    python -m tools.experiments.large_click_run --folder=runs/large_clicks --rows=20000000 \
        --buckets=10000000 --output=results/large_click_run.json

The log (`rocket_tf.data.clicks.made_up`) has a user, an item, a query and an hour, each with a
table of that many rows, a price and a history. The nets and the recipe are those of
configs/clicks.py; one epoch in batches of 16 384. The folder keeps the log, and needs room for it
(50 bytes an impression) and for two checkpoints.
"""

import argparse
import resource
import shutil
import sys
import time
from pathlib import Path

from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data.clicks import made_up
from rocket_tf.runs.checkpoints import Checkpoints
from rocket_tf.runs.folder import RunFolder
from rocket_tf.system import files
from rocket_tf.system.provenance import machine, software

FIELDS = {
    "dataset": "click_log",
    "category_columns": ("user", "item", "query", "hour"),
    "number_columns": ("price",),
    "history_column": "history",
    "streaming": "always",
    "embedding_dimension": 8,
    "batch_size": 16_384,
    "epochs": 1,
    "learning_rate_drops": (),
    "pictures": False,
}


def timed(save, seconds):
    """A checkpoint's `save` that notes in a list how long it has taken."""

    def save_and_note(checkpoints, epochs, steps=0):
        began = time.perf_counter()
        save(checkpoints, epochs, steps)
        seconds.append(round(time.perf_counter() - began, 2))

    return save_and_note


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the log and the run")
    parser.add_argument("--rows", type=int, required=True, help="impressions to train on")
    parser.add_argument("--buckets", type=int, required=True, help="rows of each table")
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    log, run = arguments.folder / f"log_{arguments.rows}", arguments.folder / "run"
    if not (log / "test.parquet").exists():
        made_up.write(log, arguments.rows)
    shutil.rmtree(run, ignore_errors=True)
    config = bundled.load("clicks")
    config.update({**FIELDS, "data_path": str(log), "hash_buckets": arguments.buckets})
    seconds = []
    Checkpoints.save = timed(Checkpoints.save, seconds)
    summary = train.train_and_evaluate(config, run)
    checkpoint = sum(path.stat().st_size for path in (run / "checkpoints").glob("epoch-*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "command": "python -m tools.experiments.large_click_run --folder=runs/large_clicks "
        f"--rows={arguments.rows} --buckets={arguments.buckets} --output={arguments.output}",
        "training_impressions": arguments.rows,
        "rows_of_each_table": arguments.buckets,
        "impressions_per_second": RunFolder(run).read_metrics()[-1]["examples_per_second"],
        "peak_mebibytes": round(peak * (1 if sys.platform == "darwin" else 1024) / 2**20),
        "checkpoint_mebibytes": round(checkpoint / 2**20),
        "seconds_for_each_checkpoint": seconds,
        "light": summary["light"],
        "versions": software("tensorflow", "keras", "pyarrow"),
        "machine": machine(),
    }
    files.write_json(arguments.output, result)


if __name__ == "__main__":
    main()
