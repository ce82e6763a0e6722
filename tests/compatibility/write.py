"""Writes what a version of the package leaves behind, for later versions to read.

    python tests/compatibility/write.py tests/compatibility/0.2.0

A finished run and an interrupted one (both without what can be made again), a `.keras` file, and
what the latter answers. The tests read the folders of all versions beside this file.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN = (
    *("--config=digits", "--config.layout=constant", "--config.light_depth=6"),
    *("--config.booster_depth=10", "--config.train_examples=200", "--config.epochs=3"),
    *("--config.pictures=False", "--config.checkpoints_kept=1"),
)


def main(folder):
    """Writes the three into a folder that does not exist yet."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    write_finished(folder / "finished")
    write_interrupted(folder / "interrupted")
    write_keras_file(folder)


def write_finished(workdir):
    """A run of three epochs that is done."""
    subprocess.run(_command(workdir), check=True)
    _leave_out(workdir)


def write_interrupted(workdir):
    """The same run, ended by SIGTERM once its first epoch is saved."""
    process = subprocess.Popen(_command(workdir, "--config.epochs=40"))
    while not list(workdir.glob("checkpoints/*.index")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    _leave_out(workdir)


def write_keras_file(folder):
    """A rocket with shared layers, a teacher and two hints, after a few steps, and its answers."""
    import keras
    import numpy as np

    import rocket_tf

    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), name="numbers")
    low = keras.layers.Dense(4, activation="relu", name="low")(inputs)
    light = keras.Model(inputs, keras.layers.Dense(3, name="light_logits")(low), name="light")
    high = keras.layers.Dense(7, activation="relu", name="high")(low)
    booster = keras.Model(
        inputs, keras.layers.Dense(3, name="booster_logits")(high), name="booster"
    )
    teacher = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)], name="teacher")
    rocket = rocket_tf.RocketModel(
        light,
        booster,
        hint=[
            rocket_tf.Hint("logits_mse", 0.1),
            rocket_tf.Hint("kd", 0.5, follows="teacher", temperature=2.0),
        ],
        teacher=teacher,
    )
    rocket.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    random = np.random.default_rng(0)
    x, y = random.normal(size=(24, 5)).astype(np.float32), random.integers(0, 3, 24)
    rocket.fit(x, y, batch_size=8, epochs=2, verbose=0)
    logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
    logits = rocket(x)
    rocket.save(folder / "rocket.keras")
    names, values = zip(*sorted(logs.items()), strict=True)
    np.savez(
        folder / "answers.npz",
        x=x,
        y=y,
        names=names,
        values=values,
        light=logits["light"],
        booster=logits["booster"],
    )


def _command(workdir, *more):
    return [sys.executable, "-m", "rocket_tf.main", *RUN, *more, f"--workdir={workdir}"]


def _leave_out(workdir):
    for name in ("light", "tensorboard"):
        shutil.rmtree(workdir / name, ignore_errors=True)
    (workdir / ".owner").unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
