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


def complete(runs, data, after_run=lambda: None, diverged=None):
    """Trains the runs of a plan that are not finished, in their order.

    Args:
        runs: a list of `PlannedRun`s.
        data: a `DataSet` that is open already, such as that of one of them; runs that have the
            same use it, others open theirs.
        after_run: called after each that is trained.
        diverged: called with a run and its `NonFiniteLossError`, which then stops nothing; `None`:
            it is raised.

    Returns:
        The summaries of all runs, in their order; `None` for those that have diverged.

    Raises:
        Preempted: if SIGTERM has come; what was done is saved.
        NonFiniteLossError: as above; and all others of `rocket_tf.train.train_and_evaluate`.
    """
    summaries = [run.folder.read_summary() for run in runs]
    to_do = [place for place, summary in enumerate(summaries) if summary is None]
    if not to_do:
        return summaries
    print(f"{len(to_do)} of {len(runs)} runs to do. Loading TensorFlow", flush=True)
    with _preempted_by_sigterm(lambda: f"{len(runs) - len(missing(runs))} of {len(runs)} runs"):
        load_tensorflow_quietly()
        import keras

        from rocket_tf import train

        for number, place in enumerate(to_do, 1):
            run = runs[place]
            left = _time_left(runs, [runs[other] for other in to_do[number - 1 :]])
            print(f"== run {number} of {len(to_do)}: {run.title}{left}", flush=True)
            try:
                data = data.reopen(run.config)
                summaries[place] = train.train_and_evaluate(run.config, run.folder.path, data=data)
            except NonFiniteLossError as error:
                if diverged is None:
                    raise
                diverged(run, error)
            keras.backend.clear_session()
            after_run()
    return summaries


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


def _time_left(runs, to_do):
    """How long the missing runs will take, by how long the finished ones took."""
    done = [run for run in runs if run.folder.read_summary() is not None]
    if not done:
        return ""
    seconds = sum(map(seconds_of, done))
    left = seconds / sum(map(_cost, done)) * sum(map(_cost, to_do))
    return f"; about {_duration(left)} left"


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


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
