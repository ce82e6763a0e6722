"""A preset of KerasHub, which is an optional dependency, is saved to a local folder and used."""

import keras
import numpy as np
import pytest

from rocket_tf.networks import backbone_pair
from rocket_tf.networks.pretrained import Start, classify, features_of, load
from rocket_tf.networks.weight_sources import image_size_of_net, problem_of

keras_hub = pytest.importorskip("keras_hub")
SHAPE = (20, 20, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A small backbone, and the folder with its preset and image converter."""
    folder = tmp_path_factory.mktemp("hub") / "preset"
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 16],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    backbone.save_to_preset(str(folder))
    converter = keras_hub.layers.ImageConverter(
        image_size=SHAPE[:2], scale=1 / 255, offset=[-0.1, -0.2, -0.3]
    )
    converter.save_to_preset(str(folder))
    return backbone, f"hub/{folder}"


def test_its_preprocessing_its_weights_and_its_size(preset):
    backbone, weights = preset
    assert problem_of(weights, "") == "" and image_size_of_net(weights, "") == 20
    start = load(weights, "", SHAPE)
    expected = backbone(PIXELS / 255 - np.array([0.1, 0.2, 0.3], np.float32))
    np.testing.assert_allclose(features_of(start)(PIXELS), expected, rtol=1e-4, atol=1e-5)
    plain = load(weights, "", SHAPE, "none")
    np.testing.assert_allclose(features_of(plain)(PIXELS), backbone(PIXELS), rtol=1e-4, atol=1e-3)


def test_it_is_rebuilt_and_shared(preset):
    _, weights = preset
    start = load(weights, "", SHAPE)
    net, again = classify("booster", start, 4), classify("booster", Start(start.description), 4)
    again.set_weights(net.get_weights())
    np.testing.assert_array_equal(again(PIXELS), net(PIXELS))
    low = next(layer.name for layer in net.layers if isinstance(layer, keras.layers.Conv2D))
    light, booster = backbone_pair("", start, 4, SHAPE, low)
    assert light.get_layer(low) is booster.get_layer(low)


def test_a_missing_preset(tmp_path):
    with pytest.raises(ValueError, match=r"KerasHub cannot load it \(.*local folder") as error:
        load(f"hub/{tmp_path}/nothing", "", SHAPE)
    assert "\n" not in str(error.value)
