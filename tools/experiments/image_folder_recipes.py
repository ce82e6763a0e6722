r"""The recipe of configs/image_folder.py beside the one that it had before 0.2, on a folder.

    python -m tools.experiments.image_folder_recipes --runs=runs/recipes \
        --output=results/image_folder_recipes

The folder, <runs>/images, has scikit-learn's digits as PNG files: 600 to train on, of which a
fifth chooses each run's epoch, and 1197 to test, which are opened once all runs are done.
WRN-10-1 is trained in WRN-16-1 under both recipes, on the same seeds: the configuration's own nets
are made for larger images and more steps. Digits are neither mirrored nor put through RandAugment.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from rocket_tf.config import bundled
from rocket_tf.reporting import markdown
from rocket_tf.studies import pool, statistics
from rocket_tf.studies.study import Arm, Study, complete
from rocket_tf.studies.study_result import result_of
from rocket_tf.system import files

# Before 0.2, the learning rate dropped as in the paper.
OLD = {
    "optimizer": "adam",
    "weight_decay": 0.0,
    "learning_rate_schedule": "drops",
    "warmup_epochs": 0,
    "label_smoothing": 0.0,
}
ARMS = [Arm("old", "rocket", OLD), Arm("new", "rocket")]
SETTINGS = {
    "light_backbone": "",
    "booster_backbone": "",
    "light_depth": 10,
    "booster_depth": 16,
    "image_size": 8,
    "crop_padding": 1,
    "flip": False,
    "rand_augment": 0.0,
}
TRAINING_IMAGES = 600


def write_folder(folder):
    """Writes the digits as <folder>/<part>/<class>/<number>.png."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for index, number in enumerate(order):
        part = "train" if index < TRAINING_IMAGES else "test"
        path = folder / part / str(digits.target[number]) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.minimum(digits.images[number] * 16, 255)  # from 0 to 16
        Image.fromarray(pixels.astype(np.uint8)).save(path)


def compared(rows):
    """By net: its errors under both recipes, and their difference, paired by seed."""
    by_seed = {(row["method"], row["net"]): row["by_seed"] for row in rows}
    return {
        net: {
            "old": statistics.describe(list(by_seed["old", net].values())),
            "new": statistics.describe(list(by_seed["new", net].values())),
            "difference": statistics.paired_difference(by_seed["new", net], by_seed["old", net]),
        }
        for net in ("light", "booster")
    }


def as_text(result):
    """The comparison as Markdown."""
    rows = [
        [
            net,
            markdown.mean_in_words(figures["old"]),
            markdown.mean_in_words(figures["new"]),
            markdown.difference_in_words(figures["difference"]),
        ]
        for net, figures in result["recipes"].items()
    ]
    examples = result["examples"]
    return "\n".join(
        [
            f"Test errors in per cent, mean ± sd over {result['seeds']} seeds, paired by seed.",
            f"{examples['training']} training, {examples['validation']} validation and "
            f"{examples['test']} test images.",
            "",
            *markdown.table(["net", "old recipe", "new recipe", "new − old [95 %]"], rows),
            "",
            f"    {result['command']}",
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of images and runs")
    parser.add_argument("--output", required=True, help="files to write, without .json and .md")
    parser.add_argument("--seeds", type=int, default=12)
    arguments = parser.parse_args()
    images = arguments.runs / "images"
    if not images.exists():
        partial = images.with_name("images.partial")
        write_folder(partial)
        partial.rename(images)
    settings = {**SETTINGS, "data_path": str(images)}
    study = Study(bundled.load("image_folder"), ARMS, arguments.seeds, settings, arguments.runs)
    complete([study], pool.default_processes())
    command = (
        "python -m tools.experiments.image_folder_recipes --runs=runs/recipes "
        "--output=results/image_folder_recipes"
    )
    result = result_of(study, command)
    result = {
        "command": command,
        "seeds": arguments.seeds,
        "examples": result["examples"],
        "recipes": compared(result["rows"]),
        "rows": result["rows"],
        "old_recipe": OLD,
        "config": result["config"] | {"data_path": "runs/recipes/images"},
        "versions": result["versions"],
        "machine": result["machine"],
    }
    files.write_json(f"{arguments.output}.json", result)
    files.write_text(f"{arguments.output}.md", as_text(result))
    print(as_text(result))


if __name__ == "__main__":
    main()
