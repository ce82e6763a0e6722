"""Checks which values of fields make sense together."""

from collections.abc import Mapping

from rocket_tf.config.booster_only_checks import check_booster_only, check_test_part
from rocket_tf.config.feature_fields import check_features
from rocket_tf.config.fields import FIELDS, is_depth
from rocket_tf.config.label_checks import (
    check_labels,
    check_one_class_fields,
    check_weight_column,
    labels_in_file,
)
from rocket_tf.config.net_checks import check_nets
from rocket_tf.config.optimization_checks import check_class_weights, check_optimization
from rocket_tf.config.read_by import HINTS
from rocket_tf.data.catalog import LOCAL_DATASETS, SPLIT_BY_SEED, DatasetCard
from rocket_tf.data.own_data import columns_of
from rocket_tf.errors import ConfigError
from rocket_tf.system.argument_names import differ_in_case_only, is_argument_name


def check_before_data(config: Mapping) -> None:
    """Checks what can be checked before the user's own data is read.

    Raises:
        ConfigError: for the first combination that makes no sense.
    """
    dataset = config["dataset"]
    if dataset == "tfds" and not config["tfds_name"]:
        raise ConfigError(
            "config.tfds_name: got '' with dataset=tfds, expected the name of an image "
            "classification data set; add --config.tfds_name=oxford_flowers102, for example"
        )
    is_local = dataset in LOCAL_DATASETS and dataset != "tfds"
    if is_local != bool(config["data_path"]):
        expected = (
            "the path of the data"
            if is_local
            else "nothing, for it reads no files of yours; to read your own, set config.dataset to "
            f"one of {', '.join(name for name in LOCAL_DATASETS if name != 'tfds')}"
        )
        raise ConfigError(
            f"config.data_path: got {config['data_path']!r} with dataset={dataset}, expected "
            f"{expected}"
        )
    check_labels(config)
    _check_click_columns(config)
    _check_labels_file(config)
    _check_own_code(config)
    check_nets(config)
    if config["layout"] == "bottom" and config["light_depth"] != 0:
        raise ConfigError(
            f"config.light_depth: got {config['light_depth']} with layout=bottom, expected 0: the "
            "light net is the booster's first two groups; add --config.light_depth=0"
        )
    if config["layout"] == "interval" and not is_depth(config["light_depth"]):
        raise ConfigError(
            f"config.light_depth: got {config['light_depth']} with layout=interval, expected "
            "6n + 4 with n >= 1; add --config.light_depth=16, for example"
        )
    if config["layout"] == "constant" and config["light_depth"] == 0:
        raise ConfigError(
            "config.light_depth: got 0 with layout=constant, expected 2n + 4: the light net is the "
            "booster's lowest blocks; add --config.light_depth=16, for example"
        )
    if config["method"] == "at" and config["layout"] != "interval":
        raise ConfigError(
            f"config.layout: got {config['layout']} with method=at, expected interval: attention "
            "transfer pairs the outputs of all three groups, and this light net does not have "
            "three; take another method, such as --config.method=kd"
        )
    if config["method"] == "no_joint_training" and not config["share"]:
        raise ConfigError(
            "config.share: got False with method=no_joint_training, expected True: the light net "
            "starts from the booster's shared layers; add --config.share=True"
        )
    if config["light_depth"] > config["booster_depth"]:
        raise ConfigError(
            f"config.light_depth: got {config['light_depth']}, expected at most the booster's "
            f"{config['booster_depth']}; lower it or raise --config.booster_depth"
        )
    if config["split_seed"] and dataset not in SPLIT_BY_SEED:
        raise ConfigError(
            f"config.split_seed: got {config['split_seed']} with dataset={config['dataset']}, "
            "expected 0: this data set comes with its split; set it to 0"
        )
    if not config["evaluate_test"] and not config["validation_examples"]:
        raise ConfigError(
            "config.evaluate_test: got False with validation_examples=0, expected True: nothing "
            "would be evaluated; hold examples out, as with --config.validation_examples=200"
        )
    if config["replicas"] > config["batch_size"]:
        raise ConfigError(
            f"config.replicas: got {config['replicas']}, expected at most batch_size, "
            f"{config['batch_size']}: each replica needs an example; lower it"
        )
    if config["mixup"] and config["cutmix"]:
        raise ConfigError(
            f"config.cutmix: got {config['cutmix']} with mixup={config['mixup']}, expected one of "
            "the two to be 0: either mixes the labels of a batch; set one to 0"
        )
    check_optimization(config)
    _check_hint(config)
    _check_unread_fields(config)


