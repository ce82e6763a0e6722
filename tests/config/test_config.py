"""Options: all configuration files, bad values, and combinations that make no sense."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rocket_tf import config as options
from rocket_tf.config import FIELDS
from rocket_tf.config import bundled as ready_configs
from rocket_tf.config.methods import METHODS
from rocket_tf.errors import ConfigError
from rocket_tf.networks import Feature
from tests.small_runs import card_of

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))


def load(path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_bundled_configurations_are_found():
    assert list(ready_configs.paths().values()) == CONFIGS


@pytest.fixture(scope="module")
def folder_of_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for part in ("train", "test"):
        for name in ("left", "right"):
            (folder / part / name).mkdir(parents=True)
            for index in range(20):
                Image.new("RGB", (9, 8), (index, 0, 0)).save(folder / part / name / f"{index}.png")
    return str(folder)


@pytest.fixture(scope="module")
def own_data(folder_of_images, tmp_path_factory):
    """For each configuration of own data, the fields that point to a small folder."""
    fields = {"image_folder": {"data_path": folder_of_images}}
    names = {
        "criteo": [f"I{n}" for n in range(1, 14)] + [f"C{n}" for n in range(1, 27)],
        "avazu": [f"feat_{n}" for n in range(1, 23)],
    }
    for name, columns in names.items():
        folder = tmp_path_factory.mktemp(name)
        rows = [["label", *columns], *([label] + [str(label)] * len(columns) for label in (0, 1))]
        for part in ("train", "test"):
            text = "\n".join(",".join(map(str, row)) for row in rows)
            (folder / f"{part}.csv").write_text(text)
        fields[name] = {"data_path": str(folder), "batch_size": 2}
    return fields


def test_the_documented_fields_restore_the_old_recipe_of_image_folder(folder_of_images):
    config = ready_configs.load("image_folder")
    config.data_path = folder_of_images
    options.check(config)
    page = (ROOT / "docs" / "image_folders.md").read_text()
    (block,) = re.findall(r"recipe that it had before.*?\n\n(    .*?)\n\n", page, re.DOTALL)
    changes = options.parse_overrides(re.findall(r"--config\.(\S+)", block))
    config.update(changes)
    options.check(config)
    defaults = options.default()
    assert config.optimizer == "adam" and config.learning_rate == 1e-3 and not config.weight_decay
    for field in ("learning_rate_schedule", "warmup_epochs", "label_smoothing"):
        assert config[field] == defaults[field]


# Methods that some nets do not support, and the message's text.
EXCLUDED = {
    ("cifar10_bottom", "at"): "layout: got bottom with method=at.*three",
    ("clicks", "at"): "method: got at with dataset=simulated_clicks",
    ("clicks", "rocket_no_sharing_but_stem"): "share_stem: got True with dataset=simulated_clicks",
    ("image_folder", "rocket_no_sharing_but_stem"): "share_stem: got True with backbones",
    ("image_folder", "at"): "method: got at with backbones",
    ("image_folder", "no_joint_training"): "method: got no_joint_training with two backbones",
}
for log in ("criteo", "avazu"):
    EXCLUDED[log, "at"] = "method: got at with dataset=click_log"
    EXCLUDED[log, "rocket_no_sharing_but_stem"] = "share_stem: got True with dataset=click_log"
# These hints need three classes, and these configurations have two.
EXCLUDED |= {
    (config, method): f"{field} with dataset={dataset} of 2 classes"
    for config, dataset in (
        ("clicks", "simulated_clicks"),
        ("image_folder", "image_folder"),
        ("criteo", "click_log"),
        ("avazu", "click_log"),
    )
    for method, field in (
        ("rocket_standardized_kd", "standardize_logits: got True"),
        ("rocket_dkd", "hint: got dkd"),
        ("rocket_dist", "hint: got dist"),
    )
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
class TestEveryFile:
    def test_is_valid_and_locked(self, path, own_data):
        config = load(path).get_config()
        if path.stem in own_data:
            with pytest.raises(ConfigError, match=r"data_path: got '' .*expected the path"):
                options.check(config)
            config.update(own_data[path.stem])
        options.check(config)
        assert config.is_locked

    @pytest.mark.parametrize("method", METHODS)
    def test_supports_every_method(self, path, method, own_data):
        config = load(path).get_config(method)
        config.update(own_data.get(path.stem, {}))
        if (path.stem, method) in EXCLUDED:
            with pytest.raises(ConfigError, match=EXCLUDED[path.stem, method]):
                options.check(config)
        else:
            options.check(config)
        assert {name: config[name] for name in METHODS[method].settings} == METHODS[method].settings

    def test_a_method_that_does_not_exist(self, path):
        with pytest.raises(ConfigError, match=r"got method 'kl' .* rocket_kd"):
            load(path).get_config("kl")

    def test_its_docstring_names_its_command(self, path):
        assert f"python -m rocket_tf.main --config=configs/{path.name}" in load(path).__doc__


def test_the_paper_recipes():
    configs = {path.stem: load(path).get_config() for path in CONFIGS}
    assert {"cifar10", "cifar100", "digits", "svhn"} <= set(configs)
    cifar = configs["cifar10"]
    assert (cifar.batch_size, cifar.epochs, cifar.learning_rate) == (128, 200, 0.1)
    # The rate drops at the start of epochs 60, 120 and 160, after one epoch fewer.
    assert [round(fraction * 200) for fraction in cifar.learning_rate_drops] == [59, 119, 159]
    assert (cifar.weight_decay, cifar.hint_weight, cifar.temperature) == (5e-4, 0.03, 4.0)
    svhn = configs["svhn"]
    assert (svhn.optimizer, svhn.learning_rate, svhn.booster_dropout) == ("adam", 1e-3, 0.2)
    assert (cifar.distillation_weight, cifar.attention_weight) == (0.9, 1e3)
    assert (svhn.validation_examples, cifar.validation_examples) == (6000, 0)
    bottom = configs["cifar10_bottom"]
    drops = [round(fraction * 200) for fraction in bottom.learning_rate_drops]
    assert drops == [69, 129, 189] and bottom.light_depth == 0


def test_checking_a_configuration_needs_no_tensorflow():
    code = (
        "import sys; sys.argv[0] = 'rocket-tf'; from rocket_tf import config; "
        "config.check(config.default()); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


BOTH = ("click", "bought")
LOG = {"dataset": "click_log", "data_path": "log"}
CLICKS = {"dataset": "simulated_clicks"}
USER = {"name": "user", "kind": "category"}
PLACE = {"name": "position", "kind": "category", "served_as": "1"}
FOLDER = {"dataset": "image_folder", "data_path": "images"}
LABELS = {**FOLDER, "labels_file": "labels.csv", "part_column": "part"}
OWN_NETS = {"own_functions": ("build_nets",), "own_code_sha256": 64 * "0"}
TWO_NETS = {"light_backbone": "MobileNet", "booster_backbone": "ResNet50"}
FROZEN = {**TWO_NETS, "booster_weights": "imagenet", "booster_freeze_until": "conv5_block3_out"}
OWN_HINTS = {**OWN_NETS, "own_functions": ("build_hints",)}


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"batch_size": -1}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"method": "both"}, "method"),
        ({"booster_run": 1}, "booster_run"),
        ({"validation_examples": -1}, "validation_examples"),
        ({"train_examples": 200, "validation_examples": 200}, "validation_examples"),
        ({"train_examples": 200, "validation_examples": 100}, "batch_size"),
        ({"split_seed": 1}, "split_seed"),
        ({"split_seed": -1}, "split_seed"),
        ({"distillation_weight": 1.1}, "distillation_weight"),
        ({"attention_weight": -1.0}, "attention_weight"),
        ({"pictures": "yes"}, "pictures"),
        ({"method": "at", "layout": "bottom", "light_depth": 0}, "layout"),
        ({"method": "at", "layout": "constant"}, "layout"),
        ({"method": "no_joint_training", "share": False}, "share"),
        ({"layout": "constant", "light_depth": 0}, "light_depth"),
        ({"layout": "constant", "light_depth": 11}, "light_depth"),
        ({"light_depth": 18}, "light_depth"),
        ({"dataset": "mnist"}, "dataset"),
        ({"data_dir": 3}, "data_dir"),
        ({"train_examples": 50_001}, "train_examples"),
        ({"train_examples": 100}, "batch_size"),
        ({"flip": "yes"}, "flip"),
        ({"crop_padding": 33}, "crop_padding: got 33 with crop_padding_mode=symmetric"),
        ({"crop_padding": 32, "crop_padding_mode": "reflect"}, "crop_padding"),
        ({"crop_padding_mode": "edge"}, "crop_padding_mode"),
        ({"share_stem": 1}, "share_stem"),
        ({**CLICKS, "share_stem": True}, "share_stem: got True with dataset"),
        ({"booster_learning_rate_drops": (1.0,)}, "booster_learning_rate_drops"),
        ({"rand_augment": 1.1}, "rand_augment"),
        ({"dataset": "digits", "rand_augment": 0.5}, "rand_augment"),
        ({"mixup": -0.1}, "mixup"),
        ({"cutmix": 2.0}, "cutmix"),
        ({"mixup": 0.2, "cutmix": 0.2}, "cutmix"),
        ({"augmentation_library": "albumentations"}, "augmentation_library"),
        ({"learning_rate_schedule": "linear"}, "learning_rate_schedule"),
        ({"warmup_epochs": -1.0}, "warmup_epochs"),
        ({"gradient_clip_norm": -1.0}, "gradient_clip_norm"),
        ({"average_momentum": 1.0}, "average_momentum"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        (
            {**OWN_NETS, "own_functions": ("build_losses",), "label_smoothing": 0.1},
            "label_smoothing",
        ),
        ({"class_weights": (1.0, 0.0)}, "class_weights"),
        ({"balance_classes": 1}, "balance_classes"),
        ({"patience": -1}, "patience"),
        ({**LOG, "test_path": 1}, "test_path"),
        ({**LOG, "test_column": 1}, "test_column"),
        ({**LOG, "test_from": 1}, "test_from"),
        ({**LOG, "test_until": 1}, "test_until"),
        ({**LOG, "test_fraction": 1.5}, "test_fraction"),
        ({**LOG, "shuffle": 1}, "shuffle"),
        ({**LOG, "shuffle_row_groups": 0}, "shuffle_row_groups"),
        ({**CLICKS, "exact_ranking_examples": -1}, "exact_ranking_examples"),
        ({"layout": "top"}, "layout"),
        ({"light_depth": 17}, "light_depth"),
        ({"light_depth": 4}, "light_depth"),
        ({"light_depth": 0}, "light_depth"),
        ({"light_depth": 46}, "light_depth"),
        ({"layout": "bottom"}, "light_depth"),
        ({"booster_depth": 41}, "booster_depth"),
        ({"width": 0}, "width"),
        ({"share": None}, "share"),
        ({"batch_normalization": "none"}, "batch_normalization"),
        ({"booster_dropout": 1.0}, "booster_dropout"),
        ({"hint": "mse"}, "hint"),
        ({"hint_weight": -0.1}, "hint_weight"),
        ({"hint_temperature": -1.0}, "hint_temperature"),
        ({"booster_hint_weight": -0.1}, "booster_hint_weight"),
        ({"hint": "dkd", "standardize_logits": True}, "standardize_logits: got True with hint=dkd"),
        ({"hint": "dkd", "mixup": 0.2}, "mixup: got 0.2 with hint=dkd"),
        ({"hint": "dkd", "cutmix": 0.2}, "cutmix: got 0.2 with hint=dkd"),
        ({"hint_weight": float("nan")}, "hint_weight"),
        ({"hint_weight": float("inf")}, "hint_weight"),
        ({"gradient_block": 0}, "gradient_block"),
        ({"temperature": 0.0}, "temperature"),
        ({"optimizer": "lamb"}, "optimizer"),
        ({"optimizer": "adam"}, "weight_decay"),
        ({"table_optimizer": "lamb"}, "table_optimizer"),
        ({"table_optimizer": "sgd"}, "table_optimizer"),  # images have no tables
        ({"table_learning_rate": -0.1}, "table_learning_rate"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate_drops": (0.6, 0.3)}, "learning_rate_drops"),
        ({"learning_rate_drops": (0.0, 0.3)}, "learning_rate_drops"),
        ({"learning_rate_drops": ("a",)}, "learning_rate_drops"),
        ({"learning_rate_drop_factor": 0.0}, "learning_rate_drop_factor"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"precision": "float64"}, "precision"),
        ({"replicas": -1}, "replicas"),
        ({"replicas": 129}, "replicas"),
        ({"deterministic": 1}, "deterministic"),
        ({"evaluate_every_epochs": 0}, "evaluate_every_epochs"),
        ({"checkpoints_kept": 0}, "checkpoints_kept"),
        ({"checkpoint_every_steps": -1}, "checkpoint_every_steps"),
        ({"dataset": "npz"}, "data_path: got '' with dataset=npz, expected the path"),
        ({"data_path": "x.npz"}, "data_path: got 'x.npz' with dataset=cifar10, expected nothing"),
        ({"dataset": "npz", "data_path": "x.npz"}, "data_path: x.npz"),
        ({"image_size": 7}, "image_size"),
        ({"image_size": 32}, "image_size: got 32 with dataset=cifar10, expected 0"),
        ({"streaming": "sometimes"}, "streaming: got 'sometimes', expected one of auto, always"),
        ({"streaming": "always"}, "streaming: got 'always' with dataset=cifar10"),
        ({"dataset": "tfds"}, "tfds_name: got '' with dataset=tfds, expected the name"),
        ({"tfds_name": "mnist"}, "tfds_name: got 'mnist' with dataset=cifar10"),
        ({"tfds_version": " 1"}, "tfds_version"),
        ({"tfds_train_split": ""}, "tfds_train_split"),
        ({"tfds_test_split": ""}, "tfds_test_split"),
        ({"unreadable_images": "ignore"}, "unreadable_images"),
        (
            {"test_fraction": 0.1},
            "test_fraction: got 0.1 with dataset=cifar10, expected 0.0: it is",
        ),
        ({"labels_file": "a.csv"}, "labels_file: got 'a.csv' with dataset=cifar10"),
        ({**FOLDER, "labels_file": "a\0b"}, "labels_file"),
        ({**FOLDER, "image_column": "file"}, "image_column: got 'file' with labels_file=''"),
        ({**LABELS, "image_column": ""}, "image_column: got '', expected a name"),
        ({**LABELS, "class_column": " label"}, "class_column"),
        ({**LABELS, "class_column": "image"}, "class_column: got 'image' beside image_column"),
        ({**LABELS, "part_column": "label"}, "class_column: got 'label' beside .* part_column"),
        ({**LABELS, "part_column": "a\n"}, "part_column"),
        ({**LABELS, "class_separator": 'a"'}, "class_separator"),
        ({**FOLDER, "class_separator": "|"}, r"class_separator: got '\|' with labels_file=''"),
        ({**LABELS, "part_column": ""}, "part_column: got '' with labels_file and test_fraction=0"),
        ({**LABELS, "test_fraction": 0.2}, "part_column: got 'part' with labels_file and test_fr"),
        ({"label_column": ""}, "label_column"),
        ({"user_column": " user"}, "user_column"),
        ({"category_columns": ("a", "a")}, "category_columns"),
        ({"number_columns": (1,)}, "number_columns"),
        ({"request_columns": ("",)}, "request_columns"),
        ({"history_column": "a\n"}, "history_column"),
        ({"item_column": ""}, "item_column"),
        ({"history_length": 0}, "history_length"),
        ({"missing_values": "zero"}, "missing_values: got 'zero', expected one of refuse, own_row"),
        (
            {**CLICKS, "missing_values": "own_row"},
            "missing_values: got 'own_row' with dataset=simulated_clicks",
        ),
        ({"hash_buckets": 1}, "hash_buckets"),
        ({"embedding_dimension": 0}, "embedding_dimension"),
        ({"light_tower": ()}, "light_tower"),
        ({"light_tower": (200, 0)}, "light_tower"),
        ({"booster_tower": (1.5,)}, "booster_tower"),
        ({"history_attention": 1}, "history_attention"),
        ({"light_backbone": "ResNet9"}, "light_backbone"),
        ({"light_backbone": "ResNet50"}, "light_backbone: got 'ResNet50' without a booster"),
        ({"booster_backbone": "resnet50"}, "booster_backbone"),
        ({"booster_backbone": "ResNet50"}, "light_backbone: got '' with branch_layer=''"),
        ({"branch_layer": "conv1"}, "branch_layer: got 'conv1' without a booster"),
        (
            {"booster_weights": "ImageNet"},
            "booster_weights: got 'ImageNet', expected imagenet, the",
        ),
        ({"booster_weights": "model.h5"}, "booster_weights: got 'model.h5', expected"),
        ({"light_weights": "hub/"}, "light_weights: got 'hub/'"),
        ({**CLICKS, "booster_weights": "imagenet"}, "booster_weights: got 'imagenet' with "),
        (
            {**OWN_NETS, "light_weights": "a.keras"},
            "light_weights: got 'a.keras' with your own build_nets",
        ),
        ({"booster_weights": "imagenet"}, "booster_weights: got 'imagenet' without booster_backb"),
        ({**TWO_NETS, "light_weights": "a.keras"}, "light_weights: got 'a.keras' with light_back"),
        ({**TWO_NETS, "booster_weights": "hub/x"}, "booster_weights: got 'hub/x' with booster_ba"),
        (
            {
                "booster_backbone": "VGG16",
                "light_weights": "a.keras",
                "branch_layer": "block1_conv1",
            },
            "light_backbone: got 'a.keras' with branch_layer='block1_conv1', expected one",
        ),
        (
            {**TWO_NETS, "light_backbone": "", "branch_layer": "c", "light_weights": "imagenet"},
            "light_weights: got 'imagenet' without light_backbone",
        ),
        ({"light_weights": "a.keras"}, "light_weights: got 'a.keras' without a booster"),
        (
            {**TWO_NETS, "booster_backbone": "keras_cv/ResNet18V2", "booster_weights": "imagenet"},
            "booster_weights: got 'imagenet' with booster_backbone='keras_cv/ResNet18V2'",
        ),
        (
            {**TWO_NETS, "light_backbone": "EfficientNetB0", "light_weights": "a.weights.h5"},
            "light_weights: got 'a.weights.h5' with light_backbone='EfficientNetB0', expected a .k",
        ),
        ({"booster_preprocessing": "rgb"}, "booster_preprocessing: got 'rgb', expected one of"),
        ({**TWO_NETS, "booster_preprocessing": "tf"}, "booster_preprocessing: got 'tf' with boos"),
        ({**TWO_NETS, "light_preprocessing": "tf"}, "light_preprocessing: got 'tf' with light_we"),
        ({**TWO_NETS, "booster_freeze_until": "c"}, "booster_freeze_until: got 'c' with booster_"),
        ({**TWO_NETS, "light_freeze_until": "c"}, "light_freeze_until: got 'c' with light_weight"),
        ({**TWO_NETS, "unfreeze_epoch": 3}, "unfreeze_epoch: got 3 with no frozen layers"),
        ({**FROZEN, "unfreeze_epoch": 1}, "unfreeze_epoch: got 1, expected 2 to epochs, 200, or"),
        ({**FROZEN, "unfreeze_epoch": 201}, "unfreeze_epoch: got 201, expected 2 to epochs"),
        ({**TWO_NETS, "pretrained_learning_rate_factor": 0.1}, "pretrained_learning_rate_factor: "),
        ({**FROZEN, "pretrained_learning_rate_factor": 0.0}, "pretrained_learning_rate_factor: "),
        ({"shared_layers_learn_from": "light"}, "shared_layers_learn_from"),
        ({"features": (1,)}, r"features: got \(1,\), expected networks.Feature objects"),
        ({**CLICKS, "features": (USER,)}, "features: got .* with dataset=simulated_clicks"),
        ({**LOG, "features": ({"name": "x"},)}, r"features: got \{'name': 'x'\}, expected a kind"),
        (
            {**LOG, "features": ({**USER, "size": 3},)},
            "features: got 'size', expected fields of a Feature: name, kind",
        ),
        (
            {**LOG, "features": ({**USER, "buckets": 0},)},
            "features: Feature 'user': got buckets=0, expected a positive integer",
        ),
        ({**LOG, "features": (USER, USER)}, "features: Each feature needs a name of its own"),
        (
            {**LOG, "features": (USER, {"name": "seen", "kind": "history", "length": 3})},
            "features: Feature 'seen': got of=None, expected the name of the category",
        ),
        ({**LOG, "features": ({**USER, "name": "class"},)}, "features: got 'class', expected name"),
        (
            {**LOG, "features": (USER, {**USER, "name": "User"})},
            "features: got 'User' beside 'user'",
        ),
        ({**LOG, "features": (USER,), "hash_buckets": 5}, "hash_buckets: got 5 with features"),
        ({**LOG, "features": (USER, {**USER, "name": "click"})}, "label_column: got 'click'"),
        (
            {**LOG, "features": ({"name": "user", "kind": "time"},)},
            "user_column: got 'user', which is not a category",
        ),
        (
            {**LOG, "features": (USER,), "request_columns": ("city",)},
            r"request_columns: got 'city', expected inputs of \['user'\]",
        ),
        ({**LOG, "features": (USER,), "history_attention": True}, "history_attention: got True"),
        (
            {**LOG, "features": (USER, PLACE), "booster_only": ("position",)},
            "booster_only: got 'position', which has served_as",
        ),
        (
            {**LOG, "features": (USER, PLACE), "booster_only": ("item",)},
            r"booster_only: got 'item', expected columns of features other than histories "
            r".*'position'",
        ),
        ({**LOG, "features": (PLACE,)}, "features: One feature at least must be an input"),
        ({**LOG, "category_columns": ("click",)}, "label_column: got 'click', and columns"),
        ({**LOG, "category_columns": ()}, "category_columns: got"),
        ({**LOG, "category_columns": ("user id",)}, "category_columns: got 'user id', expected"),
        ({**LOG, "category_columns": ("prix_€",)}, "category_columns: got 'prix_€', expected"),
        (
            {**LOG, "category_columns": ("user", "self")},
            "category_columns: got 'user', 'self', expected",
        ),
        ({**LOG, "number_columns": ("from",)}, "number_columns: got 'from', expected names"),
        (
            {
                **LOG,
                "category_columns": ("item",),
                "history_column": "class",
                "item_column": "item",
            },
            "history_column: got 'class'",
        ),
        ({**LOG, "category_columns": ("Item", "item")}, "category_columns: got 'item' beside"),
        ({**LOG, "category_columns": ("x",), "number_columns": ("X",)}, "number_columns: got 'X'"),
        ({**LOG, "history_column": "seen", "item_column": "movie"}, "item_column: got 'movie'"),
        ({"test_path": "a\0b"}, "test_path"),
        ({**CLICKS, "test_path": "x"}, "test_path: got 'x' with dataset=simulated_clicks"),
        (
            {**LOG, "test_fraction": 1.0},
            "test_fraction: got 1.0, expected a number from 0 to below",
        ),
        ({**LOG, "test_path": "x", "test_fraction": 0.1}, "test_fraction: got 0.1 beside test_pa"),
        ({**LOG, "test_from": "2024"}, "test_from: got '2024' without test_column"),
        ({**LOG, "test_column": "date"}, "test_column: got 'date' without test_from"),
        ({**LOG, "test_until": "2025"}, "test_until: got '2025' without test_from"),
        ({**LOG, "shuffle": "no"}, "shuffle: got 'no', expected True or False"),
        ({**LOG, "shuffle_row_groups": 0}, "shuffle_row_groups: got 0, expected a whole number"),
        ({**CLICKS, "exact_ranking_examples": 0}, "exact_ranking_examples: got 0"),
        ({**CLICKS, "flip": True}, "flip: got True with dataset=simulated_clicks"),
        ({**CLICKS, "crop_padding": 2}, "crop_padding: got 2"),
        ({**CLICKS, "method": "at"}, "method: got at"),
        ({"simulated_dwell": "much"}, "simulated_dwell: got 'much', expected one of off, noise"),
        ({**LOG, "simulated_dwell": "weak"}, "simulated_dwell: got 'weak' with dataset=click_log"),
        ({"booster_only": ("",)}, "booster_only"),
        ({"booster_only": ("item",)}, r"booster_only: got \('item',\) with dataset=cifar10"),
        ({**CLICKS, "booster_only": ("dwell",)}, "booster_only: got 'dwell', expected columns"),
        ({**CLICKS, "booster_only": ("item",)}, "booster_only: got 'item' with history 'history'"),
        (
            {**CLICKS, "booster_only": ("hour",), "request_columns": ("hour",)},
            "request_columns: got",  # simulated clicks do not read it
        ),
        (
            {**CLICKS, "booster_only": ("hour",), "method": "kd"},
            r"booster_only: got \('hour',\) with method=kd",
        ),
        ({**LOG, "booster_only": ("history",)}, "booster_only: got 'history', expected columns"),
        ({**LOG, "booster_only": ("user", "item")}, "booster_only: got .*have nothing to read"),
        (
            {**LOG, "booster_only": ("item",), "request_columns": ("item",)},
            "booster_only: got 'item', which request_columns also has",
        ),
        ({**LOG, "weight_column": "item"}, "weight_column: got 'item', which is the label, the"),
        ({**LOG, "features": (USER,), "weight_column": "user"}, "weight_column: got 'user', which"),
        ({"label_columns": ("click", "bought")}, "label_columns: got .*dataset=cifar10"),
        ({**LOG, "label_columns": ("click",)}, r"label_columns: got \('click',\), expected two or"),
        ({**LOG, "label_columns": ("click", "click")}, "label_columns: got .*expected two or more"),
        (
            {**LOG, "label_columns": ("click", "user")},
            "label_columns: got .*each column has one role",
        ),
        (
            {**LOG, "label_columns": ("click", "was sold")},
            "label_columns: got 'was sold', expected",
        ),
        (
            {**LOG, "label_columns": ("click", "booster")},
            "label_columns: got 'booster', expected n",
        ),
        ({**LOG, "label_columns": ("buy", "Buy")}, "label_columns: got 'Buy' beside 'buy'"),
        (
            {**LOG, "label_columns": ("click", "click_log")},
            "label_columns: got 'click_log' beside 'click', expected names that differ",
        ),
        (
            {**LOG, "label_columns": BOTH, "features": (USER, {**USER, "name": "bought"})},
            "label_columns: got 'bought', which is also a feature",
        ),
        (
            {**LOG, "label_columns": BOTH, "label_column": "label"},
            "label_column: got 'label' with label_columns=",
        ),
        ({**LOG, "label_columns": BOTH, "user_column": "bought"}, "user_column: got 'bought', whi"),
        ({**LOG, "label_columns": BOTH, "weight_column": "bought"}, "weight_column: got 'bought'"),
        (
            {**OWN_NETS, **LOG, "label_columns": BOTH},
            "label_columns: got .* with your own build_nets",
        ),
        ({**LOG, "label_weights": (1.0, 2.0)}, r"label_weights: got \(1.0, 2.0\) with one label"),
        (
            {**LOG, "label_columns": BOTH, "label_weights": (1.0, -2.0)},
            r"label_weights: got \(1.0, -2.0\), expected a number of at least 0",
        ),
        ({**LOG, "label_columns": BOTH, "label_weights": (0, 0)}, r"label_weights: got \(0, 0\)"),
        (
            {**LOG, "label_columns": BOTH, "label_weights": (1.0, 2.0, 3.0)},
            "label_weights: got 3 numbers, expected 2",
        ),
        ({**CLICKS, "simulated_bought": 1}, "simulated_bought: got 1, expected True or False"),
        ({**LOG, "simulated_bought": True}, "simulated_bought: got True with dataset=click_log"),
        (
            {**CLICKS, "simulated_bought": True, "label_smoothing": 0.1},
            r"label_smoothing: got 0.1 with the labels \('click', 'bought'\), expected 0.0",
        ),
        (
            {**CLICKS, "simulated_bought": True, "balance_classes": True},
            "balance_classes: got True",
        ),
        (
            {**CLICKS, "simulated_bought": True, "class_weights": (1.0, 2.0)},
            "class_weights: got .* with the labels",
        ),
        ({"init_run": "run"}, "init_run: got 'run' with dataset=cifar10, expected ''"),
        ({"init_run": "a\0b"}, "init_run: got"),
        ({"evaluate_test": False}, "evaluate_test: got False"),
        ({"own_functions": ("build_net",)}, "own_functions: got"),
        ({"own_functions": ("build_nets",)}, "own_code_sha256: got ''"),
        ({"own_code": "my\0nets.py"}, "own_code: got"),
        ({"own_code_sha256": "abc"}, "own_code_sha256: got 'abc'"),
        ({**OWN_NETS, "light_depth": 10}, "light_depth: got 10 with your own build_nets"),
        ({**OWN_NETS, "booster_dropout": 0.1}, "booster_dropout: got 0.1 with your own build_nets"),
        ({**OWN_NETS, "share": False}, "share: got False with your own build_nets"),
        ({**OWN_NETS, "method": "at"}, "method: got at with your own build_nets"),
        (
            {**OWN_NETS, **CLICKS, "light_tower": (8,)},
            r"light_tower: got \(8,\) with your own build_nets",
        ),
        ({**OWN_HINTS, "hint": "kd"}, "hint: got 'kd' with your own build_hints"),
        ({**OWN_HINTS, "hint_weight": 1.0}, "hint_weight: got 1.0 with your own build_hints"),
        ({**OWN_HINTS, "method": "no_joint_training"}, "method: got no_joint_training"),
        ({"epoch": 3}, "epoch: no such field; did you mean config.epochs"),
    ],
)
def test_bad_values_give_one_line_that_names_the_field(changes, named):
    with pytest.raises(ConfigError, match=rf"^config\.{named}") as error:
        options.check({**options.default(), **changes})
    assert "\n" not in str(error.value)


def test_every_field_has_a_bad_value_above():
    tested = test_bad_values_give_one_line_that_names_the_field.pytestmark[0].args[1]
    fields = {name for changes, _ in tested for name in changes}
    assert set(FIELDS) <= fields


def test_a_missing_field():
    config = dict(options.default())
    del config["hint"]
    with pytest.raises(ConfigError, match=r"config\.hint: missing"):
        options.check(config)


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("gradient_block", "False", False),
        ("gradient_block", "true", True),
        ("epochs", "20", 20),
        ("hint_weight", "1e-1", 0.1),
        ("learning_rate_drops", "(0.5,)", (0.5,)),
        ("hint", "kd", "kd"),
        ("features.user.buckets", "1000", 1000),
        ("features.tags.pooling", "sum", "sum"),
        ("features.city.vocabulary", "('a', 'b')", ("a", "b")),
    ],
)
def test_overrides(name, text, value):
    assert options.parse_override(name, text) == value


@pytest.mark.parametrize(
    "name, text", [("gradient_block", "no"), ("epochs", "2.5"), ("learning_rate_drops", "(0.5")]
)
def test_bad_overrides(name, text):
    with pytest.raises(ConfigError, match=f"config.{name}: got '"):
        options.parse_override(name, text)


@pytest.mark.parametrize("name", ["features.user", "features.user.size", "features..buckets"])
def test_overrides_of_unknown_fields_of_features(name):
    with pytest.raises(ConfigError, match=rf"config\.{name}: expected features, the name of one"):
        options.parse_override(name, "1")


def test_fields_of_features_are_overridden_by_name():
    features = (Feature("user", "category", buckets=5), USER | {"name": "item", "min_count": 2})
    config = {**options.default(), "features": features}
    texts = ["epochs=3", "features.item.min_count=7", "features.user.buckets=9"]
    overrides = options.parse_overrides(texts, config)
    assert overrides == {
        "epochs": 3,
        "features": (USER | {"buckets": 9}, USER | {"name": "item", "min_count": 7}),
    }
    assert options.differences(config, {**config, **overrides}) == [
        "epochs: 200 → 3",
        "features.user.buckets: 5 → 9",
        "features.item.min_count: 2 → 7",
    ]
    with pytest.raises(
        ConfigError, match=r"config\.features\.usr\.buckets: got 'usr', expected one"
    ):
        options.parse_overrides(["features.usr.buckets=9"], config)
    with pytest.raises(ConfigError, match="expected features in the configuration"):
        options.parse_overrides(["features.user.buckets=9"])


@pytest.mark.parametrize(
    "changes, size",
    [
        ({}, 64),
        ({"image_size": 40, **FROZEN}, 40),
        (FROZEN, 224),
        ({**FROZEN, "booster_backbone": "EfficientNetB3"}, 300),
        # The booster sets the size, or the light net does if the booster's weights are random.
        ({**TWO_NETS, "light_backbone": "EfficientNetV2S", "light_weights": "imagenet"}, 384),
    ],
)
def test_the_size_of_images_follows_the_net(changes, size):
    config = {**options.default(), "dataset": "image_folder", "data_path": "x", **changes}
    assert options.with_image_size(config)["image_size"] == size


def test_images_of_one_class_are_refused(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "rose").mkdir(parents=True)
        for index in range(2):
            Image.new("RGB", (9, 8), (index, 0, 0)).save(tmp_path / part / "rose" / f"{index}.png")
    config = ready_configs.load("image_folder")
    config.update(data_path=str(tmp_path), batch_size=1)
    with pytest.raises(ConfigError, match="are all of one class, expected at least two"):
        options.check(config)


@pytest.mark.parametrize("name", ["number_columns", "class_weights", "booster_only"])
def test_nothing_is_a_value_of_tuples(name):
    assert options.parse_override(name, "") == options.parse_override(name, "()") == ()


def test_the_size_of_images_is_kept_where_it_is_not_read():
    assert options.with_image_size(options.default()) == dict(options.default())


def test_a_configuration_from_when_64_was_the_default():
    options.check_fields({**options.default(), "image_size": 64})


def test_steps_per_epoch_count_the_last_batch():
    config = dict(options.default(), train_examples=1000, batch_size=300)
    assert options.steps_per_epoch(config, card_of(config)) == 4
    assert options.steps_per_epoch(options.default(), card_of(options.default())) == 391


def test_differences():
    first = dict(options.default())
    second = dict(first, epochs=3, data_dir="elsewhere", learning_rate_drops=[0.295, 0.595, 0.795])
    assert options.differences(first, second, ignored=["data_dir"]) == ["epochs: 200 → 3"]


def test_the_table_names_all_fields():
    text = options.describe()
    assert all(name in text for name in FIELDS)
