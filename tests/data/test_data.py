"""Data sources, and pipelines whose randomness is a function of (seed, epoch, example)."""

import numpy as np
import pytest
import requests
import tensorflow as tf

from rocket_tf.data import ArraySplit, in_memory, pipeline, random_rows, tfds_builder
from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.images import kerascv
from rocket_tf.data.images import named as images
from rocket_tf.data.images import tfds as tfds_images
from rocket_tf.data.images.augmentation import mirror_and_shift
from rocket_tf.data.interface import Share
from rocket_tf.errors import DataUnavailableError

COUNT, SIZE = 23, 6
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3)).astype(np.uint8)
LABELS = np.arange(COUNT)  # a label of its own identifies each example
SPLIT = ArraySplit(IMAGES, LABELS)


def epochs_of(batch_size=5, epochs=3, seed=7, replicas=1, **arguments):
    """For each epoch, the labels and images of its examples in order."""
    first = arguments.get("first_epoch", 0)
    dataset = SPLIT.training_batches(batch_size, epochs, seed, replicas=replicas, **arguments)
    batches = list(dataset.as_numpy_iterator())
    per_epoch = len(batches) // (epochs - first)
    return [
        [np.concatenate(part) for part in zip(*batches[start : start + per_epoch], strict=True)][
            ::-1
        ]
        for start in range(0, len(batches), per_epoch)
    ]


class TestTrainingDataset:
    def test_every_epoch_has_every_example_once_in_its_own_order(self):
        orders = [labels for labels, _ in epochs_of()]
        for order in orders:
            assert sorted(order) == list(range(COUNT))
        assert not np.array_equal(orders[0], orders[1])
        assert not np.array_equal(orders[0], np.arange(COUNT))

    def test_another_seed_gives_another_order(self):
        assert not np.array_equal(epochs_of(seed=1)[0][0], epochs_of(seed=2)[0][0])

    @pytest.mark.parametrize("seed", [0, 2**31])
    def test_same_seed_same_batches(self, seed):
        one, two = (epochs_of(seed=seed, flip=True, crop_padding=2) for _ in range(2))
        for mine, theirs in zip(one, two, strict=True):
            np.testing.assert_array_equal(mine[0], theirs[0])
            np.testing.assert_array_equal(mine[1], theirs[1])

    def test_resumed_epochs_equal_uninterrupted_ones(self):
        whole = epochs_of(flip=True, crop_padding=2)
        resumed = epochs_of(flip=True, crop_padding=2, first_epoch=2)
        assert len(resumed) == 1
        np.testing.assert_array_equal(whole[2][0], resumed[0][0])
        np.testing.assert_array_equal(whole[2][1], resumed[0][1])

    @pytest.mark.parametrize("replicas", [2, 3])
    def test_replicas_together_get_the_batches_of_one_device(self, replicas):
        whole = epochs_of(flip=True, crop_padding=2)
        split = epochs_of(flip=True, crop_padding=2, replicas=replicas)
        for mine, theirs in zip(whole, split, strict=True):
            np.testing.assert_array_equal(mine[0], theirs[0])
            np.testing.assert_array_equal(mine[1], theirs[1])

    def test_parts_of_a_batch_differ_by_at_most_one_example(self):
        dataset = SPLIT.training_batches(10, 1, 0, replicas=4)
        sizes = [len(labels) for _, labels in dataset.as_numpy_iterator()]
        assert sizes == [3, 3, 2, 2, 3, 3, 2, 2, 1, 1, 1, 0]

    def test_augmentation_depends_on_the_example_and_not_on_the_batch(self):
        small = epochs_of(batch_size=2, flip=True, crop_padding=2)
        large = epochs_of(batch_size=23, flip=True, crop_padding=2)
        for mine, theirs in zip(small, large, strict=True):
            np.testing.assert_array_equal(mine[1], theirs[1])

    def test_augmentation_differs_between_epochs(self):
        by_example = [
            pictures[np.argsort(labels)] for labels, pictures in epochs_of(crop_padding=2)
        ]
        assert not np.array_equal(by_example[0], by_example[1])

    def test_without_augmentation_images_do_not_change(self):
        labels, pictures = epochs_of()[0]
        np.testing.assert_array_equal(pictures, IMAGES[labels])

    def test_one_hot_labels(self):
        dataset = SPLIT.training_batches(5, 1, 7, num_classes=COUNT)
        labels = np.concatenate([labels for _, labels in dataset.as_numpy_iterator()])
        np.testing.assert_array_equal(labels.argmax(-1), epochs_of()[0][0])


