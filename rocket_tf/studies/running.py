"""The loop that runs what is missing of a plan, and says which run it is and what is left."""

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

# What a run takes beside its steps: building graphs, evaluation, export.
_SECONDS_TO_START = 12


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run that a study needs.

    Attributes:
        title: which run it is, in words.
        config: its configuration, checked.
        folder: where it is, or will be.
        card: of its data, known when its configuration is checked.
    """

    title: str
    config: Mapping
    folder: RunFolder
    card: DatasetCard | None


def missing(runs):
    """Those of a list of `PlannedRun`s that are not finished."""
    return [run for run in runs if run.folder.read_summary() is None]


def planned(title, config, path, data=None):
    """A run, once it is known that it can be made.

    Args:
        title: which run it is, in words.
        config: its configuration.
        path: its folder.
        data: a `DataSet` that is open already, which is used where it is the configuration's.

    Returns:
        `(run, data)`: a `PlannedRun`, and its data, a `DataSet`.

    Raises:
        ConfigError: if it cannot be made, or the folder holds another one.
    """
    data = options.check(config, data)
    folder = RunFolder(path)
    folder.check(config, data)
    return PlannedRun(title, dict(config), folder, data.card), data


def complete(runs, data, after_run=lambda: None, diverged=None, pool=None):
    """Trains the runs of a plan that are not finished, in their order.

    Args:
        runs: a list of `PlannedRun`s.
        data: a `DataSet` that is open already, such as that of one of them; runs that have the
            same use it, others open theirs.
        after_run: called after each that is trained.
        diverged: called with a run and its `NonFiniteLossError`, which then stops nothing; `None`:
            it is raised.
        pool: a `Pool` that trains them, several at a time; `None`: this process does.

    Returns:
        The summaries of all runs, in their order; `None` for those that have diverged.

    Raises:
        Preempted: if SIGTERM has come; what was done is saved.
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
    """Does something with runs, one after the other, or several at a time.

    Args:
        task: what it is, as `rocket_tf.studies.run_worker` calls it.
        do: function of a run's configuration, folder and data that does it in this process.
        runs: a list of `PlannedRun`s.
        data: as of `complete`.
        pool: as of `complete`.
        started: called with each run before it.

    Yields:
        `(run, error)`, as each is done; the error is `None`, or one that `do` raises.
    """
    if pool is not None:
        requests = [
            {"task": task, "config": run.config, "path": str(run.folder.path)} for run in runs
        ]
        done, boosters = set(), [_untrained_booster(run) for run in runs]
        places = {run.folder.path: index for index, run in enumerate(runs)}

        def may_start(index, busy):
            booster = boosters[index]
            if booster in places:  # which answers after its summary is there, and its lock gone
                return places[booster] in done
            # The first of those that follow it trains it.
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
    """The folder of the booster that a run follows, as long as that is not trained, or `None`."""
    booster = run.folder.booster_folder(run.config)
    return None if booster is None or booster.read_summary() is not None else booster.path


@contextlib.contextmanager
def _preempted_by_sigterm(how_far):
    """Within it, SIGTERM raises `Preempted` where no run takes it for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def stop(*_):
        raise Preempted(how_far())

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _time_left(runs, to_do, processes=1):
    """How long the missing runs will take, by how long the finished ones took."""
    done = [run for run in runs if run.folder.read_summary() is not None]
    if not done:
        return ""
    seconds = sum(map(seconds_of, done)) / processes
    left = seconds / sum(map(_cost, done)) * sum(map(_cost, to_do))
    return f"; about {duration(left)} left"


def seconds_of(run):
    """How long a finished run took, about, in seconds."""
    return _SECONDS_TO_START + sum(
        options.number_of_training_examples(run.config, run.card) / line["examples_per_second"]
        for line in run.folder.read_metrics()
    )


def curve_of(run):
    """A run's metrics for a table's pictures, without how fast the machine was."""
    left_out = ("step", "learning_rate", "examples_per_second")
    return [
        {name: value for name, value in line.items() if name not in left_out}
        for line in run.folder.read_metrics()
    ]


def _cost(run):
    """What a run's training costs in comparison with others', by the depth of what it computes."""
    config = run.config
    if "booster_depth" in options.unread_fields(config):
        light, booster, width = 1, 1, 1  # nets of clicks, whose tables are alike, or backbones
    else:
        booster = config["booster_depth"]
        light = config["light_depth"] or 0.7 * booster
        width = config["width"]
    layers = {
        "light": light,
        "booster": booster,
        "rocket": light + booster,
        "rocket_kd": light + booster + booster / 3,  # the teacher runs forward alone
    }.get(config["method"], light + booster / 3)
    examples = options.number_of_training_examples(config, run.card)
    return layers * width**2 * examples * config["epochs"]
