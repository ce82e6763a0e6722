"""What streamed data costs: memory, speed, and resuming within an epoch.

Runs are processes of the command. Input pipelines alone are measured in this process, and last:
memory that TensorFlow takes here would be counted for processes started afterwards.
"""

import dataclasses
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rocket_tf.benchmarks.figures import Figure, summarize
from rocket_tf.benchmarks.settings import check_at_least
from rocket_tf.data import open_data
from rocket_tf.data.clicks import made_up as made_up_clicks
from rocket_tf.data.images import made_up as made_up_images
from rocket_tf.errors import ProcessEnded
from rocket_tf.runs.progress import checkpoints_in
from rocket_tf.system.provenance import machine, software
from rocket_tf.system.timing import Turns, timed

_SECONDS_BETWEEN_LOOKS = 0.005
_SMALLER = 10  # ratio of the larger to the smaller data of a figure
_MEBIBYTE = 2**20
_PARALLEL_READS = 2  # of the bare pipeline, like those of a streamed split

_CLICKS = {
    "dataset": "click_log",
    "category_columns": ("user", "item", "query", "hour"),
    "number_columns": ("price",),
    "history_column": "history",
    "shuffle_row_groups": 8,
}
# The nets are small, so that the data dominates the measurement.
_SMALL_TOWERS = {
    "hash_buckets": 100_000,
    "embedding_dimension": 8,
    "light_tower": (16,),
    "booster_tower": (32, 16),
}
_IMAGES = {
    "dataset": "image_folder",
    "light_backbone": "",
    "booster_backbone": "",
    "light_depth": 10,
    "booster_depth": 10,
    "width": 1,
    "rand_augment": 0.0,
}