class TestUniformRows:
    @pytest.mark.parametrize("count", [1, 2, 3, 5, 1000, 604_388])
    @pytest.mark.parametrize("seed", [(0, 0), (15, 3), (2**33 - 1, 7), (2**32, 399)])
    @pytest.mark.parametrize("width", [1, 3, 6])
    def test_equal_rows_of_the_whole_table(self, count, seed, width):
        seed = tf.constant(seed, tf.int64)
        table = tf.random.stateless_uniform([count, width], seed).numpy()
        rows = np.random.default_rng(0).permutation(count)[:100]
        rows[0] = count - 1
        found = random_rows.uniform_rows(seed, tf.constant(rows, tf.int64), width)
        np.testing.assert_array_equal(found, table[rows])

    def test_no_rows(self):
        seed = tf.constant([1, 2], tf.int64)
        assert random_rows.uniform_rows(seed, tf.zeros([0], tf.int64), 3).shape == (0, 3)


class TestOrderAndDraws:
    """They equal those that versions before 0.3 drew for a whole epoch, so that runs can resume."""

    SEED, EPOCH = 7, 2

    def test_the_order_equals_that_of_the_whole_epoch(self):
        order = tf.random.experimental.index_shuffle(
            tf.range(COUNT, dtype=tf.int64),
            seed=tf.constant([2 * self.SEED, self.EPOCH], tf.int64),
            max_index=tf.constant(COUNT - 1, tf.int64),
        )
        np.testing.assert_array_equal(epochs_of()[self.EPOCH][0], order)

    def test_augmentation_equals_that_of_the_whole_epoch(self):
        labels, pictures = epochs_of(flip=True, crop_padding=2)[self.EPOCH]
        draws = tf.random.stateless_uniform([COUNT, 3], [2 * self.SEED + 1, self.EPOCH])
        expected = mirror_and_shift(tf.constant(IMAGES), draws, True, 2)
        np.testing.assert_array_equal(pictures, tf.gather(expected, labels))

    def test_no_step_holds_a_whole_epoch(self):
        """A step computes only as much as its batch needs, however many examples there are."""
        examples = 10**12
        share = Share()
        step = tf.constant(10**9, tf.int64)
        begin, end = pipeline.bounds_of_part(step, examples, 100, share)
        chosen = pipeline.shuffled(begin, end, examples, 0, tf.constant(0, tf.int64))
        assert len(np.unique(chosen)) == 100 and np.max(chosen) < examples
        augment = pipeline.augmentation_by_example(True, 2, "symmetric")
        images = tf.constant(IMAGES[:1].repeat(100, 0))
        assert augment(images, 0, tf.constant(0, tf.int64), chosen).shape == images.shape


