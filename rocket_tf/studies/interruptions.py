"""Runs that are killed, or whose checkpoints are damaged, beside one that nothing disturbs."""

import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rocket_tf.errors import ProcessEnded
from rocket_tf.runs.progress import checkpoints_in
from rocket_tf.system.provenance import machine, software

# Everything random is on, and nearly all the time goes into checkpoints.
RUN = [
    "--config=digits",
    "--config.epochs=4",
    "--config.train_examples=160",
    "--config.batch_size=32",
    "--config.light_depth=10",
    "--config.booster_depth=16",
    "--config.booster_dropout=0.1",
    "--config.checkpoint_every_steps=1",
    "--config.pictures=False",
]
DAMAGES = ("cut data", "flip data", "lose data", "cut index", "flip index", "lose index")
_SECONDS_BETWEEN_LOOKS = 0.0002


def disturb(kills, damages, seed=0, tell=lambda line: print(line, flush=True)):
    """Disturbs runs, and compares how they end with one that nothing disturbed.

    Args:
        kills: how many to kill.
        damages: how many to kill and damage.
        seed: of instants, damages and places.
        tell: called with a line about each.

    Returns:
        Dict that JSON can hold: "run", the command; "same", how many ended bit for bit alike;
        "trials", what was done to each; "versions" and "machine".

    Raises:
        ProcessEnded: if a run does not end with exit code 0.
    """
    chance = random.Random(seed)
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "undisturbed"
        began = time.monotonic()
        finish(reference)
        seconds = time.monotonic() - began
        tell(f"undisturbed: {seconds:.1f} s")
        for number in range(kills + damages):
            workdir = Path(folder) / "disturbed"
            if number < kills:
                trial = _kill_for_certain(workdir, chance, seconds, during_save=bool(number % 2))
            else:
                kind = DAMAGES[number % len(DAMAGES)]
                kill(workdir, 0, during_save=True, checkpoints=3)
                trial = {"damage": kind, "checkpoint": damage(workdir, kind, chance)}
            trial["warnings"] = finish(workdir)
            trial["different"] = differences(workdir, reference)
            trials.append(trial)
            tell(f"{number + 1} of {kills + damages}: {trial}")
            shutil.rmtree(workdir)
    same = sum(not trial["different"] for trial in trials)
    tell(f"{same} of {len(trials)} ended bit for bit as the run that nothing disturbed")
    return {
        "run": ["python -m rocket_tf.main", *RUN],
        "same": same,
        "trials": trials,
        "versions": software("tensorflow", "keras"),
        "machine": machine(),
    }


def finish(workdir):
    """Runs the command to its end, and gives the warnings that it printed.

    Raises:
        ProcessEnded: if it does not end with exit code 0.
    """
    done = subprocess.run(_command(workdir), capture_output=True, text=True)
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it says nothing"]
        raise ProcessEnded(f"a run has ended with exit code {done.returncode}: {told[-1]}")
    return [line.replace(str(workdir), "…") for line in done.stderr.splitlines()]


def _kill_for_certain(workdir, chance, seconds, during_save):
    # Not while Python starts, when there is nothing to lose.
    while not (killed := kill(workdir, chance.uniform(seconds / 3, seconds), during_save)):
        shutil.rmtree(workdir, ignore_errors=True)
    return killed


def kill(workdir, seconds, during_save, checkpoints=0):
    """Starts the command and kills it.

    Args:
        workdir: the run's folder, which must not be there.
        seconds: when, at the earliest.
        during_save: whether to wait for the next checkpoint to be half written.
        checkpoints: so many checkpoints are waited for, too.

    Returns:
        Dict of when the process was killed, whether it was writing a checkpoint, and the newest
        one that was whole; `None` if it had ended before.
    """
    directory = Path(workdir) / "checkpoints"
    process = subprocess.Popen(
        _command(workdir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    while process.poll() is None:
        if (
            time.monotonic() - began >= seconds
            and len(checkpoints_in(directory)) >= checkpoints
            and (not during_save or _is_saving(directory))
        ):
            break
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    killed_after = time.monotonic() - began
    process.kill()
    if process.wait() >= 0:
        return None
    newest = checkpoints_in(directory)[:1]
    return {
        "killed_after_seconds": round(killed_after, 3),
        "was_saving": _is_saving(directory),
        "newest_checkpoint": newest[0].checkpoint_in("").name if newest else None,
    }


def damage(workdir, kind, chance):
    """Damages the newest checkpoint of a run, and gives its name.

    Args:
        workdir: the run's folder.
        kind: one of `DAMAGES`.
        chance: a `random.Random`.
    """
    newest = checkpoints_in(Path(workdir) / "checkpoints")[0].checkpoint_in("").name
    what, part = kind.split()
    pattern = f"{newest}.index" if part == "index" else f"{newest}.data-*"
    (path,) = (Path(workdir) / "checkpoints").glob(pattern)
    content = bytearray(path.read_bytes())
    if what == "cut":
        path.write_bytes(content[: chance.randrange(len(content))])
    elif what == "flip":
        for _ in range(8):
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        path.write_bytes(content)
    else:
        path.unlink()
    return newest


def differences(workdir, reference):
    """What differs between two finished runs: names of tensors, and of files; empty: nothing."""
    mine, theirs = _state(workdir), _state(reference)
    different = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
    for name in ("metrics.jsonl", "summary.json", "config.json"):
        texts = (
            re.sub(r'"examples_per_second": [^,]*', "", (Path(folder) / name).read_text())
            for folder in (workdir, reference)
        )
        if len(set(texts)) > 1:
            different.append(name)
    return different


def _state(workdir):
    import tensorflow as tf

    directory = Path(workdir) / "checkpoints"
    reader = tf.train.load_checkpoint(str(checkpoints_in(directory)[0].checkpoint_in(directory)))
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if not name.startswith(("_CHECKPOINTABLE", "save_counter"))
    }


def _is_saving(directory):
    """Whether there are files of a checkpoint that has not got its name yet."""
    return any(directory.glob("saving*"))


def _command(workdir):
    return [sys.executable, "-m", "rocket_tf.main", *RUN, f"--workdir={workdir}"]
