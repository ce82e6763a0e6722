"""The options of a run that describe its data.

Like `fields.py`, which has all options, this module does not import TensorFlow.
"""

from collections.abc import Mapping

from rocket_tf.config.field_types import (
    Field,
    are_names,
    choice,
    integer,
    is_weight,
    name,
    names,
    non_negative,
    number,
    path,
    sizes,
    switch,
)
from rocket_tf.config.read_by import (
    AUGMENTED,
    CLICK_LOGS,
    CLICK_NETS,
    CLICKS,
    CROPS,
    CUT_BY_FRACTION,
    IMAGE_FILES,
    IMAGE_FOLDERS,
    IMAGE_SIZES,
    IMAGES,
    LABELLED,
    LABELS_FILES,
    SIMULATED_LABELS,
    SIMULATED_LOGS,
    STREAMABLE,
    TFDS,
    WITH_LABELS,
)
from rocket_tf.data.catalog import DATASETS, LOCAL_DATASETS
from rocket_tf.data.clicks.features import Feature

DATA_FIELDS: Mapping[str, Field] = {
    "dataset": choice(
        "cifar10",
        "which data. Your own, from data_path: npz (arrays of images in one file), image_folder "
        "(train/<class>/*.jpg, or labels_file), click_log (CSV, TFRecord or Parquet). tfds: the "
        "images of tfds_name",
        *DATASETS,
        *LOCAL_DATASETS,
    ),
    "data_dir": path(
        "",
        "folder of TensorFlow Datasets; empty: $TFDS_DATA_DIR, or ~/tensorflow_datasets",
        changes_results=False,
    ),
    "data_path": path(
        "",
        "your own data: the file of dataset=npz, the folder of image_folder and of click_log "
        "(train* and test*, in CSV, TFRecord or Parquet); for click_log with another test part, "
        "also one file, or a URL of Parquet; a run may go on with the same data in another place",
        changes_results=False,  # since fingerprints are compared
    ),
    "streaming": choice(
        "auto",
        "whether to read examples from their files batch by batch, with the same results as in "
        "memory; auto: if they would take more than 1 GiB of memory",
        "auto",
        "always",
        "never",
        read_by=STREAMABLE,
        changes_results=False,
    ),
    "tfds_name": name(
        "",
        "image classification data set in TensorFlow Datasets, such as oxford_flowers102",
        may_be_empty=True,
        read_by=TFDS,
    ),
    "tfds_version": name("", "its version; empty: the newest", may_be_empty=True, read_by=TFDS),
    "tfds_train_split": name(
        "train", "its split to train on, or a part of one, such as train[:80%]", read_by=TFDS
    ),
    "tfds_test_split": name(
        "test", "its split to test on, or a part of one, such as train[80%:]", read_by=TFDS
    ),
    "image_size": Field(
        0,
        "height and width, in pixels, to which images are resized and cropped; 0: the size that "
        "the booster's trained weights are made for, or the light net's; 64 if both are random",
        "a whole number from 8 to 2**31 - 1, or 0",
        lambda value: value == 0 or 8 <= value < 2**31,
        before=64,
        read_by=IMAGE_SIZES,
    ),
    "unreadable_images": choice(
        "refuse",
        "whether images that cannot be read are refused, or skipped with a warning",
        "refuse",
        "skip",
        read_by=IMAGE_FILES,
    ),
    "labels_file": path(
        "",
        "CSV (.csv, .csv.gz) or Parquet file, a path in data_path, with a row and the class of "
        "each image, instead of a folder for each class",
        read_by=IMAGE_FOLDERS,
    ),
    "image_column": name(
        "image",
        "column of labels_file with the images' paths, relative to data_path",
        read_by=LABELS_FILES,
    ),
    "class_column": name("label", "column of the images' classes", read_by=LABELS_FILES),
    "class_separator": Field(
        "",
        "text between the classes of a row, if images may have several classes, or none; empty: "
        "each has one class, unless class_column holds lists, in Parquet",
        "up to 8 printable characters, no quote among them",
        lambda value: len(value) <= 8 and value.isprintable() and '"' not in value,
        read_by=LABELS_FILES,
    ),
    "part_column": name(
        "",
        "column with train or test (or val, or validation); empty: test_fraction decides",
        may_be_empty=True,
        read_by=LABELS_FILES,
    ),
    "train_examples": integer(0, "training examples to use, the first ones; 0: all", 0),
    "validation_examples": integer(
        0,
        "training examples to hold out, the same number of each class; the epoch with the fewest "
        "errors on them is exported and evaluated on the test examples. For clicks: the latest, "
        "and the epoch with the highest AUC. For images with several classes: without regard to "
        "classes, and the epoch with the highest mean average precision. 0: none; the last epoch "
        "is exported",
        0,
    ),
    "evaluate_test": switch(
        True,
        "evaluate the test examples when the run is trained; False: do not open them, and evaluate "
        "only those held out (a study opens them last)",
    ),
    "split_seed": integer(
        0,
        "seed of the simulated clicks, or of the split of the digits into training and test "
        "examples",
        0,
    ),
    "flip": switch(False, "augmentation: mirror half of the images left to right", read_by=IMAGES),
    "crop_padding": integer(
        0,
        "augmentation: pad by this many pixels, by reflection, then crop at random; 0: off",
        0,
        read_by=IMAGES,
    ),
    "crop_padding_mode": choice(
        "symmetric",
        "the reflection of crop_padding: symmetric repeats the edge pixel, as the authors' "
        "release does; reflect does not, as this package did before 0.2",
        "symmetric",
        "reflect",
        before="reflect",
        read_by=CROPS,
    ),
    "rand_augment": number(
        0.0,
        "augmentation: magnitude of RandAugment, 0 to 1; 0: off",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
        read_by=IMAGES,
    ),
    "mixup": non_negative(0.0, "augmentation: alpha of MixUp; 0: off", read_by=IMAGES),
    "cutmix": number(
        0.0,
        "augmentation: alpha of CutMix, 0 to 1; 0: off",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
        read_by=IMAGES,
    ),
    "augmentation_library": choice(
        "tensorflow",
        "whose rand_augment, mixup and cutmix: tensorflow: this package's, which depend on (seed, "
        "epoch, example) alone; keras_cv: KerasCV's, whose draws a resumed run does not repeat",
        "tensorflow",
        "keras_cv",
        before="keras_cv",
        read_by=AUGMENTED,
    ),
    # Clicks
    "simulated_dwell": choice(
        "off",
        "a further column of simulated clicks, dwell: how long an item stayed in view, which rises "
        "with the chance of a click, weakly or strongly, or is noise",
        "off",
        "noise",
        "weak",
        "strong",
        read_by=SIMULATED_LOGS,
    ),
    "simulated_bought": switch(
        False,
        "a second label of simulated clicks, bought: whether an item that was clicked was bought; "
        "the nets then have a head for each of the two",
        read_by=SIMULATED_LABELS,
    ),
    "label_column": name("click", "column of the labels, 0 or 1", read_by=CLICK_LOGS),
    "label_columns": Field(
        (),
        "in place of label_column, columns of several labels, each 0 or 1 in every row, such as a "
        "click and a purchase: each net has a head for each; the first one's AUC on examples held "
        "out chooses the epoch",
        "two or more different names with commas between, or nothing",
        lambda values: len(values) != 1 and are_names(values),
        read_by=LABELLED,
    ),
    "label_weights": Field(
        (),
        "what the cross-entropy of each of several labels weighs in the loss; empty: each weighs 1",
        "a number of at least 0 for each label, one of them above 0, or nothing",
        lambda values: not values or (all(map(is_weight, values)) and sum(values) > 0),
        read_by=WITH_LABELS,
    ),
    "weight_column": name(
        "",
        "column of the examples' weights in losses and metrics, finite numbers of at least 0; "
        "empty: all have the same weight",
        may_be_empty=True,
        read_by=CLICK_LOGS,
    ),
    "user_column": name(
        "user",
        "column of users; GAUC is the mean of their AUCs; empty: no GAUC",
        may_be_empty=True,
        read_by=CLICK_LOGS,
    ),
    "category_columns": names(
        ("user", "item"),
        "columns of ids and other categories that the nets read",
        read_by=CLICK_LOGS,
    ),
    "features": Field(
        (),
        "the columns that the nets read, instead of the fields of simple columns; each is a "
        "networks.Feature or a mapping of its fields, with its own table, width and way from value "
        "to row; --config.features.user.buckets=1000 overrides a field of one",
        "networks.Feature objects, or mappings of their fields",
        lambda values: all(isinstance(value, Mapping | Feature) for value in values),
        read_by=CLICK_LOGS,
    ),
    "number_columns": names((), "columns of numbers that the nets read", read_by=CLICK_LOGS),
    "request_columns": names(
        ("user",),
        "columns that are the same for all items shown at once, such as the user's; an export "
        "takes them once, with any number of candidates",
        read_by=CLICK_LOGS,
    ),
    "history_column": name(
        "",
        "column of the items that the user clicked before, values of item_column; empty: none",
        may_be_empty=True,
        read_by=CLICK_LOGS,
    ),
    "item_column": name("item", "column of the items that the history holds", read_by=CLICK_LOGS),
    "missing_values": choice(
        "refuse",
        "null, empty and NaN values. refuse: an error; own_row: categories have a separate "
        "embedding for them (their ids may then be any 64-bit integers), and numbers an indicator",
        "refuse",
        "own_row",
        read_by=CLICK_LOGS,
    ),
    "history_length": integer(
        20, "items of the history to read, the most recent ones", 1, read_by=CLICKS
    ),
    "test_path": path(
        "", "file, folder or URL of the test part, if it is elsewhere", read_by=CLICK_LOGS
    ),
    "test_column": name(
        "",
        "column that decides which rows are the test part, such as a date",
        may_be_empty=True,
        read_by=CLICK_LOGS,
    ),
    "test_from": name(
        "",
        "rows whose test_column is at least this value are the test part, those below it the "
        "training part",
        may_be_empty=True,
        read_by=CLICK_LOGS,
    ),
    "test_until": name(
        "",
        "rows whose test_column is at least this value are left out; empty: none",
        may_be_empty=True,
        read_by=CLICK_LOGS,
    ),
    "test_fraction": number(
        0.0,
        "share of all examples that are the test part: the last rows of a click log, or images "
        "chosen by a hash of their paths; 0: separate files, or another field decides",
        "a number from 0 to below 1",
        lambda value: 0 <= value < 1,
        read_by=CUT_BY_FRACTION,
    ),
    "shuffle": switch(
        True, "shuffle the training rows; False: train in the order of time", read_by=CLICK_LOGS
    ),
    "shuffle_row_groups": integer(
        8,
        "row groups of a Parquet log, drawn at random, whose rows are shuffled together; when "
        "streaming, twice as many are in memory",
        1,
        read_by=CLICK_LOGS,
    ),
    "exact_ranking_examples": integer(
        1_000_000,
        "up to this many examples in an evaluation, AUC and GAUC are exact and keep 56 bytes of "
        "each for each net; above, AUC is from bins and GAUC from a sample of users, drawn by a "
        "hash of their ids, with about this many examples",
        1,
        read_by=CLICKS,
    ),
    "hash_buckets": integer(
        10_000, "rows of each embedding table, to which values are hashed", 2, read_by=CLICK_NETS
    ),
    "embedding_dimension": integer(
        16, "width of the embedding of each category", 1, read_by=CLICK_NETS
    ),
    "booster_only": names(
        (),
        "categories and numbers that only the booster reads, such as what is known only after a "
        "click; the export does not need them, and the test part of a log may lack them",
        read_by=CLICK_NETS,
    ),
    "light_tower": sizes(
        (200, 80), "units of the light net's hidden layers (Table 5)", read_by=CLICK_NETS
    ),
    "booster_tower": sizes(
        (720, 360, 240, 180, 90),
        "units of the booster's hidden layers (Table 5)",
        read_by=CLICK_NETS,
    ),
    "history_attention": switch(
        False,
        "weigh the history's items by their similarity to the candidate (DIN), instead of "
        "averaging them",
        read_by=CLICK_NETS,
    ),
}
