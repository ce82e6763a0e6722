"""Trains the same configuration by several methods with several seeds, and compares test errors.

    python -m tools.compare --config=configs/digits.py --seeds=5 --output=results/digits

Runs that are there already are not run again, so that an interrupted comparison goes on where it
was. Writes `<output>.json` and `<output>.md`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from rocket_tf import config as options


def main():
    """Runs what is missing, then writes the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="configuration file")
    parser.add_argument(
        "--methods",
        default="light,rocket",
        help="of light, booster and rocket; the first one is the base (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="seeds 0 to this number - 1 (default: %(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], help="field to override, as --set=epochs=20"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--output", type=Path, required=True, help="where to write, no suffix")
    parser.add_argument("--note", default="", help="what a reader of the figures must know")
    arguments = parser.parse_args()
    for override in arguments.set:
        name, _, text = override.partition("=")
        try:
            options.parse_override(name, text)
        except options.ConfigError as error:
            parser.error(f"--set={override}: {error}")
    methods = arguments.methods.split(",")
    summaries = {method: [] for method in methods}
    for seed in range(arguments.seeds):
        for method in methods:
            workdir = arguments.runs / f"{arguments.output.name}_{method}_{seed}"
            print(f"== {method}, seed {seed}: {workdir}", flush=True)
            overrides = [*arguments.set, f"method={method}", f"seed={seed}"]
            command = [sys.executable, "-m", "rocket_tf.main", f"--config={arguments.config}"]
            command += [f"--workdir={workdir}"]
            command += [f"--config.{override}" for override in overrides]
            exit_code = subprocess.run(command).returncode
            if exit_code:
                sys.exit(exit_code)
            summaries[method].append(json.loads((workdir / "summary.json").read_text()))
        # After each seed, so that there is a result however early this ends.
        write(arguments.output, compare(summaries, _command(arguments), arguments.note))


def compare(summaries, command, note=""):
    """The comparison of methods from their runs' summaries.

    Args:
        summaries: dict from a method to its runs' summaries, seed by seed; the first method is
            the base.
        command: what gives these figures.
        note: what a reader of the figures must know.

    Returns:
        A dict that JSON can hold; errors in per cent, after the last epoch.
    """
    errors = {
        f"{net}, {method}": [summary[net]["test_error"] for summary in runs]
        for method, runs in summaries.items()
        for net in ("light", "booster")
        if net in runs[0]
    }
    base = next(iter(errors))
    first = next(iter(summaries.values()))[0]
    return {
        "command": command,
        "note": note,
        "epochs": first["epochs"],
        "train_examples": first["train_examples"],
        "test_examples": first["test_examples"],
        "versions": {"python": platform.python_version(), **first["versions"]},
        "machine": {"processors": os.cpu_count(), "architecture": platform.machine()},
        "test_errors": {
            name: {
                "by_seed": values,
                "mean": round(statistics.mean(values), 3),
                "standard_deviation": _spread(values),
                "median": round(statistics.median(values), 3),
                f"mean difference to {base}": round(
                    statistics.mean(
                        mine - theirs for mine, theirs in zip(values, errors[base], strict=True)
                    ),
                    3,
                ),
            }
            for name, values in errors.items()
        },
    }


def write(output, comparison):
    """Writes the comparison as JSON and as a Markdown table."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(comparison, indent=2) + "\n")
    lines = ["| net | trained | mean ± sd | median | seeds |", "|---|---|---|---|---|"]
    for name, figures in comparison["test_errors"].items():
        net, method = name.split(", ")
        trained = "alone" if method == net else f"in the {method}"
        spread = figures["standard_deviation"]
        mean = f"{figures['mean']:.2f}" + ("" if spread is None else f" ± {spread:.2f}")
        lines.append(
            f"| {net} | {trained} | {mean} % | {figures['median']:.2f} % | "
            f"{len(figures['by_seed'])} |"
        )
    lines += [
        "",
        f"Test error after epoch {comparison['epochs']}, {comparison['train_examples']} training "
        f"and {comparison['test_examples']} test examples. {comparison['note']}".strip(),
        "",
        f"    {comparison['command']}",
        "",
    ]
    output.with_suffix(".md").write_text("\n".join(lines))
    print("\n".join(lines), flush=True)


def _command(arguments):
    return " ".join(
        [
            "python -m tools.compare",
            f"--config={arguments.config}",
            f"--seeds={arguments.seeds}",
            f"--methods={arguments.methods}",
            *(f"--set={override}" for override in arguments.set),
            f"--output={arguments.output}",
        ]
    )


def _spread(values):
    return round(statistics.stdev(values), 3) if len(values) > 1 else None


if __name__ == "__main__":
    main()
