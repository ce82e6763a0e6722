"""Chooses a hint's weight on a validation split, never on the test examples.

    rocket-tf choose-hint-weight --config=digits --method=rocket_softmax_mse
        --weights=0.3,1,3,10 --validation_examples=500 --seeds=2

It trains with every weight and seed, and chooses the weight with the lowest mean validation error
(for clicks, the highest AUC: the error is 100 · (1 - AUC)). Finished runs are not run again. The
figures are written to `--output`, a JSON file.
"""

from rocket_tf import config as options
from rocket_tf.commands import Parser
from rocket_tf.config import bundled as ready_configs
from rocket_tf.studies.hint_weights import METHODS_WITH_HINT, WeightSearch
from rocket_tf.system import files
from rocket_tf.system.answering import answer


def main(argv=None):
    """Runs what the arguments say; returns the process's exit code."""
    arguments = _parse(argv)
    return answer("choose_hint_weight", lambda: _choose(arguments), "the same command goes on")


def _parse(argv):
    parser = Parser("choose_hint_weight", __doc__)
    parser.add_argument("--config", required=True, choices=ready_configs.paths())
    parser.add_argument("--method", required=True, choices=METHODS_WITH_HINT)
    parser.add_argument("--weights", required=True, help="weights, with commas between")
    parser.add_argument("--validation_examples", type=int, required=True)
    parser.add_run_arguments(seeds=3, setting="epochs=20", runs="runs/hint_weight")
    parser.add_argument("--output", help="JSON file to write")
    return parser.parse_args(argv)


def _choose(arguments):
    result = WeightSearch(
        arguments.config,
        arguments.method,
        [options.parse_override("hint_weight", text) for text in arguments.weights.split(",")],
        arguments.validation_examples,
        arguments.seeds,
        options.parse_overrides(arguments.set),
        arguments.runs,
    ).complete()
    for weight, figures in result["validation_errors"].items():
        print(f"weight {weight}: {figures['mean']:.2f} %, by seed {figures['by_seed']}")
    print(f"chosen: {result['chosen']:g}")
    if arguments.output:
        recorded = {name: vars(arguments)[name] for name in vars(arguments) if name != "runs"}
        files.write_json(arguments.output, {"arguments": recorded, **result})