class TestMirrorAndShift:
    @pytest.mark.parametrize("draw, mirrored", [(0.49, True), (0.5, False)])
    def test_mirror(self, draw, mirrored):
        draws = np.array([[draw, 0.0, 0.0]], np.float32)
        result = mirror_and_shift(tf.constant(IMAGES[:1]), draws, True, 0).numpy()
        np.testing.assert_array_equal(result, IMAGES[:1, :, ::-1] if mirrored else IMAGES[:1])

    @pytest.mark.parametrize(
        "padding, mode",
        [(1, "symmetric"), (2, "symmetric"), (SIZE, "symmetric"), (1, "reflect"), (5, "reflect")],
    )
    @pytest.mark.parametrize("flip", [True, False])
    def test_equals_padding_then_crop(self, padding, mode, flip):
        random = np.random.default_rng(padding)
        draws = random.uniform(size=(COUNT, 3)).astype(np.float32)
        result = mirror_and_shift(tf.constant(IMAGES), draws, flip, padding, mode).numpy()
        for image, draw, computed in zip(IMAGES, draws, result, strict=True):
            if flip and draw[0] < 0.5:
                image = image[:, ::-1]
            pads = [(padding, padding), (padding, padding), (0, 0)]
            padded = np.pad(image, pads, mode=mode)
            down, across = (int(d * (2 * padding + 1)) for d in draw[1:])
            np.testing.assert_array_equal(
                computed, padded[down : down + SIZE, across : across + SIZE]
            )

    @pytest.mark.parametrize(
        "mode, padding, expected",
        [
            # Padding 1 2 3 4 by two gives 2 1 | 1 2 3 4 | 4 3, or 3 2 | 1 2 3 4 | 3 2.
            ("symmetric", 2, {0.0: [2, 1, 1, 2], 0.5: [1, 2, 3, 4], 0.99: [3, 4, 4, 3]}),
            ("reflect", 2, {0.0: [3, 2, 1, 2], 0.5: [1, 2, 3, 4], 0.99: [3, 4, 3, 2]}),
            ("symmetric", 4, {0.0: [4, 3, 2, 1], 0.99: [4, 3, 2, 1]}),
        ],
    )
    def test_which_pixels(self, mode, padding, expected):
        row = tf.constant([1, 2, 3, 4], tf.uint8)[None, None, :, None] * tf.ones(
            [1, 4, 1, 1], tf.uint8
        )
        for draw, pixels in expected.items():
            draws = tf.constant([[0.9, 0.5, draw]])
            result = mirror_and_shift(row, draws, False, padding, mode)
            np.testing.assert_array_equal(result[0, :, :, 0], [pixels] * 4)

    def test_all_places_are_equally_likely(self):
        """Half of the images are mirrored, and 1 in 25 is at each of the 5 by 5 places."""
        count = 25_000
        row = np.arange(SIZE, dtype=np.uint8)
        picture = np.tile((row[:, None] * 10 + row)[None, ..., None], (count, 1, 1, 1))
        draws = tf.random.stateless_uniform([count, 3], [1, 2])
        shifted = mirror_and_shift(tf.constant(picture), draws, True, 2).numpy()[..., 0]
        mirrored = shifted[:, 0, 2] > shifted[:, 0, 3]
        assert abs(mirrored.mean() - 0.5) < 0.02
        places = np.unique(
            shifted[~mirrored][:, 2:4, 2:4].reshape(-1, 4), axis=0, return_counts=True
        )
        assert len(places[1]) == 25
        assert np.abs(places[1] / places[1].sum() - 0.04).max() < 0.008


class TestEvaluationDataset:
    @pytest.mark.parametrize("replicas", [1, 3])
    def test_all_examples_once_and_in_order(self, replicas):
        dataset = SPLIT.evaluation_batches(5, replicas=replicas)
        parts = list(dataset.as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), IMAGES)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), LABELS)
        assert len(parts) == 5 * replicas


class TestKerasCV:
    def test_off(self):
        assert kerascv.make_augmentation() is None

    @pytest.mark.slow
    def test_rand_augment_takes_labels_as_integers(self):
        augment = kerascv.make_augmentation(rand_augment=0.5)
        dataset = SPLIT.training_batches(8, 1, 7, batch_augmentation=augment)
        labels = np.concatenate([labels for _, labels in dataset.as_numpy_iterator()])
        np.testing.assert_array_equal(labels, epochs_of()[0][0])

    @pytest.mark.parametrize("option", ["rand_augment", "mixup", "cutmix"])
    def test_changes_images_and_mixes_labels(self, option):
        augment = kerascv.make_augmentation(**{option: 0.5}, seed=1)
        split = ArraySplit(IMAGES.repeat(6, 1).repeat(6, 2), LABELS)
        dataset = split.training_batches(
            8,
            1,
            0,
            batch_augmentation=augment,
            num_classes=COUNT,
        )
        pictures, labels = next(iter(dataset))
        assert pictures.shape == (8, 36, 36, 3) and pictures.dtype == tf.float32
        assert tf.reduce_min(pictures) >= 0 and tf.reduce_max(pictures) <= 255
        np.testing.assert_allclose(tf.reduce_sum(labels, -1), 1.0, rtol=1e-5)
        originals = IMAGES.repeat(6, 1).repeat(6, 2)[np.argmax(labels, -1)]
        assert np.abs(pictures - originals).max() > 1
        mixed = np.count_nonzero(labels, axis=-1).max() > 1
        assert mixed == (option != "rand_augment")


