"""RandAugment against Pillow and NumPy, MixUp and CutMix against their definitions, resuming."""

import functools
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from rocket_tf.data.images import mixing, rand_augment
from rocket_tf.data.in_memory import ArraySplit
from rocket_tf.runs import fitting
from tests.small_runs import check_resumed, quick_runs, small_config

HEIGHT, WIDTH = 17, 23
IMAGE = np.random.default_rng(0).integers(20, 230, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def by_operation(name, signed):
    """IMAGE after an operation with a signed magnitude."""
    image, signed = tf.constant(IMAGE[None], tf.float32), tf.constant(signed)
    if name in rand_augment.COLORS:
        function, strength = rand_augment.COLORS[name]
        (found,) = function(image, tf.reshape(strength(signed), [1, 1, 1, 1]))
    else:
        numbers = rand_augment.MOVES[name](signed, HEIGHT, WIDTH)
        (found,) = rand_augment.moved(image, tf.stack([*numbers, 0.0, 0.0])[None])
    return np.clip(np.round(found), 0, 255)


def transformed(a, b, c, d, e, f):
    """IMAGE moved so that (x, y) reads (ax + by + c, dx + ey + f), by bilinear interpolation."""

    def pixel(y, x):
        return IMAGE[y, x] if 0 <= y < HEIGHT and 0 <= x < WIDTH else np.full(3, 128)

    result = np.zeros(IMAGE.shape)
    for y, x in np.ndindex(HEIGHT, WIDTH):
        source_x, source_y = a * x + b * y + c, d * x + e * y + f
        x0, y0 = math.floor(source_x), math.floor(source_y)
        right, down = source_x - x0, source_y - y0
        above = (1 - right) * pixel(y0, x0) + right * pixel(y0, x0 + 1)
        below = (1 - right) * pixel(y0 + 1, x0) + right * pixel(y0 + 1, x0 + 1)
        result[y, x] = (1 - down) * above + down * below
    return result


class TestRandAugment:
    PILLOW = {
        "identity": lambda image, signed: image,
        "autocontrast": lambda image, signed: ImageOps.autocontrast(image),
        "equalize": lambda image, signed: ImageOps.equalize(image),
        "solarize": lambda image, signed: ImageOps.solarize(image, 256 * (1 - abs(signed))),
        "posterize": lambda image, signed: ImageOps.posterize(image, 8 - round(4 * abs(signed))),
        "color": lambda image, signed: ImageEnhance.Color(image).enhance(1 + 0.9 * signed),
        "contrast": lambda image, signed: ImageEnhance.Contrast(image).enhance(1 + 0.9 * signed),
        "brightness": lambda image, signed: ImageEnhance.Brightness(image).enhance(
            1 + 0.9 * signed
        ),
        "sharpness": lambda image, signed: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * signed),
    }

    @pytest.mark.parametrize("signed", [0.0, 0.4, -0.7, 1.0])
    @pytest.mark.parametrize("name", PILLOW)
    def test_values_equal_pillow(self, name, signed):
        expected = np.asarray(self.PILLOW[name](Image.fromarray(IMAGE), signed), float)
        # Pillow truncates fractions, this code rounds them.
        np.testing.assert_allclose(by_operation(name, signed), expected, atol=1)
        moves = name in ("autocontrast", "equalize") or (name != "identity" and signed)
        assert bool(moves) == bool(np.abs(expected - IMAGE).max() > 1)

    @pytest.mark.parametrize("signed", [0.4, -0.7])
    @pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
    def test_places(self, name, signed):
        cos, sin = math.cos(signed * math.pi / 6), math.sin(signed * math.pi / 6)
        x, y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2  # the centre does not move
        matrix = {
            "rotate": (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y),
            "shear_x": (1, 0.3 * signed, 0, 0, 1, 0),
            "shear_y": (1, 0, 0, 0.3 * signed, 1, 0),
            "translate_x": (1, 0, 0.45 * signed * WIDTH, 0, 1, 0),
            "translate_y": (1, 0, 0, 0, 1, 0.45 * signed * HEIGHT),
        }[name]
        np.testing.assert_allclose(by_operation(name, signed), transformed(*matrix), atol=1)

    def test_every_operation_is_tested(self):
        moving = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}
        assert {*self.PILLOW} == {*rand_augment.COLORS} and moving == {*rand_augment.MOVES}
        assert sorted([*self.PILLOW, *moving]) == sorted(rand_augment.OPERATIONS)

    @pytest.mark.parametrize("magnitude", [0.3, 1.0])
    def test_an_image_does_not_depend_on_the_others_of_its_batch(self, magnitude):
        """Nor on the batch size; the draws cover all pairs of operations with both signs."""
        kinds = np.arange(14)
        which, directions = (kinds + 0.5) / 14, [0.2, 0.7]
        draws = np.stack(np.meshgrid(which, directions, which, directions), -1)
        draws = draws.reshape(-1, 4).astype(np.float32)
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (len(draws), 8, 9, 3)) // random.integers(
            1, 9, (len(draws), 1, 1, 3)
        )
        augment = tf.function(lambda *batch: rand_augment.rand_augment(*batch, magnitude))
        together = augment(tf.constant(images, tf.uint8), tf.constant(draws)).numpy()
        order = random.permutation(len(draws))
        for size in (len(order) // 2, 1):
            parts = [order[begin : begin + size] for begin in range(0, 100 * size, size)]
            for part in filter(len, parts):
                alone = augment(tf.constant(images[part], tf.uint8), tf.constant(draws[part]))
                np.testing.assert_array_equal(alone, together[part])

    def test_starting_a_pipeline_traces_little(self):
        """The graph has no loops or branches, and a second pipeline traces nothing again."""
        for _ in range(2):
            before = rand_augment._operated.experimental_get_tracing_count()
            graph = tf.function(lambda *batch: rand_augment.rand_augment(*batch, 0.5))
            images = tf.TensorSpec((None, 11, 7, 3), tf.uint8)
            graph = graph.get_concrete_function(
                images, tf.TensorSpec((None, 4))
            ).graph.as_graph_def()
            traced = rand_augment._operated.experimental_get_tracing_count() - before
        nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
        assert not any(re.search("While|Case|If", node.op) for node in nodes)
        assert len(nodes) < 300 and traced == 0

    @pytest.mark.parametrize("value", [0, 7, 255])
    def test_an_image_of_one_color(self, value):
        """There is nothing to stretch or equalize."""
        image = tf.fill([1, 5, 4, 3], float(value))
        for name in ("autocontrast", "equalize"):
            found = rand_augment.COLORS[name][0](image, tf.zeros([1, 1, 1, 1]))
            np.testing.assert_array_equal(found, image)

    def test_draws_choose_two_operations_and_their_directions(self):
        names = list(rand_augment.OPERATIONS)

        def draw(name):
            return (names.index(name) + 0.5) / len(names)

        draws = [
            [draw("identity"), 0.9, draw("identity"), 0.1],
            [draw("translate_x"), 0.9, draw("brightness"), 0.1],
        ]
        images = tf.constant(np.stack([IMAGE, IMAGE]))
        kept, changed = rand_augment.rand_augment(images, tf.constant(draws), 0.5).numpy()
        np.testing.assert_array_equal(kept, IMAGE)
        moved = np.clip(np.round(transformed(1, 0, 0.225 * WIDTH, 0, 1, 0)), 0, 255)
        np.testing.assert_allclose(changed, moved * (1 - 0.45), atol=1.1)

    def test_no_images(self):
        none = rand_augment.rand_augment(tf.zeros((0, 9, 13, 3)), tf.zeros((0, 4)), 0.5)
        assert none.shape == (0, 9, 13, 3)


class TestMixing:
    DRAWS = np.random.default_rng(1).random((4, 3)).astype(np.float32)
    X, PARTNERS = np.random.default_rng(2).integers(0, 256, (2, 4, 6, 8, 3)).astype(np.uint8)
    Y, OTHERS = np.eye(5, dtype=np.float32)[[0, 1, 2, 3]], np.eye(5, dtype=np.float32)[[1, 1, 4, 0]]

    @pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
    def test_parts_follow_a_beta_distribution(self, alpha):
        draws = np.random.default_rng(0).random(20_000).astype(np.float32)
        parts = mixing.beta(tf.constant(draws), alpha).numpy().astype(np.float64)
        assert parts.mean() == pytest.approx(0.5, abs=0.01)
        assert parts.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
        assert (np.argsort(parts, kind="stable") == np.argsort(draws, kind="stable")).mean() > 0.9

    def test_mixup(self):
        images, labels = mixing.mixup(
            tf.constant(self.X), tf.constant(self.PARTNERS), self.Y, self.OTHERS, self.DRAWS, 0.7
        )
        part = mixing.beta(tf.constant(self.DRAWS[:, 0]), 0.7).numpy()
        for each in range(4):
            own, other = part[each], 1 - part[each]
            expected = own * self.X[each].astype(float) + other * self.PARTNERS[each]
            np.testing.assert_allclose(images[each], expected, rtol=1e-5, atol=1e-3)
            expected = own * self.Y[each] + other * self.OTHERS[each]
            np.testing.assert_allclose(labels[each], expected, rtol=1e-6, atol=1e-6)

    def test_cutmix(self):
        images, labels = mixing.cutmix(
            tf.constant(self.X), tf.constant(self.PARTNERS), self.Y, self.OTHERS, self.DRAWS, 0.7
        )
        stays = mixing.beta(tf.constant(self.DRAWS[:, 0]), 0.7).numpy()
        areas = []
        for each, (_, down, across) in enumerate(self.DRAWS):
            expected = self.X[each].copy()
            side = math.sqrt(1 - stays[each])
            half = [math.floor(side * size / 2) for size in (6, 8)]
            middle = [math.floor(down * 6), math.floor(across * 8)]
            box = tuple(
                slice(max(m - h, 0), max(m + h, 0)) for m, h in zip(middle, half, strict=True)
            )
            expected[box] = self.PARTNERS[each][box]
            np.testing.assert_array_equal(images[each], expected)
            area = np.zeros((6, 8))
            area[box] = 1
            areas.append(area.mean())
            mixed = (1 - areas[-1]) * self.Y[each] + areas[-1] * self.OTHERS[each]
            np.testing.assert_allclose(labels[each], mixed, atol=1e-6)
        assert max(areas) > 0


class TestPipeline:
    SPLIT = ArraySplit(
        np.random.default_rng(3).integers(0, 256, (23, 8, 8, 3)).astype(np.uint8),
        np.arange(23) % 4,
    )
    OPTIONS = {"rand_augment": 0.5, "num_classes": 4, "flip": True, "crop_padding": 1}

    @classmethod
    @functools.cache
    def batches(cls, seed=11, **changes):
        """The batches of three epochs as read-only arrays."""
        arguments = {"mixing": ("mixup", 0.4), **cls.OPTIONS, **changes}
        made = cls.SPLIT.training_batches(6, 3, seed, **arguments)
        return [tuple(map(np.asarray, batch)) for batch in made]

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({}, marks=pytest.mark.slow),
            {"mixing": ("cutmix", 1.0), "rand_augment": 0.0},
            pytest.param({"mixing": None}, marks=pytest.mark.slow),
        ],
    )
    def test_resuming_at_any_step_gives_the_same_batches(self, changes):
        whole = self.batches(**changes)
        assert len(whole) == 12
        rest = self.batches(**changes, first_epoch=1, first_step=2)
        for before, after in zip(whole[6:], rest, strict=True):
            np.testing.assert_array_equal(before[0], after[0])
            np.testing.assert_array_equal(before[1], after[1])

    def test_replicas_together_get_the_batches_of_one_device(self):
        whole, parts = self.batches(), self.batches(replicas=2)
        for number, (images, labels) in enumerate(whole):
            own = parts[2 * number : 2 * number + 2]
            np.testing.assert_array_equal(np.concatenate([each[0] for each in own]), images)
            np.testing.assert_array_equal(np.concatenate([each[1] for each in own]), labels)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"seed": 0, "rand_augment": 0.0},
            {},
            {"seed": 2**32 - 1, "rand_augment": 0.0},
            pytest.param({"seed": 2**32 - 1}, marks=pytest.mark.slow),
        ],
    )
    def test_epochs_mix_differently_and_partners_have_their_own_order(self, arguments):
        labels = np.concatenate([batch[1] for batch in self.batches(**arguments)])
        np.testing.assert_allclose(labels.sum(-1), 1, rtol=1e-6)
        first, second = labels[:23], labels[23:46]
        assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))
        assert ((first > 0.01).sum(-1) == 2).mean() > 0.3  # mixed from two classes

    def test_mixing_does_not_change_the_order_of_training(self):
        plain = self.SPLIT.training_batches(6, 1, 11, num_classes=4)
        mixed = self.SPLIT.training_batches(6, 1, 11, num_classes=4, mixing=("mixup", 1e-4))
        for (_, labels), (_, own) in zip(plain, mixed, strict=True):
            # With an alpha near 0, an image is either unchanged or replaced by its partner.
            same = np.isclose(own, labels, atol=1e-3).all(-1)
            assert same.mean() > 0
            np.testing.assert_allclose(np.max(own, -1), 1, atol=1e-3)


