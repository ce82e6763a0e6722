"""Wide residual pairs: parameter counts, sharing, arithmetic and fused batch normalization."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import RocketModel
from rocket_tf.core.graph import common_layers
from rocket_tf.networks import FusedBatchNormalization, group_outputs, wide_resnet_pair


def pair(**arguments):
    """A small pair on 8 by 8 images."""
    return wide_resnet_pair(
        **{"light_depth": 10, "booster_depth": 16, "input_shape": (8, 8, 3), **arguments}
    )


class TestParameterCounts:
    """The paper's nets with 10 classes and width 1; the counts include moving statistics."""

    @pytest.mark.parametrize(
        "arguments, light, together",
        [
            ({}, 175_994, 569_156),
            ({"share": False}, 175_994, 742_644),
            # The 3 · 3 · 3 · 16 weights of the stem count once.
            ({"share": False, "share_stem": True}, 175_994, 742_644 - 432),
            ({"layout": "bottom", "light_depth": None}, 137_274, 569_348),
            ({"layout": "bottom", "light_depth": None, "share": False}, 137_274, 703_924),
        ],
    )
    def test_wrn_16_1_in_wrn_40_1(self, arguments, light, together):
        nets = wide_resnet_pair(**arguments)
        assert nets[0].count_params() == light
        assert nets[1].count_params() == 566_650
        assert RocketModel(*nets).count_params() == together


@pytest.mark.parametrize(
    "arguments, light_outputs",
    [
        ({}, ["light_group0_block0_add", "light_group1_block0_add", "light_group2_block0_add"]),
        (
            {"layout": "bottom", "light_depth": None},
            ["light_group0_block1_add", "light_group1_block1_add"],
        ),
        ({"layout": "constant", "light_depth": 6}, ["light_group0_block0_add"]),
    ],
)
def test_group_outputs(arguments, light_outputs):
    light, booster = pair(**arguments)
    assert group_outputs(light) == light_outputs
    assert group_outputs(booster) == [f"booster_group{group}_block1_add" for group in range(3)]
    assert group_outputs(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])) == []