FIGURES = {
    "click_memory": Figure(
        "clicks_larger",
        ("clicks_smaller",),
        f"peak memory of a run, streamed, {_SMALLER} × the impressions ÷ 1 ×",
        at_most=1.1,
    ),
    "image_memory": Figure(
        "images_larger",
        ("images_smaller",),
        f"peak memory of a run, streamed, {_SMALLER} × the images ÷ 1 ×",
        at_most=1.1,
    ),
    "click_speed": Figure(
        "clicks_streamed",
        ("clicks_in_memory",),
        "impressions/s of training, streamed ÷ in memory, batches of 4096",
        at_least=0.9,
    ),
    "image_speed": Figure(
        "images_streamed",
        ("images_in_memory",),
        "images/s of training, streamed ÷ in memory, 96 × 96 pixels, a small net",
        at_least=0.8,
    ),
    "click_pipeline": Figure(
        "clicks_pipeline",
        ("clicks_streamed",),
        "impressions/s of the streamed pipeline alone ÷ those that training takes",
        at_least=10,
    ),
    "image_pipeline": Figure(
        "images_pipeline",
        ("images_bare",),
        "images/s of the streamed pipeline alone ÷ a bare tf.data pipeline with the same decoding",
        at_least=0.9,
    ),
    "click_resume": Figure(
        "clicks_late",
        (),
        "seconds to the first step at 90 % of an epoch minus those at its start",
        at_most=2,
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The sizes of the measurements.

    Attributes:
        rows: impressions in the larger click log; the smaller has a tenth.
        images: images of 256 × 256 pixels in the larger folder; the smaller has a tenth.
        speed_rows: impressions in a run whose speed is measured.
        speed_images: images in such a run.
        turns: number of measurements of each speed.
        starts: number of measurements of each start.
    """

    rows: int = 20_000_000
    images: int = 40_000
    speed_rows: int = 500_000
    speed_images: int = 2000
    turns: int = 5
    starts: int = 3

    def check(self):
        """Raises ConfigError with the option's name if a size is out of range."""
        # A tenth of the rows or images must be more than a batch.
        least = {"rows": 200_000, "images": 1000, "speed_rows": 5000, "speed_images": 100}
        check_at_least(self, {**least, "turns": 1, "starts": 1})


def measure(settings, names, tell=print, folder=None):
    """Takes the measurements that some of `FIGURES` need.

    Args:
        settings: a checked `Settings`.
        names: names of figures.
        tell: called with lines about the progress.
        folder: where the data is written and kept; `None`: a temporary folder.

    Returns:
        A dict that JSON can hold: "measured", the median and range of each measurement, memory in
        mebibytes, speed in examples per second, starts in seconds; "figures" by name; "targets";
        "versions" and "machine".

    Raises:
        ProcessEnded: if a run ends before it should.
    """
    needed = {part for name in names for part in FIGURES[name].measurements}
    with tempfile.TemporaryDirectory() as temporary:
        workspace = _Workspace(Path(folder or temporary), Path(temporary), tell)
        measured = _peaks(settings, needed, workspace)
        if "clicks_late" in needed:
            measured["clicks_late"] = _late_minus_early(settings, workspace)
        measured |= _speeds_of_runs(settings, needed, workspace)
        measured |= _speeds_of_pipelines(settings, needed, workspace)
    medians = {name: statistics.median(values) for name, values in measured.items()}
    return {
        "measured": {name: summarize(values) for name, values in measured.items()},
        "figures": {name: FIGURES[name].value(medians) for name in names},
        "targets": {name: FIGURES[name].target for name in names},
        "versions": software("tensorflow", "keras", "pyarrow", "pillow"),
        "machine": machine(),
    }


@dataclasses.dataclass(frozen=True)
class _Workspace:
    """The folders of data and runs, and the function that reports progress.

    Attributes:
        data: folder of the generated data.
        runs: folder of the runs.
        tell: called with lines about the progress.
    """

    data: Path
    runs: Path
    tell: object

    def clicks(self, rows):
        """The folder of a click log with `rows` impressions, written if it is missing."""
        folder = self.data / f"clicks_{rows}"
        if not (folder / "test.parquet").exists():
            made_up_clicks.write(folder, rows)
        return folder

    def images(self, number):
        """The folder of `number` images, written if it is missing."""
        folder = self.data / f"images_{number}"
        if not folder.exists():
            partial = folder.with_name(f"{folder.name}.partial")
            made_up_images.write(partial, number, 256, 10, 90, 0)
            partial.rename(folder)
        return folder


def _peaks(settings, needed, workspace):
    """Peak memory in mebibytes of whole runs: two epochs with evaluations and checkpoints."""
    runs = {}
    for name, rows in (("smaller", settings.rows // _SMALLER), ("larger", settings.rows)):
        if f"clicks_{name}" in needed:
            fields = {**_CLICKS, **_SMALL_TOWERS, "batch_size": 16_384}
            runs[f"clicks_{name}"] = ("clicks", workspace.clicks(rows), fields)
    for name, number in (("smaller", settings.images // _SMALLER), ("larger", settings.images)):
        if f"images_{name}" in needed:
            fields = {**_IMAGES, "image_size": 32, "batch_size": 64}
            runs[f"images_{name}"] = ("image_folder", workspace.images(number), fields)
    peaks = {}
    for name, (config, data, fields) in runs.items():
        workspace.tell(f"memory of a run: {name}")
        overrides = {**fields, "data_path": data, "streaming": "always", "epochs": 2}
        _, peak = _finish(config, workspace.runs / name, overrides)
        peaks[name] = [peak]
    return peaks


def _late_minus_early(settings, workspace):
    """Seconds to the first step at 90 % of an epoch minus those at its start, for each try."""
    batch_size, rows = 512, settings.rows // _SMALLER
    late = math.ceil(rows / batch_size) * 9 // 10
    fields = {
        **_CLICKS,
        **_SMALL_TOWERS,
        "data_path": workspace.clicks(rows),
        "streaming": "always",
        "batch_size": batch_size,
        "epochs": 1,
    }
    workspace.tell(f"training to step {late}")
    until_late = {**fields, "checkpoint_every_steps": late}
    _until_checkpoint(workspace.runs / "late", until_late)
    every = {**fields, "checkpoint_every_steps": 1}
    seconds = []
    for number in range(settings.starts):
        workspace.tell(
            f"starting at step 0 and after step {late}, {number + 1} of {settings.starts}"
        )
        early = _until_checkpoint(workspace.runs / f"early_{number}", every)
        # Each start resumes where the one before was killed, a few steps later.
        seconds.append(_until_checkpoint(workspace.runs / "late", every) - early)
    return seconds


def _speeds_of_runs(settings, needed, workspace):
    """Examples per second in the second epoch of runs; streamed and in memory take turns."""
    kinds = {}
    for streaming, name in (("always", "streamed"), ("never", "in_memory")):
        if f"clicks_{name}" in needed:
            log = workspace.clicks(settings.speed_rows)
            fields = {**_CLICKS, "data_path": log, "streaming": streaming, "batch_size": 4096}
            kinds[f"clicks_{name}"] = ("clicks", fields)
        if f"images_{name}" in needed:
            folder = workspace.images(settings.speed_images)
            fields = {**_IMAGES, "image_size": 96, "batch_size": 32}
            fields |= {"data_path": folder, "streaming": streaming}
            kinds[f"images_{name}"] = ("image_folder", fields)
    count = itertools.count()

    def speed(config, fields):
        workdir = workspace.runs / f"speed_{next(count)}"
        metrics, _ = _finish(config, workdir, {**fields, "epochs": 2})
        return metrics[-1]["examples_per_second"]

    # Here, turns return rates instead of seconds.
    turns = Turns(
        {name: lambda kind=kind: speed(*kind) for name, kind in kinds.items()}, workspace.tell
    )
    for done in range(settings.turns if kinds else 0):
        turns.take(done, settings.turns)
    return turns.seconds


def _speeds_of_pipelines(settings, needed, workspace):
    """Examples per second of input pipelines, which take turns."""
    takes, examples = {}, {}
    if "clicks_pipeline" in needed:
        log = workspace.clicks(settings.speed_rows)
        data = open_data({**_CLICKS, "data_path": str(log), "streaming": "always"})
        takes["clicks_pipeline"] = timed(lambda: _drain(data.train.training_batches(4096, 1, 0)))
        examples["clicks_pipeline"] = data.train.examples
    if "images_pipeline" in needed:
        folder = workspace.images(settings.speed_images)
        mapping = {"dataset": "image_folder", "data_path": str(folder), "image_size": 96}
        images = open_data({**mapping, "streaming": "always"})
        takes["images_pipeline"] = timed(lambda: _drain(images.train.training_batches(32, 1, 0)))
        takes["images_bare"] = timed(lambda: _drain(_bare_pipeline(images.train, 32)))
        examples |= dict.fromkeys(("images_pipeline", "images_bare"), images.train.examples)
    turns = Turns(takes, workspace.tell)
    turns.warm_up(1)
    for done in range(settings.turns if takes else 0):
        turns.take(done, settings.turns)
    return {
        name: [examples[name] / duration for duration in seconds]
        for name, seconds in turns.seconds.items()
    }


def _bare_pipeline(split, batch_size):
    """An epoch of a streamed split's images in random order, with plain tf.data."""
    import numpy as np
    import tensorflow as tf

    from rocket_tf.data.images.files import decode_one

    def read(index):
        image = np.zeros(split.source.shape, np.uint8)
        decode_one(split.references[index], image)
        return image, split.labels[index]

    indices = tf.data.Dataset.range(split.examples).shuffle(split.examples, seed=0)
    examples = indices.map(
        lambda index: tf.numpy_function(read, [index], (tf.uint8, tf.int64), stateful=False),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return examples.batch(batch_size).prefetch(_PARALLEL_READS)


def _drain(dataset):
    for _ in dataset:
        pass


def _finish(config, workdir, fields):
    """Runs the command to its end; returns its metrics and its peak memory in mebibytes."""
    with tempfile.TemporaryFile("w+") as output:
        process = _start(config, workdir, fields, output)
        _, status, usage = os.wait4(process.pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise _ended(output, f"with exit code {code}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / _MEBIBYTE
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], peak


def _until_checkpoint(workdir, fields):
    """Seconds from the start of a click run to its next checkpoint; then kills it."""
    directory = workdir / "checkpoints"
    newest = checkpoints_in(directory)[:1]
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = _start("clicks", workdir, fields, output)
        try:
            while checkpoints_in(directory)[:1] == newest:
                if process.poll() is not None:
                    raise _ended(output, "before its next checkpoint")
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


def _start(config, workdir, fields, output):
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else value
        for name, value in fields.items()
    }
    flags = [f"--config.{name}={text}" for name, text in texts.items()]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "rocket_tf.main", f"--config={config}"),
            *(f"--workdir={workdir}", "--config.pictures=False", *flags),
        ],
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def _ended(output, how):
    output.seek(0)
    lines = output.read().strip().splitlines() or ["no message"]
    return ProcessEnded(f"a measured run has ended {how}: {lines[-1]}")
