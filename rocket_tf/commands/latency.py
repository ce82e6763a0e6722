"""Times the light net and its booster in every installed runtime, taking turns.

    rocket-tf latency --workdir=runs/digits --output=results/latency

It measures batches of 1, 8 and 64 on one thread and two: median, 95th and 99th percentile and
throughput. The runtimes are TensorFlow's C++ session (SavedModel), LiteRT (float32 and int8), ONNX
Runtime and OpenVINO. It writes <output>.json and <output>.png, a picture of error against latency.
Several runs that differ in their seeds give the picture the spread of errors; only the first run's
nets are timed.

With --rates, clients also send requests to the first run's export, in a process on one core, at
these rates. This shows how many it answers, and how late, for each signature that takes rows.
"""

from pathlib import Path

from rocket_tf.commands import Parser, as_called
from rocket_tf.studies.latencies import RUNTIMES, Latencies, Load, choose
from rocket_tf.system import files
from rocket_tf.system.answering import answer
from rocket_tf.system.startup import load_tensorflow_quietly

_TIMES = ("cpu_ms", "p50_ms", "p95_ms", "p99_ms")


def main(argv=None):
    """Times what the arguments ask for; returns the process's exit code."""
    arguments = _parse(argv)
    return answer("latency", lambda: _measure(arguments))


def _parse(argv):
    parser = Parser("latency", __doc__)
    parser.add_argument(
        "--workdir", nargs="+", type=Path, required=True, help="finished runs of a rocket"
    )
    parser.add_argument(
        "--light_alone", nargs="*", type=Path, default=[], help="finished runs of the light net"
    )
    parser.add_argument("--runtimes", help=f"some of {','.join(RUNTIMES)} (all installed)")
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[1, 8, 64],
        help="examples in a call (%(default)s); for click nets, a request's candidates, say 200",
    )
    parser.add_argument("--rounds", type=int, default=20, help="measured turns (%(default)s)")
    parser.add_argument(
        "--rates", type=float, nargs="*", default=[], help="loads, in requests a second (none)"
    )
    parser.add_argument(
        "--clients", type=int, default=4, help="threads that send requests (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=3, help="duration of each load (%(default)s), at most 60"
    )
    parser.add_argument("--output", type=Path, required=True, help="path without its suffix")
    return parser.parse_args(argv)


def _measure(arguments):
    latencies = Latencies(
        arguments.workdir,
        arguments.light_alone,
        choose(arguments.runtimes),
        arguments.batches,
        arguments.rounds,
        Load(arguments.rates, arguments.clients, arguments.seconds),
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)  # or it fails before the work
    print("Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    from rocket_tf.reporting.latency_picture import error_against_latency
    from rocket_tf.reporting.pictures import as_png

    result = {"command": _command(arguments), **latencies.measure()}
    _print_rows(result["rows"])
    _print_load(result.get("load"))
    for name, value in result["ratios"].items():
        print(f"{name}: {value:.2f}")
    files.write_json(f"{arguments.output}.json", result)
    files.write_bytes(f"{arguments.output}.png", as_png(error_against_latency(result)))
    print(f"written: {arguments.output}.json, .png")


def _print_rows(rows):
    columns = "{:<12} {:>7} {:>5} {:<9} {:>9} {:>9} {:>9} {:>11}"
    print(
        columns.format(
            "runtime", "threads", "batch", "net", "p50 ms", "p95 ms", "p99 ms", "images/s"
        )
    )
    for row in sorted(rows, key=lambda row: (row["runtime"], row["threads"], row["batch"])):
        print(
            columns.format(
                row["runtime"],
                row["threads"],
                row["batch"],
                row["net"],
                f"{row['p50_ms']:.3f}",
                f"{row['p95_ms']:.3f}",
                f"{row['p99_ms']:.3f}",
                f"{row['examples_per_second']:.0f}",
            )
        )


def _print_load(load):
    if load is None:
        return
    print(f"one core, {load['clients']} clients, {load['seconds']:g} s at each rate:")
    columns = "{:<17} {:>5} {:>9} {:>10} {:>9} {:>9} {:>9} {:>9}"
    titles = (name.replace("_", " ") for name in _TIMES)
    print(columns.format("signature", "batch", "asked/s", "answered/s", *titles))
    for row in load["rows"]:
        rate = "no pause" if row["rate"] is None else f"{row['rate']:g}"
        times = ("-" if row[name] is None else f"{row[name]:.2f}" for name in _TIMES)
        answered = f"{row['answered_per_second']:.1f}"
        print(columns.format(row["signature"], row["batch"], rate, answered, *times))


def _command(arguments):
    parts = [as_called("latency"), "--workdir", *map(str, arguments.workdir)]
    if arguments.light_alone:
        parts += ["--light_alone", *map(str, arguments.light_alone)]
    if arguments.batches != [1, 8, 64]:
        parts += ["--batches", *map(str, arguments.batches)]
    if arguments.runtimes:
        parts.append(f"--runtimes={arguments.runtimes}")
    if arguments.rates:
        rates = (f"{rate:g}" for rate in arguments.rates)
        parts += ["--rates", *rates, f"--clients={arguments.clients}"]
        parts.append(f"--seconds={arguments.seconds:g}")
    return " ".join([*parts, f"--rounds={arguments.rounds}", f"--output={arguments.output}"])