class TestSharing:
    def test_interval_shares_the_convolutions_of_the_first_blocks_and_the_stem(self):
        light, booster = pair()
        shared = {layer.name for layer in common_layers(light, booster)}
        expected = {"shared_stem"} | {
            f"shared_group{group}_block0_{part}"
            for group in range(3)
            for part in ("conv0", "conv1")
        }
        assert shared == expected | {f"shared_group{group}_block0_shortcut" for group in (1, 2)}

    def test_bottom_shares_the_first_two_groups(self):
        light, booster = pair(layout="bottom", light_depth=None)
        shared = {layer.name for layer in common_layers(light, booster)}
        assert shared == {"shared_stem", "shared_group1_block0_shortcut"} | {
            f"shared_group{group}_block{block}_{part}"
            for group in range(2)
            for block in range(2)
            for part in ("conv0", "conv1")
        }
        assert not any("group2" in layer.name for layer in light.layers)

    @pytest.mark.parametrize(
        "depth, blocks",
        [(6, {(0, 0)}), (8, {(0, 0), (0, 1)}), (12, {(0, 0), (0, 1), (1, 0), (1, 1)})],
    )
    def test_constant_shares_the_lowest_blocks(self, depth, blocks):
        light, booster = pair(layout="constant", light_depth=depth)
        shared = {layer.name for layer in common_layers(light, booster)}
        expected = {"shared_stem"} | {
            f"shared_group{group}_block{block}_{part}"
            for group, block in blocks
            for part in ("conv0", "conv1")
        }
        # The second group halves the images, so its shortcut needs a convolution.
        if any(group == 1 for group, _ in blocks):
            expected.add("shared_group1_block0_shortcut")
        assert shared == expected
        for net in (light, booster):
            assert {
                layer.filters
                for layer in net.layers
                if "conv" in layer.name and hasattr(layer, "filters")
            } == {16}

    def test_shared_variables_are_the_same_objects(self):
        light, booster = pair()
        mine, theirs = ({id(v) for v in net.trainable_variables} for net in (light, booster))
        shared = [layer.kernel for layer in common_layers(light, booster)]
        assert mine & theirs == {id(kernel) for kernel in shared}

    def test_batch_normalizations_and_classifiers_are_separate(self):
        light, booster = pair()
        for layer in common_layers(light, booster):
            assert isinstance(layer, keras.layers.Conv2D)

    @pytest.mark.parametrize("layout", ["interval", "bottom"])
    def test_without_sharing_nets_have_no_layer_in_common(self, layout):
        light, booster = pair(
            layout=layout, light_depth=10 if layout == "interval" else None, share=False
        )
        assert common_layers(light, booster) == []

    @pytest.mark.parametrize("layout", ["interval", "bottom"])
    def test_the_stem_alone_can_be_shared(self, layout):
        light, booster = pair(
            layout=layout,
            light_depth=10 if layout == "interval" else None,
            share=False,
            share_stem=True,
        )
        (stem,) = common_layers(light, booster)
        assert stem.name == "shared_stem"
        assert stem.kernel.shape == (3, 3, 3, 16)

    def test_depth_and_width_are_free(self):
        light, booster = pair(light_depth=16, booster_depth=28, width=2, num_classes=7)
        # A stem, two convolutions in each of 3 · n blocks, a shortcut where the channels change.
        for net, blocks in ((light, 6), (booster, 12)):
            convolutions = sum(isinstance(layer, keras.layers.Conv2D) for layer in net.layers)
            assert convolutions == 1 + 2 * blocks + 3
        assert booster.output.shape == (None, 7)
        assert booster.get_layer("booster_final_norm").gamma.shape == (128,)


