"""Times training steps side by side in one process: what a rocket step costs, and what it would.

    python -m tools.benchmark --output=results/benchmark.json

The figures are medians of steps that are taken in turn, so that the machine's noise hits all
alike, and their ratios are those to quote. Data are random images; nets are WRN-16-1 in WRN-40-1.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

from rocket_tf.provenance import machine
from rocket_tf.startup import load_tensorflow_quietly

RATIOS = {
    # name: (numerator, denominators, what it tells)
    "rocket_to_separate": (
        "rocket",
        ("light", "booster"),
        "rocket ÷ (light alone + booster alone)",
    ),
    "fused_to_keras": ("rocket", ("rocket_keras_norm",), "rocket ÷ rocket with Keras's batch norm"),
    "bfloat16_to_float32": ("rocket_bfloat16", ("rocket",), "mixed_bfloat16 ÷ float32"),
    "fit_to_loop": ("rocket_fit", ("rocket_loop",), "fit ÷ hand-written tf.function loop"),
}


def main():
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch_size", type=int, default=128, help="examples a step")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each kind")
    parser.add_argument("--light_depth", type=int, default=16, help="layers, 6n + 4")
    parser.add_argument("--booster_depth", type=int, default=40, help="layers, 6n + 4")
    parser.add_argument("--output", type=Path, help="JSON file to write; without it, print only")
    arguments = parser.parse_args()
    load_tensorflow_quietly()
    report = measure(
        arguments.batch_size, arguments.steps, arguments.light_depth, arguments.booster_depth
    )
    for name, times in report["milliseconds"].items():
        print(f"{name:18} {times['median']:8.1f} ms  ({times['min']:.1f} to {times['max']:.1f})")
    for name, (_, _, meaning) in RATIOS.items():
        print(f"{report['ratios'][name]:8.3f}  {meaning}")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def measure(batch_size, steps, light_depth, booster_depth):
    """The report: times of each kind of step, their ratios, and where they were taken.

    Args:
        batch_size: examples a step.
        steps: timed steps of each kind.
        light_depth: layers of the light net.
        booster_depth: layers of the booster.

    Returns:
        A dict that JSON can hold; times in milliseconds.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from rocket_tf.networks import wide_resnet_pair
    from rocket_tf.optimization import SGDWithL2
    from rocket_tf.rocket import RocketModel

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, 32, 32, 3)).astype(np.uint8)
    labels = random.integers(0, 10, batch_size)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def build(role="rocket", policy="float32", normalization="fused"):
        keras.config.set_dtype_policy(policy)
        light, booster = wide_resnet_pair(
            light_depth, booster_depth, batch_normalization=normalization, seed=0
        )
        model = {"light": light, "booster": booster}.get(role) or RocketModel(light, booster)
        model.compile(optimizer=SGDWithL2(), loss=loss, metrics=["accuracy"])
        keras.config.set_dtype_policy("float32")
        return model

    def fit_step(model):
        """A step as `fit` takes it: the compiled train function on an iterator."""
        model.make_train_function()
        iterator = iter(batches)
        return lambda: float(model.train_function(iterator)["loss"])

    def loop_step(model):
        """The same objective written by hand around the same graph."""
        optimizer = SGDWithL2()
        optimizer.build(model.trainable_variables)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                distance = logits["light"] - tf.stop_gradient(logits["booster"])
                hint = tf.reduce_mean(tf.reduce_sum(distance**2, axis=-1))
                objective = loss(y, logits["light"]) + loss(y, logits["booster"]) + 0.03 * hint
            gradients = tape.gradient(objective, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return objective

        iterator = iter(batches)
        return lambda: float(step(*next(iterator)))

    take_step = {
        "light": fit_step(build("light")),
        "booster": fit_step(build("booster")),
        "rocket": fit_step(build()),
        "rocket_keras_norm": fit_step(build(normalization="keras")),
        "rocket_bfloat16": fit_step(build(policy="mixed_bfloat16")),
        "rocket_loop": loop_step(build()),
    }
    warm_up = 3
    for name, step in take_step.items():
        print(f"warming up {name}", flush=True)
        for _ in range(warm_up):
            step()
    times = {name: [] for name in [*take_step, "rocket_fit"]}

    class TakeTurns(keras.callbacks.Callback):
        """Times each step of `fit`, with all that `fit` does around it, then the other kinds."""

        def on_train_begin(self, logs=None):
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])
            if batch >= warm_up:
                times["rocket_fit"].append(1000 * (time.perf_counter() - self.began))
                print(f"step {batch + 1 - warm_up} of {steps}", flush=True)
                for name, step in take_step.items():
                    began = time.perf_counter()
                    step()
                    times[name].append(1000 * (time.perf_counter() - began))
            self.began = time.perf_counter()

    model = build()
    model.fit(
        batches, steps_per_epoch=warm_up + steps, callbacks=[TakeTurns()], shuffle=False, verbose=0
    )
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "command": "python -m tools.benchmark"
        f" --batch_size={batch_size} --steps={steps}"
        f" --light_depth={light_depth} --booster_depth={booster_depth}",
        "milliseconds": {
            name: {
                "median": round(medians[name], 2),
                "min": round(min(values), 2),
                "max": round(max(values), 2),
            }
            for name, values in times.items()
        },
        "ratios": {
            name: round(medians[above] / sum(medians[below] for below in under), 4)
            for name, (above, under, _) in RATIOS.items()
        },
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
