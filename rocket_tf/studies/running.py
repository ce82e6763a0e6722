"""The loop that does the missing runs of a plan, and prints the current run and the time left."""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Mapping

from rocket_tf import config as options
from rocket_tf.data import DatasetCard
from rocket_tf.errors import NonFiniteLossError, Preempted
from rocket_tf.runs.folder import RunFolder
from rocket_tf.system.startup import load_tensorflow_quietly
from rocket_tf.system.timing import duration

# Seconds of a run besides its steps: building graphs, evaluation, export.
_SECONDS_TO_START = 12


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run that a study needs.

    Attributes:
        title: description of the run.
        config: its checked configuration.
        folder: its `RunFolder`.
        card: card of its data, known when its configuration is checked.
    """

    title: str
    config: Mapping
    folder: RunFolder
    card: DatasetCard | None


def missing(runs):
    """The `PlannedRun`s of a list that are not finished."""
    return [run for run in runs if run.folder.read_summary() is None]


def planned(title, config, path, data=None):
    """A run, after a check that it can be made.

    Args:
        title: description of the run.
        config: its configuration.
        path: its folder.
        data: an open `DataSet`, which is used if it is the configuration's.

    Returns:
        `(run, data)`: a `PlannedRun`, and its data, a `DataSet`.

    Raises:
        ConfigError: if it cannot be made, or the folder holds another run.
    """
    data = options.check(config, data)
    folder = RunFolder(path)
    folder.check(config, data)
    return PlannedRun(title, dict(config), folder, data.card), data


def complete(runs, data, after_run=lambda: None, diverged=None, pool=None):
    """Trains the runs of a plan that are not finished, in their order.

    Args:
        runs: a list of `PlannedRun`s.
        data: an open `DataSet`, such as that of one of them; runs with the same data use it, others
            open theirs.
        after_run: called after each trained run.
        diverged: called with a run and its `NonFiniteLossError`, after which the others go on;
            `None`: the error is raised.
        pool: a `Pool` that trains several runs at a time; `None`: this process trains them.

    Returns:
        The summaries of all runs, in order; `None` for runs that have diverged.

    Raises:
        Preempted: if SIGTERM was received; the progress is saved.
        NonFiniteLossError: as above; and all others of `rocket_tf.train.train_and_evaluate`.
    """
    to_do = missing(runs)
    if not to_do:
        return [run.folder.read_summary() for run in runs]
    print(f"{len(to_do)} of {len(runs)} runs to do. Loading TensorFlow", flush=True)
    begun, processes = [], 1 if pool is None else min(pool.processes, len(to_do))

    def show(run):
        begun.append(run)
        left = _time_left(runs, missing(to_do), processes)
        print(f"== run {len(begun)} of {len(to_do)}: {run.title}{left}", flush=True)

    with _preempted_by_sigterm(lambda: f"{len(runs) - len(missing(runs))} of {len(runs)} runs"):
        ended = in_turn("train", _train, to_do, data, pool, show)
        for number, (run, error) in enumerate(ended, 1):
            if error is not None:
                if diverged is None or not isinstance(error, NonFiniteLossError):
                    raise error
                diverged(run, error)
            if pool is not None:
                print(f"done: {number} of {len(to_do)}, {run.title}", flush=True)
            after_run()
    return [run.folder.read_summary() for run in runs]


def in_turn(task, do, runs, data, pool=None, started=lambda run: None):
    """Does a task for runs, one after the other or several at a time.

    Args:
        task: its name in `rocket_tf.studies.run_worker`.
        do: function of a run's configuration, folder and data that does it in this process.
        runs: a list of `PlannedRun`s.
        data: as for `complete`.
        pool: as for `complete`.
        started: called with each run before it.

    Yields:
        `(run, error)` when each is done; the error is `None`, or one that `do` raises.
    """
    if pool is not None:
        requests = [
            {"task": task, "config": run.config, "path": str(run.folder.path)} for run in runs
        ]
        done, boosters = set(), [_untrained_booster(run) for run in runs]
        indices = {run.folder.path: index for index, run in enumerate(runs)}

        def may_start(index, busy):
            booster = boosters[index]
            if booster in indices:  # it answers after its summary is written and its lock released
                return indices[booster] in done
            # The first run that follows it trains it.
            trains_it = booster is not None and _untrained_booster(runs[index]) is not None
            return not trains_it or booster not in [boosters[other] for other in busy]

        for index, error in pool.answers(requests, may_start, lambda index: started(runs[index])):
            done.add(index)
            yield runs[index], error
        return
    load_tensorflow_quietly()
    import keras

    for run in runs:
        started(run)
        error = None
        try:
            data = data.reopen(run.config)
            do(run.config, run.folder.path, data)
        except NonFiniteLossError as raised:
            error = raised
        keras.backend.clear_session()
        yield run, error


def _train(config, path, data):
    from rocket_tf import train

    train.train_and_evaluate(config, path, data=data)


def _untrained_booster(run):
    """The folder of the booster that a run follows, if it is not yet trained, or `None`."""
    booster = run.folder.booster_folder(run.config)
    return None if booster is None or booster.read_summary() is not None else booster.path


@contextlib.contextmanager
def _preempted_by_sigterm(how_far):
    """A context in which SIGTERM raises `Preempted`, unless a run handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def stop(*_):
        raise Preempted(how_far())

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _time_left(runs, to_do, processes=1):
    """The time that the missing runs will take, estimated from the finished ones."""
    done = [run for run in runs if run.folder.read_summary() is not None]
    if not done:
        return ""
    seconds = sum(map(seconds_of, done)) / processes
    seconds_left = seconds / sum(map(_cost, done)) * sum(map(_cost, to_do))
    return f"; about {duration(seconds_left)} left"


def seconds_of(run):
    """The approximate time of a finished run, in seconds."""
    return _SECONDS_TO_START + sum(
        options.number_of_training_examples(run.config, run.card) / line["examples_per_second"]
        for line in run.folder.read_metrics()
    )


def curve_of(run):
    """A run's metrics for a table's pictures, without the machine's speed."""
    left_out = ("step", "learning_rate", "examples_per_second")
    return [
        {name: value for name, value in line.items() if name not in left_out}
        for line in run.folder.read_metrics()
    ]


def _cost(run):
    """The cost of a run's training relative to others, from the depth of its nets."""
    config = run.config
    if "booster_depth" in options.unread_fields(config):
        light, booster, width = 1, 1, 1  # click nets, with equal tables, or backbones
    else:
        booster = config["booster_depth"]
        light = config["light_depth"] or 0.7 * booster
        width = config["width"]
    layers = {
        "light": light,
        "booster": booster,
        "rocket": light + booster,
        "rocket_kd": light + booster + booster / 3,  # the teacher has no backward pass
    }.get(config["method"], light + booster / 3)
    examples = options.number_of_training_examples(config, run.card)
    return layers * width**2 * examples * config["epochs"]