class TestArithmetic:
    def test_a_net_equals_a_plain_numpy_net(self):
        """Computes WRN-10-1 in inference independently: padding, strides, order of operations."""
        light, _ = pair(seed=5, input_shape=(6, 6, 3))
        random = np.random.default_rng(0)
        for layer in light.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                channels = layer.gamma.shape[0]
                layer.set_weights([random.uniform(0.5, 1.5, channels) for _ in range(4)])
        images = random.uniform(0, 255, (2, 6, 6, 3))

        def norm_relu(x, name):
            gamma, beta, mean, variance = light.get_layer(f"light_{name}_norm").get_weights()
            x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
            return np.maximum(x, 0)

        def convolve(x, name, stride=1):
            kernel = light.get_layer(f"shared_{name}").get_weights()[0].astype(np.float64)
            pad = kernel.shape[0] // 2
            x = np.pad(
                x, [(0, 0), (pad, pad), (pad, pad), (0, 0)]
            )  # pads both sides, as PyTorch does
            rows = range(0, x.shape[1] - 2 * pad, stride)
            size = kernel.shape[0]
            return np.stack(
                [
                    np.stack(
                        [
                            np.einsum("bijc,ijcd->bd", x[:, r : r + size, c : c + size], kernel)
                            for c in rows
                        ],
                        axis=1,
                    )
                    for r in rows
                ],
                axis=1,
            )

        x = (images - [125.3, 123.0, 113.9]) / [63.0, 62.1, 66.7]
        x = convolve(x, "stem")
        for group, stride in ((0, 1), (1, 2), (2, 2)):
            y = norm_relu(x, f"group{group}_block0_0")
            shortcut = x if group == 0 else convolve(y, f"group{group}_block0_shortcut", stride)
            y = convolve(y, f"group{group}_block0_conv0", stride)
            y = norm_relu(y, f"group{group}_block0_1")
            x = convolve(y, f"group{group}_block0_conv1") + shortcut
        x = norm_relu(x, "final").mean(axis=(1, 2))
        kernel, bias = light.get_layer("light_logits").get_weights()
        np.testing.assert_allclose(
            light.predict(images, verbose=0), x @ kernel + bias, rtol=1e-4, atol=1e-4
        )

    def test_initial_weights(self):
        _, booster = wide_resnet_pair(booster_depth=16, width=4, seed=0)
        kernel = booster.get_layer("shared_group2_block1_conv1").kernel.numpy()
        fan_in = 3 * 3 * 256
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_in), rtol=0.01)
        # Keras's HeNormal is truncated at 2.27 standard deviations; a normal distribution is not.
        assert np.abs(kernel).max() > 4 * kernel.std()
        gamma = booster.get_layer("booster_final_norm").gamma.numpy()
        assert 0 <= gamma.min() < 0.1 and 0.9 < gamma.max() < 1
        assert np.all(booster.get_layer("booster_logits").bias.numpy() == 0)

    def test_a_net_has_the_same_initial_weights_in_every_pair_with_the_same_seed(self):
        light, _ = pair(seed=1)
        deeper, _ = pair(seed=1, booster_depth=22)
        other, _ = pair(seed=2)
        for mine, theirs in zip(light.get_weights(), deeper.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert np.abs(light.get_weights()[0] - other.get_weights()[0]).max() > 0.1

    def test_raw_pixels_can_be_integers_or_floats(self):
        light, _ = pair(seed=1)
        pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3))
        np.testing.assert_array_equal(
            light(pixels.astype(np.uint8)), light(pixels.astype(np.float32))
        )

    def test_mixed_precision_keeps_logits_in_float32(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        light, booster = pair(seed=1)
        assert light.output.dtype == booster.output.dtype == "float32"
        assert light.get_layer("light_final_relu").output.dtype == "bfloat16"
        assert light.get_layer("normalized").output.dtype == "float32"

    def test_dropout_is_in_the_boosters_own_layers_alone(self):
        light, booster = pair(booster_dropout=0.2)
        dropouts = [layer for layer in booster.layers if isinstance(layer, keras.layers.Dropout)]
        assert len(dropouts) == 6 and all("block1" in layer.name for layer in dropouts)
        assert not any(isinstance(layer, keras.layers.Dropout) for layer in light.layers)


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"light_depth": 15}, "light_depth"),
        ({"booster_depth": 4}, "booster_depth"),
        ({"light_depth": None}, "light_depth"),
        ({"light_depth": 22}, "light_depth"),
        ({"layout": "bottom"}, "light_depth must be None"),
        ({"layout": "top"}, "layout"),
        ({"width": 0}, "width"),
        ({"num_classes": 0}, "num_classes"),
        ({"input_shape": (8, 8)}, "input_shape"),
        ({"pixel_mean": [1.0]}, "pixel_mean"),
        ({"batch_normalization": "none"}, "batch_normalization"),
        ({"booster_dropout": 1.0}, "booster_dropout"),
    ],
)
def test_bad_arguments(arguments, named):
    with pytest.raises(ValueError, match=named):
        pair(**arguments)


