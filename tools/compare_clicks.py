"""Compares light net, booster and rocket on simulated click logs: AUC, GAUC and log loss.

    python -m tools.compare_clicks --seeds=5 --output=results/clicks

Every seed has a log and initial weights of its own, the same for all methods. Figures are of the
last epoch, on the last tenth of the log. Runs that are there are not run again; interrupted, the
same command goes on. Writes <output>.json and <output>.md.
"""

import argparse
import sys
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.errors import ConfigError
from rocket_tf.studies.click_comparison import ClickComparison, as_markdown
from rocket_tf.system import files
from rocket_tf.system.startup import load_tensorflow_quietly


def main(argv=None):
    """Runs what is missing and writes the table; returns the process's exit code."""
    arguments = _parse(argv)
    try:
        comparison = ClickComparison(
            arguments.seeds, options.parse_overrides(arguments.set), arguments.runs
        )
        _complete(comparison)
        result = comparison.result(_command(arguments))
        table = as_markdown(result)
        if arguments.output:
            files.write_json(f"{arguments.output}.json", result)
            files.write_text(Path(f"{arguments.output}.md"), table)
    except ConfigError as error:
        return _fail(error, 2)
    except (OSError, RuntimeError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on", 130)
    print(table)
    return 0


def _complete(comparison):
    missing = comparison.missing()
    if not missing:
        return
    print(f"{len(missing)} of {len(comparison.runs)} runs to do. Loading TensorFlow", flush=True)
    load_tensorflow_quietly()
    import keras

    from rocket_tf import train

    for number, ((method, seed), (config, folder)) in enumerate(missing.items(), 1):
        print(f"== run {number} of {len(missing)}: {method}, seed {seed}", flush=True)
        train.train_and_evaluate(config, folder.path)
        keras.backend.clear_session()


def _parse(argv):
    parser = argparse.ArgumentParser(
        prog="compare_clicks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], help="any field, as --set=epochs=4")
    parser.add_argument("--runs", default="runs/compare_clicks", help="(default: %(default)s)")
    parser.add_argument("--output", help="path without its suffix; without it, print only")
    return parser.parse_args(argv)


def _command(arguments):
    parts = [f"python -m tools.compare_clicks --seeds={arguments.seeds}"]
    parts += [f"--set={setting}" for setting in arguments.set]
    return " ".join(parts + ([f"--output={arguments.output}"] if arguments.output else []))


def _fail(message, code):
    print("compare_clicks: " + " ".join(str(message).split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