class TestSources:
    def test_digits(self):
        data = images.load("digits")
        card = DATASETS["digits"]
        assert data.train.inputs.shape == (card.train_examples, *card.image_shape)
        assert data.test.inputs.shape == (card.test_examples, *card.image_shape)
        assert data.train.inputs.dtype == np.uint8
        assert (data.train.inputs.min(), data.train.inputs.max()) == (0, 255)
        np.testing.assert_allclose(data.train.inputs.mean(), card.pixel_mean[0], atol=0.05)
        np.testing.assert_allclose(data.train.inputs.std(), card.pixel_std[0], atol=0.05)
        assert np.ptp(np.bincount(data.test.labels) / np.bincount(data.train.labels)) < 0.02
        assert data.class_names == list("0123456789")

    def test_train_and_test_have_no_image_in_common(self):
        data = images.load("digits")
        train = {image.tobytes() for image in data.train.inputs}
        assert not train & {image.tobytes() for image in data.test.inputs}

    def test_first_examples(self):
        few, all_of_them = images.load("digits", train_examples=50), images.load("digits")
        np.testing.assert_array_equal(few.train.inputs, all_of_them.train.inputs[:50])
        assert len(few.test.inputs) == len(all_of_them.test.inputs)

    def test_another_split_seed_gives_another_split(self):
        first, again, other = (images.load("digits", split_seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
        assert (first.train.inputs != other.train.inputs).any()
        assert len(other.test.inputs) == DATASETS["digits"].test_examples
        both = np.concatenate([other.train.inputs, other.test.inputs])
        whole = np.concatenate([first.train.inputs, first.test.inputs])
        assert sorted(image.tobytes() for image in both) == sorted(
            image.tobytes() for image in whole
        )

    def test_held_out_examples_are_balanced_and_not_in_training(self):
        data = images.load("digits", train_examples=400, validation_examples=105)
        assert (len(data.train.inputs), len(data.validation.inputs)) == (295, 105)
        # The first five classes have one example more.
        assert list(np.bincount(data.validation.labels)) == [11] * 5 + [10] * 5
        whole = images.load("digits", train_examples=400)
        assert len(whole.validation.inputs) == 0
        both = np.concatenate([data.train.inputs, data.validation.inputs])
        assert sorted(image.tobytes() for image in both) == sorted(
            image.tobytes() for image in whole.train.inputs
        )
        again = images.load("digits", train_examples=400, validation_examples=105)
        np.testing.assert_array_equal(again.validation.inputs, data.validation.inputs)

    def test_svhn_holds_out_two_thirds_from_train_and_one_third_from_extra(self):
        random = np.random.default_rng(0)
        train, extra = random.integers(0, 10, 900), random.integers(0, 10, 3000)
        held_out = in_memory._hold_out("svhn", DATASETS["svhn"], [train, extra], 300)
        assert list(np.bincount(train[held_out[:900]])) == [20] * 10
        assert list(np.bincount(extra[held_out[900:]])) == [10] * 10

    def test_if_only_the_first_part_is_used_all_held_out_examples_come_from_it(self):
        labels = np.arange(200) % 10
        held_out = in_memory._hold_out("svhn", DATASETS["svhn"], [labels], 30)
        assert list(np.bincount(labels[held_out])) == [3] * 10

    def test_a_class_with_too_few_examples_to_hold_out(self):
        with pytest.raises(DataUnavailableError, match=r"3 examples of class 0.* are 2"):
            in_memory._hold_out("cifar10", DATASETS["cifar10"], [np.arange(20) % 10], 30)

    @pytest.mark.parametrize(
        "error, cause",
        [
            (OSError("no route to host"), "(OSError: no route to host)"),
            (requests.ConnectionError("a long chain"), "(www.cs.toronto.edu cannot be reached)"),
            (requests.Timeout("a long chain"), "(www.cs.toronto.edu cannot be reached)"),
        ],
    )
    def test_missing_data(self, tmp_path, monkeypatch, error, cause):
        def no_network(url, timeout):
            raise error

        monkeypatch.setattr(tfds_builder.requests, "head", no_network)
        with pytest.raises(DataUnavailableError) as raised:
            images.load("cifar100", data_dir=str(tmp_path / "nothing"))
        for way_out in (cause, "data_dir", "TFDS_DATA_DIR", "--config=digits"):
            assert way_out in str(raised.value)
        assert not (tmp_path / "nothing").exists()

    @pytest.mark.parametrize(
        "examples, expected",
        [
            (0, ["train", "extra"]),
            (5, ["train[:5]"]),
            (10, ["train[:10]"]),
            (13, ["train[:10]", "extra[:3]"]),
        ],
    )
    def test_first_examples_of_joined_splits(self, examples, expected):
        class Splits:
            class info:
                splits = {
                    "train": type("Split", (), {"num_examples": 10}),
                    "extra": type("Split", (), {"num_examples": 20}),
                }

        assert (
            tfds_images._first_examples(Splits, DATASETS["svhn"].train_parts, examples) == expected
        )
