r"""A booster trained on the digits 0 to 3 and used on 4 to 9, compared with random weights.

    python -m tools.experiments.pretrained_digits --runs=runs/pretrained_digits \
        --output=results/pretrained_digits.json

For each of five seeds, which also split the digits, Keras trains a booster of three convolutions on
the training digits 0 to 3. Then a rocket is trained on 100 of the digits 4 to 9; its light net
branches off after the second convolution. The booster starts from random weights, from the trained
ones, or from these with all shared layers frozen in the first half of the training.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from rocket_tf import config as options
from rocket_tf import train

EPOCHS, EXAMPLES = 30, 100
WAYS = {
    "random weights": {},
    "trained weights": {},
    "trained weights, shared layers frozen at first": {
        "booster_freeze_until": "relu1",
        "unfreeze_epoch": EPOCHS // 2 + 1,
    },
}


def write_digits(path, seed, classes, examples):
    """Writes digits of some classes as a file of arrays: half for training, half for the test."""
    digits = load_digits()
    chosen = np.flatnonzero(np.isin(digits.target, classes))
    chosen = np.random.default_rng(seed).permutation(chosen)
    # The digits' pixels are from 0 to 16; those of image files are from 0 to 255.
    pixels = np.minimum(digits.images[chosen, ..., np.newaxis] * 16, 255).astype(np.uint8)
    labels = digits.target[chosen] - min(classes)
    half = len(chosen) // 2
    np.savez(
        path,
        x_train=pixels[:half][:examples],
        y_train=labels[:half][:examples],
        x_test=pixels[half:],
        y_test=labels[half:],
    )


def config_of(data, seed, **changes):
    config = options.default()
    config.update(dataset="npz", data_path=str(data), seed=seed, epochs=EPOCHS, batch_size=20)
    config.update(crop_padding=1, learning_rate=0.05, pictures=False, evaluate_every_epochs=EPOCHS)
    config.update(changes)
    return config


def booster_files(folder, seed):
    """Files of a booster with random weights, and of the same one trained on 0 to 3."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((8, 8, 1))
    x = layers.Rescaling(1 / 128, -1)(images)
    for number, channels in enumerate((16, 32, 64)):
        strides = 2 if number else 1
        x = layers.Conv2D(
            channels, 3, strides, padding="same", use_bias=False, name=f"conv{number}"
        )(x)
        # The training has 150 steps, after which Keras's 0.99 would still remember the first.
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    logits = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    booster = keras.Model(images, logits)
    booster.save(folder / "random.keras")
    write_digits(folder / "low.npz", seed, range(4), None)
    with np.load(folder / "low.npz") as digits:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        booster.compile("adam", loss, jit_compile=False)
        booster.fit(digits["x_train"], digits["y_train"], epochs=EPOCHS, verbose=0)
    booster.save(folder / "trained.keras")
    return folder / "random.keras", folder / "trained.keras"


def errors(runs, seed):
    """Dict from each way to the test errors of light net and booster, in per cent."""
    folder = runs / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    untrained, trained = booster_files(folder, seed)
    write_digits(folder / "high.npz", seed, range(4, 10), EXAMPLES)
    errors_by_way = {}
    for number, (way, settings) in enumerate(WAYS.items()):
        file = untrained if way == "random weights" else trained
        config = config_of(
            folder / "high.npz",
            seed,
            booster_weights=str(file),
            branch_layer="relu1",
            **settings,
        )
        summary = train.train_and_evaluate(config, folder / f"run{number}", verbose=False)
        errors_by_way[way] = {net: summary[net]["test_error"] for net in ("light", "booster")}
        print(seed, way, errors_by_way[way], flush=True)
    return errors_by_way


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    by_seed = [errors(arguments.runs, seed) for seed in range(arguments.seeds)]
    result = {
        "command": "python -m tools.experiments.pretrained_digits --runs=runs/pretrained_digits "
        "--output=results/pretrained_digits.json",
        "training_examples": EXAMPLES,
        "test_errors": {
            way: {
                net: {
                    "mean": round(float(np.mean(values)), 3),
                    "deviation": round(float(np.std(values, ddof=1)), 3),
                    "by_seed": [round(value, 3) for value in values],
                }
                for net in ("light", "booster")
                for values in [[seed_errors[way][net] for seed_errors in by_seed]]
            }
            for way in WAYS
        },
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