def check_with_data(config: Mapping, card: DatasetCard, examples: int) -> None:
    """Checks what depends on the data.

    Args:
        config: a configuration that `check_before_data` has passed.
        card: the card of its data set.
        examples: number of training examples without those held out.

    Raises:
        ConfigError: for the first combination that makes no sense.
    """
    if config["train_examples"] > card.train_examples:
        raise ConfigError(
            f"config.train_examples: got {config['train_examples']}, expected at most "
            f"{card.train_examples}, all that {config['dataset']} has; 0 takes all"
        )
    if examples < 1:
        available = examples + config["validation_examples"]
        raise ConfigError(
            f"config.validation_examples: got {config['validation_examples']}, expected less than "
            f"the {available} training examples that they are taken from; lower it"
        )
    if config["batch_size"] > examples:
        raise ConfigError(
            f"config.batch_size: got {config['batch_size']}, expected at most the "
            f"{examples} training examples; lower it"
        )
    _check_classes(config, card)
    if card.multi_label:
        _check_multi_label(config)
    check_one_class_fields(config)
    check_class_weights(config, card)
    if card.kind == "clicks":
        _check_clicks(config)
        check_booster_only(config, card.columns)
        check_test_part(config, card)
        return
    # The padding must come from the image, without the edge pixel if that is not repeated.
    maximum = min(card.image_shape[:2]) - (config["crop_padding_mode"] == "reflect")
    if config["crop_padding"] > maximum:
        raise ConfigError(
            f"config.crop_padding: got {config['crop_padding']} with crop_padding_mode="
            f"{config['crop_padding_mode']}, expected at most {maximum}, which the images have to "
            "reflect; lower it"
        )
    if config["rand_augment"] and card.image_shape[-1] != 3:
        raise ConfigError(
            f"config.rand_augment: got {config['rand_augment']} with dataset={config['dataset']}, "
            "expected 0: RandAugment needs colour images; set it to 0"
        )


def _check_hint(config):
    if not HINTS.reads(config):
        return
    if config["standardize_logits"] and config["hint"] != "kd":
        raise ConfigError(
            f"config.standardize_logits: got True with hint={config['hint']}, expected False: it "
            "is for hint=kd"
        )
    for field in ("mixup", "cutmix"):
        if config[field] and config["hint"] == "dkd":
            raise ConfigError(
                f"config.{field}: got {config[field]} with hint=dkd, expected 0: dkd compares by "
                "the class of each label, and mixed labels have two; set it to 0, or take "
                "--config.hint=kd"
            )


def _check_classes(config, card):
    """Checks that there are classes to tell apart, and enough of them for the hint."""
    if card.num_classes < 2:
        field = "tfds_name" if config["dataset"] == "tfds" else "data_path"
        raise ConfigError(
            f"config.{field}: the images of {config[field]} are all of one class, expected at "
            "least two classes to tell apart; add another"
        )
    if not HINTS.reads(config) or card.num_classes > 2:
        return
    field = "hint" if config["hint"] in ("dkd", "dist") else "standardize_logits"
    if field == "hint" or config["standardize_logits"]:
        raise ConfigError(
            f"config.{field}: got {config[field]} with dataset={config['dataset']} of "
            f"{card.num_classes} classes, expected {FIELDS[field].default}: with fewer than three "
            "classes, it can compare only which one is more likely"
        )


def _check_multi_label(config):
    """Refuses options for images of one class if images may have several classes."""
    if config["method"] in ("kd", "rocket_kd"):
        raise ConfigError(
            f"config.method: got {config['method']} with several classes per image, expected "
            "another: its distillation compares softmaxes, which assume one class; take "
            "--config.method=rocket, for example"
        )
    fields = ["label_smoothing", "mixup", "cutmix", "class_weights", "balance_classes"]
    for name in [*fields, "hint"] if HINTS.reads(config) else fields:
        value, expected = config[name], FIELDS[name].default
        if (tuple(value) if isinstance(value, list) else value) != expected:
            raise ConfigError(
                f"config.{name}: got {value!r} with several classes per image, expected "
                f"{expected!r}: any other is for images of one class"
            )


def _check_labels_file(config):
    if config["dataset"] != "image_folder" or not config["labels_file"]:
        return
    if bool(config["part_column"]) == bool(config["test_fraction"]):
        raise ConfigError(
            f"config.part_column: got {config['part_column']!r} with labels_file and "
            f"test_fraction={config['test_fraction']}, expected one of the two, to say which "
            "images are the test part; add --config.part_column=part, for example"
        )
    columns = [config[name] for name in ("image_column", "class_column", "part_column")]
    if len(set(columns)) < len(columns):
        raise ConfigError(
            f"config.class_column: got {config['class_column']!r} beside image_column="
            f"{config['image_column']!r} and part_column={config['part_column']!r}, expected that "
            "each column has one role"
        )