def test_the_library_is_a_field():
    """On a batch of two images, the two libraries draw different mixes from the same seed."""
    split = ArraySplit(TestPipeline.SPLIT.inputs[:2], np.array([0, 1]))
    batches = {}
    for library in ("tensorflow", "keras_cv"):
        config = small_config(mixup=0.4, augmentation_library=library)
        made = split.training_batches(2, 1, 11, num_classes=2, **fitting.augmentation(config))
        ((images, labels),) = made
        np.testing.assert_allclose(np.sum(labels, -1), 1, rtol=1e-5)
        batches[library] = images.numpy()
    assert not np.allclose(batches["tensorflow"], batches["keras_cv"], atol=1)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_a_run_with_all_options_resumes_bit_for_bit(option, tmp_path):
    arrays = np.random.default_rng(4).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)
    np.savez(
        tmp_path / "data.npz",
        x_train=arrays[:40],
        y_train=np.arange(40) % 3,
        x_test=arrays[40:],
        y_test=np.arange(10) % 3,
    )
    config = small_config(
        dataset="npz",
        data_path=str(tmp_path / "data.npz"),
        train_examples=0,
        batch_size=16,
        rand_augment=0.5,
        flip=True,
        **{option: 0.5},
    )
    with quick_runs():
        check_resumed(config, tmp_path, epoch=2)
