"""Compares killed runs, and runs with damaged checkpoints, with an undisturbed one."""

import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rocket_tf.errors import ProcessEnded
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress, checkpoints_in
from rocket_tf.system.provenance import machine, software

# A run on the digits: everything random is on, and nearly all the time goes into checkpoints.
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
PHASES = ("checkpoint", "export", "evaluation")
DAMAGES = ("cut data", "flip data", "lose data", "cut index", "flip index", "lose index")
DAMAGED = "damaged"
_MOST_DELAY = 0.5  # seconds after a phase has begun
_SECONDS_BETWEEN_LOOKS = 0.001


def disturb(
    kills, damages, seed=0, tell=lambda line: print(line, flush=True), run=RUN, in_phases=None
):
    """Disturbs runs, and compares their results with those of an undisturbed run.

    Args:
        kills: number of runs to kill, every other one while a checkpoint is being written.
        damages: number of runs to kill and damage.
        seed: seed of the times of kills, and of the kinds and places of damage.
        run: the run, as flags of the command, with a checkpoint at every step.
        in_phases: dict from some of `PHASES` to the number of further runs to kill within them.
        tell: called with a line about each run.

    Returns:
        Dict fit for JSON: "run", the command; "same", the number of runs that ended bit for bit
        like the undisturbed one; "trials", what was done to each; "versions" and "machine".

    Raises:
        ProcessEnded: if a run does not end with exit code 0.
    """
    chance = random.Random(seed)
    phases = [PHASES[0] if number % 2 else None for number in range(kills)]
    phases += [phase for phase, number in (in_phases or {}).items() for _ in range(number)]
    phases += [DAMAGED] * damages
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "undisturbed"
        began = time.monotonic()
        finish(reference, run)
        seconds = time.monotonic() - began
        tell(f"undisturbed: {seconds:.1f} s")
        for number, phase in enumerate(phases, 1):
            workdir = Path(folder) / "disturbed"
            if phase == DAMAGED:
                kind = DAMAGES[number % len(DAMAGES)]
                kill(workdir, 0, PHASES[0], checkpoints=3, run=run)
                trial = {"damage": kind, "checkpoint": damage(workdir, kind, chance)}
            else:
                trial = _kill_in_phase(workdir, chance, seconds, phase, run)
            trial["warnings"] = finish(workdir, run)
            trial["different"] = differences(workdir, reference)
            trials.append(trial)
            tell(f"{number} of {len(phases)}: {trial}")
            shutil.rmtree(workdir)
    same = sum(not trial["different"] for trial in trials)
    tell(f"{same} of {len(trials)} ended bit for bit like the undisturbed run")
    return {
        "run": ["python -m rocket_tf.main", *run],
        "same": same,
        "trials": trials,
        "versions": software("tensorflow", "keras"),
        "machine": machine(),
    }


def finish(workdir, run=RUN):
    """Runs the command to its end, and returns the warnings that it printed.

    Raises:
        ProcessEnded: if it does not end with exit code 0.
    """
    process = subprocess.run(_command(workdir, run), capture_output=True, text=True)
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no message"]
        raise ProcessEnded(f"a run has ended with exit code {process.returncode}: {lines[-1]}")
    return [line.replace(str(workdir), "…") for line in process.stderr.splitlines()]


def _kill_in_phase(workdir, chance, seconds, phase, run):
    # Not while Python starts, when nothing can be lost; an evaluation may be missed narrowly.
    earliest = (seconds / 3, seconds) if phase in (None, PHASES[0]) else (0, 0)
    while True:
        delay = 0.0 if phase == PHASES[0] else chance.uniform(0, _MOST_DELAY)
        began = time.monotonic()
        killed = kill(workdir, chance.uniform(*earliest), phase, delay=delay, run=run)
        if killed is None:  # this time, the run was faster than the undisturbed one
            seconds = min(seconds, time.monotonic() - began)
            earliest = min(earliest[0], seconds / 3), min(earliest[1], seconds)
        if killed and (phase in (None, PHASES[0]) or killed["was_in"] == phase):
            return killed
        shutil.rmtree(workdir, ignore_errors=True)


def kill(workdir, seconds, phase=None, checkpoints=0, delay=0.0, run=RUN):
    """Starts the command and kills it.

    Args:
        workdir: the run's folder, which must not exist.
        seconds: earliest time of the kill.
        phase: one of `PHASES` to wait for, or `None`.
        checkpoints: number of checkpoints to wait for.
        delay: seconds to wait after that.
        run: the run, as flags of the command.

    Returns:
        Dict of when the process was killed, in which of `PHASES`, and the newest complete
        checkpoint; `None` if the process had ended before.
    """
    directory = Path(workdir) / "checkpoints"
    process = subprocess.Popen(
        _command(workdir, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    while process.poll() is None:
        if (
            time.monotonic() - began >= seconds
            and len(checkpoints_in(directory)) >= checkpoints
            and (phase is None or _is_in(phase, workdir))
        ):
            time.sleep(delay)
            break
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    killed_after = time.monotonic() - began
    process.kill()
    if process.wait() >= 0:
        return None
    newest = checkpoints_in(directory)[:1]
    return {
        "killed_after_seconds": round(killed_after, 3),
        "was_in": next((phase for phase in PHASES if _is_in(phase, workdir)), None),
        "newest_checkpoint": newest[0].checkpoint_in("").name if newest else None,
    }


def _is_in(phase, workdir):
    """Whether a run's files say that it is in one of `PHASES`."""
    directory = Path(workdir) / "checkpoints"
    if phase == "checkpoint":  # its files do not have their final names yet
        return any(directory.glob("saving*"))
    if phase == "export":
        return any((Path(workdir) / "light").glob(".*.partial"))
    # After the checkpoint before an epoch's last step, and before its metrics are written. The
    # first epoch's metrics give the number of steps.
    lines = RunFolder(workdir).read_metrics()
    last = Progress(len(lines), lines[-1]["step"] // len(lines) - 1) if lines else None
    return checkpoints_in(directory)[:1] == [last]


def damage(workdir, kind, chance):
    """Damages the newest checkpoint of a run, and returns its name.

    Args:
        workdir: the run's folder.
        kind: one of `DAMAGES`.
        chance: a `random.Random`.
    """
    newest = checkpoints_in(Path(workdir) / "checkpoints")[0].checkpoint_in("").name
    action, part = kind.split()
    pattern = f"{newest}.index" if part == "index" else f"{newest}.data-*"
    (path,) = (Path(workdir) / "checkpoints").glob(pattern)
    content = bytearray(path.read_bytes())
    if action == "cut":
        path.write_bytes(content[: chance.randrange(len(content))])
    elif action == "flip":
        for _ in range(8):
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        path.write_bytes(content)
    else:
        path.unlink()
    return newest


def differences(workdir, reference):
    """The differences of two finished runs: names of tensors and files; empty if there are none."""
    state, reference_state = _state(workdir), _state(reference)
    different = sorted(
        name for name in state | reference_state if state.get(name) != reference_state.get(name)
    )
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


def _command(workdir, run):
    return [sys.executable, "-m", "rocket_tf.main", *run, f"--workdir={workdir}"]