class TestFusedBatchNormalization:
    X = np.random.default_rng(0).normal(2.0, 3.0, (4, 5, 5, 6)).astype(np.float32)

    @pytest.mark.parametrize("shape", [(4, 5, 5, 6), (100, 6), (20, 5, 6), (2, 2, 5, 5, 6)])
    def test_training_step_against_numpy(self, shape):
        layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-3)
        outputs = layer(self.X.reshape(shape), training=True)
        assert outputs.shape == shape
        flat = self.X.astype(np.float64).reshape(-1, 6)
        expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-3)
        np.testing.assert_allclose(outputs.numpy().reshape(-1, 6), expected, atol=1e-5)
        np.testing.assert_allclose(layer.moving_mean, 0.1 * flat.mean(0), rtol=1e-5)
        unbiased = flat.var(0, ddof=1)
        np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-5)

    @pytest.mark.parametrize("shape", [(4, 5, 5, 6), (100, 6)])
    def test_same_outputs_and_gradients_as_keras(self, shape):
        fused, keras_layer = FusedBatchNormalization(), keras.layers.BatchNormalization()
        gradients = []
        for layer in (fused, keras_layer):
            layer.build(shape)
            layer.set_weights(
                [np.linspace(0.5, 2, 6), np.linspace(-1, 1, 6), np.ones(6), np.ones(6)]
            )
            x = tf.constant(self.X.reshape(shape))
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x, training=True) ** 3)
            gradients.append(tape.gradient(loss, [x, *layer.trainable_variables]))
        for mine, theirs in zip(*gradients, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=2e-3)

    def test_inference_uses_the_moving_statistics_and_does_not_change_them(self):
        layer = FusedBatchNormalization()
        layer.build(self.X.shape)
        layer.set_weights([np.full(6, 2.0), np.full(6, 1.0), np.full(6, 3.0), np.full(6, 4.0)])
        expected = (self.X - 3) / np.sqrt(4.001) * 2 + 1
        np.testing.assert_allclose(layer(self.X, training=False), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(layer.moving_mean, np.full(6, 3.0))

    def test_a_frozen_layer_runs_in_inference_mode(self):
        layer = FusedBatchNormalization()
        layer.build(self.X.shape)
        layer.trainable = False
        np.testing.assert_allclose(layer(self.X, training=True), layer(self.X, training=False))
        np.testing.assert_array_equal(layer.moving_mean, np.zeros(6))

    @pytest.mark.parametrize("center, scale", [(False, True), (True, False), (False, False)])
    def test_without_offset_or_scale(self, center, scale):
        fused = FusedBatchNormalization(center=center, scale=scale)
        plain = keras.layers.BatchNormalization(center=center, scale=scale)
        np.testing.assert_allclose(
            fused(self.X, training=True), plain(self.X, training=True), atol=1e-5
        )

    @pytest.mark.parametrize(
        "layer_arguments, shape",
        [
            ({}, (6,)),
            ({"axis": 1}, (4, 5, 6)),
            ({"axis": 1}, (4, 5, 5, 6)),
            ({"synchronized": True}, None),
            pytest.param(
                {"renorm": True},
                None,
                marks=pytest.mark.skipif(
                    "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters,
                    reason="this Keras has no batch renormalization",
                ),
            ),
            ({"dtype": "float64"}, None),
        ],
    )
    def test_inputs_that_the_kernel_does_not_support_are_computed_as_by_keras(
        self, layer_arguments, shape
    ):
        x = self.X if shape is None else self.X.ravel()[: np.prod(shape)].reshape(shape)
        fused = FusedBatchNormalization(**layer_arguments)
        plain = keras.layers.BatchNormalization(**layer_arguments)
        np.testing.assert_array_equal(fused(x, training=True), plain(x, training=True))
        np.testing.assert_array_equal(fused.moving_variance, plain.moving_variance)

    def test_masked_inputs(self):
        mask = np.zeros((4, 5, 5), bool)
        mask[:2] = True
        fused, plain = FusedBatchNormalization(), keras.layers.BatchNormalization()
        np.testing.assert_array_equal(
            fused(self.X, training=True, mask=mask), plain(self.X, training=True, mask=mask)
        )

    def test_bfloat16_inputs_keep_float32_statistics(self):
        layer = FusedBatchNormalization(dtype="mixed_bfloat16", momentum=0.0)
        outputs = layer(self.X, training=True)
        assert outputs.dtype == tf.bfloat16
        assert layer.moving_mean.dtype == "float32"
        rounded = tf.cast(tf.cast(self.X, tf.bfloat16), tf.float64).numpy()
        np.testing.assert_allclose(layer.moving_mean, rounded.mean((0, 1, 2)), rtol=1e-5)