def _check_click_columns(config):
    if config["dataset"] != "click_log":
        return
    if config["features"]:
        check_features(config, {name: field.default for name, field in FIELDS.items()})
        _check_test_part(config)
        return
    nets_read = (*config["category_columns"], *config["number_columns"], config["history_column"])
    twice = sorted({name for name in nets_read if name and nets_read.count(name) > 1})
    field, labels = labels_in_file(config)
    if twice or set(labels) & set(nets_read):
        raise ConfigError(
            f"config.{field}: got {config[field]!r}, and columns {nets_read} for the "
            "nets, expected that each column has one role"
        )
    check_weight_column(config, nets_read)
    _check_names_of_columns(config)
    _check_test_part(config)
    if config["user_column"] and config["user_column"] in (
        *labels,
        *config["number_columns"],
        config["history_column"],
    ):
        raise ConfigError(
            f"config.user_column: got {config['user_column']!r}, which is the label, a number or "
            "the history, too; expected a category, or a column that the nets do not read"
        )
    unknown = [name for name in config["request_columns"] if name not in nets_read]
    if unknown and tuple(config["request_columns"]) != FIELDS["request_columns"].default:
        raise ConfigError(
            f"config.request_columns: got {unknown[0]!r}, expected columns that the nets read, of "
            f"{[name for name in nets_read if name]}"
        )
    if not any(nets_read):
        raise ConfigError(
            "config.category_columns: got (), and no numbers or history either, expected a column "
            "that the nets read"
        )
    if config["history_column"] and config["item_column"] not in config["category_columns"]:
        raise ConfigError(
            f"config.item_column: got {config['item_column']!r} with history_column="
            f"{config['history_column']!r}, expected one of category_columns "
            f"{config['category_columns']}: the history's values share its embeddings"
        )
    check_booster_only(config, columns_of(config))


def _check_test_part(config):
    """Checks that exactly one option decides which examples are the test part."""
    chosen = [name for name in ("test_path", "test_from", "test_fraction") if config[name]]
    if len(chosen) > 1:
        raise ConfigError(
            f"config.{chosen[1]}: got {config[chosen[1]]!r} beside "
            f"{chosen[0]}={config[chosen[0]]!r}, expected one of the two, to say which examples "
            "are the test part"
        )
    for name, required in (
        ("test_from", "test_column"),
        ("test_column", "test_from"),
        ("test_until", "test_from"),
    ):
        if config[name] and not config[required]:
            raise ConfigError(
                f"config.{name}: got {config[name]!r} without {required}, expected that, too; "
                f"add --config.{required}"
            )


def _check_names_of_columns(config):
    """Checks that the export's inputs can have the names of the columns that the nets read."""
    fields = ("category_columns", "number_columns", "history_column")
    names_by_field = {
        field: [config[field]] if isinstance(config[field], str) else config[field]
        for field in fields
    }
    for field, names in names_by_field.items():
        wrong = [name for name in names if name and not is_argument_name(name)]
        if wrong:
            raise ConfigError(
                f"config.{field}: got {', '.join(map(repr, names))}, expected names that inputs of "
                "the export can have: a letter, then letters, digits and underscores, all ASCII; "
                f"neither self nor a keyword of Python. Rename the column {wrong[0]!r}"
            )
    clash = differ_in_case_only([name for names in names_by_field.values() for name in names])
    if clash:
        field = next(field for field in fields if clash[1] in names_by_field[field])
        raise ConfigError(
            f"config.{field}: got {clash[1]!r} beside {clash[0]!r}, expected names that differ in "
            "more than case, which TensorFlow ignores in the export; rename a column"
        )


def _check_own_code(config):
    own_functions = config["own_functions"]
    if own_functions and not config["own_code_sha256"]:
        raise ConfigError(
            f"config.own_code_sha256: got '' with own_functions={own_functions!r}, expected that "
            "of the file which defines them; give the file as --config, which sets all three"
        )
    if "build_nets" in own_functions and config["method"] == "at":
        raise ConfigError(
            "config.method: got at with your own build_nets, expected another: attention "
            "transfer pairs the groups of wide residual nets; take --config.method=kd, or rocket "
            "and Hint('attention', layers=...) in build_hints"
        )
    if "build_hints" in own_functions and config["method"] == "no_joint_training":
        raise ConfigError(
            "config.method: got no_joint_training with your own build_hints, expected another: "
            "there the light net follows a trained booster; leave build_hints out of "
            "--config.own_functions, or take --config.method=kd"
        )


def _check_unread_fields(config):
    """Checks that fields read only by runs with other data or nets have their defaults."""
    for name, field in FIELDS.items():
        reader = field.read_by
        if reader.otherwise is None or reader.reads(config):
            continue
        value, instead = config[name], reader.otherwise(config)
        if instead is None:
            continue
        if (tuple(value) if isinstance(value, list) else value) != field.default:
            raise ConfigError(
                f"config.{name}: got {value!r} with {instead}, expected "
                f"{field.default!r}: it is for {reader.words}"
            )


def _check_clicks(config):
    if config["method"] == "at":
        raise ConfigError(
            f"config.method: got at with dataset={config['dataset']}, expected another: attention "
            "transfer compares images; take --config.method=kd, for example"
        )
