"""One run of the benchmark: takes the measurements that figures need, and reports them."""

import platform

from rocket_tf.benchmarks import processes
from rocket_tf.benchmarks.figures import disturbed, evaluate, summarize
from rocket_tf.benchmarks.kinds import HERE, KINDS, WITHIN_FIT, load_libraries
from rocket_tf.system.provenance import machine, software
from rocket_tf.system.timing import Turns, timed

_WARM_UP = 3  # steps
# By rate: the kind whose time it is computed from, and the size with its number of examples.
_RATES = {
    "pipeline_rate": ("input_pipeline", "examples"),
    "rocket_rate": ("rocket", "batch_size"),
}
_PROFILED = "rocket"
_ABOVE_TENSORFLOW = "_above_tensorflow"


def measure(settings, figures, tell=print):
    """Takes the measurements that some figures need.

    Args:
        settings: a checked `Settings`.
        figures: dict from names to `Figure`s.
        tell: called with lines about the progress.

    Returns:
        A dict that JSON can hold: "milliseconds", "examples_per_second", "mebibytes" and "seconds"
        with the median and range of each measurement; "ratios", the figures that are ratios, by
        name; "profile", milliseconds of the rocket's step by operation, if it is among the
        measurements; "targets" of all figures; "disturbed", kinds of steps with unreliable figures;
        "versions" and "machine".
    """
    needed = {name for figure in figures.values() for name in figure.measurements}
    # Memory and start are measured before this process loads TensorFlow and takes memory itself.
    mebibytes = _memory(settings, needed, tell)
    seconds = {}
    if "first_step" in needed:
        seconds["first_step"] = processes.seconds_to_first_step(settings, tell)
    sources = {kind for rate, (kind, _) in _RATES.items() if rate in needed}
    milliseconds = _step_times(settings, needed | sources, tell)
    rates = {
        rate: [1000 * getattr(settings, size) / time for time in milliseconds[kind]]
        for rate, (kind, size) in _RATES.items()
        if rate in needed
    }
    measured = {
        "milliseconds": milliseconds,
        "examples_per_second": rates,
        "mebibytes": mebibytes,
        "seconds": seconds,
    }
    by_name = {
        name: values for measurements in measured.values() for name, values in measurements.items()
    }
    return {
        **{
            unit: {name: summarize(values) for name, values in measurements.items()}
            for unit, measurements in measured.items()
        },
        "ratios": evaluate({name: f for name, f in figures.items() if f.below}, by_name),
        "profile": _profile(settings, milliseconds, tell),
        "targets": {name: figure.target for name, figure in figures.items() if figure.target},
        "disturbed": disturbed(milliseconds),
        "versions": _versions(milliseconds),
        "machine": machine(),
    }


def _step_times(settings, needed, tell):
    """The milliseconds of all needed kinds, by kind."""
    names = [name for name in KINDS if name in needed]
    local = [name for name in names if KINDS[name].process == HERE]
    with processes.remote_steps(settings, names, tell) as steps:
        if local:
            tell("loading TensorFlow")
            load_libraries(local)
        for name in local:
            tell(f"building {name}")
            steps[name] = timed(KINDS[name].build(settings))
        turns = Turns({name: steps[name] for name in names}, tell)
        turns.warm_up(_WARM_UP)
        if WITHIN_FIT not in needed:
            for done in range(settings.steps if names else 0):
                turns.take(done, settings.steps)
            return _in_milliseconds(turns.seconds)
        from rocket_tf.benchmarks.keras_steps import rounds_within_fit

        fit = rounds_within_fit(settings, _WARM_UP, lambda done: turns.take(done, settings.steps))
        return _in_milliseconds({**turns.seconds, WITHIN_FIT: fit})


def _in_milliseconds(seconds):
    return {name: [1000 * value for value in values] for name, values in seconds.items()}


def _memory(settings, needed, tell):
    """The mebibytes of all needed trainings, by name."""
    mebibytes = {}
    for net in ("booster", "rocket"):
        names = (f"{net}_memory", f"{net}_memory{_ABOVE_TENSORFLOW}")
        if needed.intersection(names):
            measured = processes.peak_memory(settings, net, _WARM_UP + settings.steps, tell)
            mebibytes.update(zip(names, measured, strict=True))
    return mebibytes


def _profile(settings, milliseconds, tell):
    """Where the time of the rocket's step goes, if it was timed."""
    if _PROFILED not in milliseconds:
        return {}
    from rocket_tf.benchmarks.profile import profile

    tell(f"profiling {_PROFILED}")
    return {_PROFILED: profile(settings, _PROFILED)}


def _versions(milliseconds):
    pytorch = ["torch"] if any("pytorch" in name for name in milliseconds) else []
    return {"python": platform.python_version(), **software("tensorflow", "keras", *pytorch)}
