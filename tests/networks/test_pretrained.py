"""Nets that start from trained weights: what is used of a file, refusals, preprocessing."""

import inspect
import sys
from unittest import mock

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf.networks import backbone_pair, wide_resnet_pair
from rocket_tf.networks.backbone_names import (
    KERAS_APPLICATIONS,
    image_size_of,
    preprocessing_of,
)
from rocket_tf.networks.freezing import layers_until, set_frozen
from rocket_tf.networks.pretrained import (
    ImageNetPreprocessing,
    Start,
    classify,
    features_of,
    load,
    trained_layers,
)
from rocket_tf.networks.weight_sources import image_size_of_net, problem_of

SHAPE = (9, 8, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.float32)


def convolutions(images):
    x = layers.Conv2D(5, 3, name="low")(images)
    x = layers.BatchNormalization(name="low_norm")(x)
    x = layers.ReLU(name="low_relu")(x)
    return layers.Conv2D(6, 2, name="high")(x)


def with_head(head, shape=SHAPE):
    """A net of two convolutions and a head with random weights, as if it had been trained."""
    images = keras.Input(shape)
    net = keras.Model(images, head(convolutions(images)), name="theirs")
    return randomized(net)


def randomized(net):
    random = np.random.default_rng(1)
    net.set_weights([random.uniform(0.1, 0.9, array.shape) for array in net.get_weights()])
    return net


def pooled(x):
    return layers.GlobalAveragePooling2D()(x)


HEADS = {
    "softmax in the layer": lambda x: layers.Dense(7, "softmax", name="theirs7")(pooled(x)),
    "softmax as a layer": lambda x: layers.Softmax()(layers.Dense(7)(pooled(x))),
    "dropout": lambda x: layers.Dense(7, "softmax")(layers.Dropout(0.5)(pooled(x))),
    "no bias": lambda x: layers.Dense(7, "softmax", use_bias=False)(pooled(x)),
    "a hidden layer": lambda x: layers.Dense(7, "softmax")(layers.Dense(4, "relu")(pooled(x))),
    "flattened": lambda x: layers.Dense(7, "softmax")(layers.Flatten()(x)),
    "a convolution": lambda x: layers.Softmax()(
        layers.Flatten()(
            layers.Conv2D(7, 1)(
                layers.Dropout(0.1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
            )
        )
    ),
}


class TestFiles:
    @pytest.mark.parametrize("head", HEADS)
    def test_a_classifier_with_the_same_number_of_classes_is_kept(self, head, tmp_path):
        theirs = with_head(HEADS[head])
        theirs.save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        net = classify("booster", start, 7)
        logits = net(PIXELS).numpy().astype(np.float64)
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        expected = theirs(PIXELS).numpy()
        np.testing.assert_allclose(odds / odds.sum(-1, keepdims=True), expected, rtol=1e-4)
        assert net.layers[-1].name == "booster_logits" and net.layers[-1].activation(-3.0) == -3
        trained = {id(layer) for layer in trained_layers(start, net)}
        assert {id(layer) for layer in net.layers if layer.weights} <= trained

    @pytest.mark.parametrize("head", HEADS)
    def test_a_classifier_with_another_number_of_classes_is_replaced(self, head, tmp_path):
        theirs = with_head(HEADS[head])
        theirs.save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        net = classify("booster", start, 4, dropout=0.2)
        assert net(PIXELS).shape == (4, 4)
        assert net.get_layer("booster_dropout").rate == 0.2
        for name in ("low", "low_norm", "high"):
            for mine, other in zip(
                net.get_layer(name).get_weights(),
                theirs.get_layer(name).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(mine, other)
        names = [layer.name for layer in trained_layers(start, net)]
        assert "high" in names and "booster_logits" not in names and "theirs7" not in names

    def test_a_net_without_a_classifier_is_used_whole(self, tmp_path):
        theirs = with_head(lambda x: x)
        theirs.save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        assert start.classifier is None
        np.testing.assert_array_equal(features_of(start)(PIXELS), theirs(PIXELS))
        assert [layer.name for layer in classify("light", start, 2).layers][-2:] == [
            "light_pool",
            "light_logits",
        ]

    def test_a_nested_net_is_unpacked_and_thawed(self, tmp_path):
        base = with_head(lambda x: x)
        base.trainable = False
        theirs = keras.Sequential(
            [
                keras.Input(SHAPE),
                layers.Rescaling(1 / 255, name="scaled"),
                base,
                layers.GlobalAveragePooling2D(),
                layers.Dense(7, "softmax"),
            ]
        )
        theirs.save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        net = classify("booster", start, 7)
        assert [layer.name for layer in net.layers[1:4]] == ["scaled", "low", "low_norm"]
        np.testing.assert_allclose(
            keras.ops.softmax(net(PIXELS)), theirs(PIXELS), rtol=1e-5, atol=1e-7
        )
        assert (
            len(net.trainable_variables) == 8
        )  # two variables each: two convolutions, a normalization, a classifier

    def test_images_of_another_size(self, tmp_path):
        with_head(HEADS["dropout"]).save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", (12, 15, 3))
        assert classify("booster", start, 7).input.shape == (None, 12, 15, 3)

    def test_the_light_net_of_a_rocket(self, tmp_path):
        light, _ = wide_resnet_pair(
            light_depth=10, booster_depth=16, num_classes=7, input_shape=(8, 8, 3)
        )
        randomized(light).save(tmp_path / "light.keras")
        start = load(str(tmp_path / "light.keras"), "", (8, 8, 3))
        np.testing.assert_allclose(
            classify("light", start, 7)(PIXELS[:, :8]), light(PIXELS[:, :8]), rtol=1e-5, atol=1e-5
        )

    def test_it_is_rebuilt_from_its_description(self, tmp_path):
        theirs = with_head(HEADS["dropout"])
        theirs.save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        net, again = classify("booster", start, 7), classify("booster", Start(start.description), 7)
        assert [variable.path for variable in again.variables] == [
            variable.path for variable in net.variables
        ]
        again.set_weights(net.get_weights())
        np.testing.assert_array_equal(again(PIXELS), net(PIXELS))
        names = [layer.name for layer in trained_layers(Start(start.description), again)]
        assert names == [layer.name for layer in trained_layers(start, net)]

    def test_precision(self, tmp_path):
        images = keras.Input(SHAPE)
        scaled = layers.Rescaling(1 / 255, name="scaled")(images)
        outputs = layers.Dense(7)(pooled(convolutions(scaled)))
        keras.Model(images, outputs).save(tmp_path / "net.keras")
        keras.config.set_dtype_policy("mixed_bfloat16")
        net = classify("light", load(str(tmp_path / "net.keras"), "", SHAPE), 7)
        dtypes = {layer.name: layer.output.dtype for layer in net.layers}
        assert (dtypes["scaled"], dtypes["low"], dtypes["high"]) == (
            "float32",
            "bfloat16",
            "bfloat16",
        )
        assert net.output.dtype == "float32" == net.get_layer("low").kernel.dtype

    def test_preprocessing(self, tmp_path):
        theirs = with_head(lambda x: x)
        theirs.save(tmp_path / "net.keras")
        path = str(tmp_path / "net.keras")
        for mode in ("tf", "caffe", "torch"):
            features = features_of(load(path, "", SHAPE, mode))
            expected = theirs(preprocess(PIXELS, mode))
            np.testing.assert_allclose(features(PIXELS), expected, rtol=1e-4, atol=1e-4)
        for mode in ("none", ""):
            np.testing.assert_array_equal(
                features_of(load(path, "", SHAPE, mode))(PIXELS), theirs(PIXELS)
            )


def preprocess(pixels, mode):
    return keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=mode)


def two_outputs():
    images = keras.Input(SHAPE)
    return keras.Model(images, [layers.Dense(3)(pooled(images)), layers.Dense(2)(pooled(images))])


def numbers():
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(3)(inputs))


def a_sum(x):
    return layers.Add(name="sum")([layers.Dense(3)(pooled(x)), layers.Dense(3)(pooled(x))])


REFUSED = {
    "two outputs": (
        two_outputs,
        "it gives 2 outputs, expected one; for a rocket, save rocket.light",
    ),
    "numbers": (numbers, r"it takes inputs of shapes \[\(None, 5\)\], expected one, of images"),
    "grey images": (lambda: with_head(HEADS["dropout"], (9, 8, 1)), "does not take images of.*low"),
    "a sequence": (lambda: with_head(layers.Reshape((-1, 6), name="rows")), "layer 'low'|'high'"),
}


class TestRefused:
    @pytest.mark.parametrize("case", REFUSED)
    def test_nets_that_do_not_fit(self, case, tmp_path):
        make, message = REFUSED[case]
        make().save(tmp_path / "net.keras")
        with pytest.raises(ValueError, match=message) as error:
            load(str(tmp_path / "net.keras"), "", SHAPE)
        assert "\n" not in str(error.value)

    def test_a_sum_of_two_classifiers_is_a_feature(self, tmp_path):
        """Neither of them alone is the classifier, so both are kept."""
        with_head(a_sum).save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        assert start.classifier is None and features_of(start).output.shape == (None, 3)

    def test_paths_that_are_not_keras_files(self, tmp_path):
        path = tmp_path / "net.keras"
        assert problem_of(str(path), "") == "there is no such file"
        path.mkdir()
        assert problem_of(str(path), "") == "there is no such file"
        path.rmdir()
        path.write_text("no archive")
        assert "cannot be read as a .keras file (BadZipFile" in problem_of(str(path), "")
        with pytest.raises(ValueError, match=r"Keras cannot load it \("):
            load(str(path), "", SHAPE)

    def test_layers_whose_code_keras_does_not_run(self, tmp_path):
        with_head(lambda x: layers.Lambda(lambda y: y * 2, name="twice")(x)).save(
            tmp_path / "net.keras"
        )
        with pytest.raises(ValueError, match=r"Keras cannot load it \(.*[Ll]ambda") as error:
            load(str(tmp_path / "net.keras"), "", SHAPE)
        assert "\n" not in str(error.value)


class TestWeightsAlone:
    @pytest.fixture(scope="class")
    def written(self, tmp_path_factory):
        net = keras.applications.MobileNetV3Small(
            weights=None, input_shape=(32, 32, 3), classes=3, include_preprocessing=True
        )
        path = tmp_path_factory.mktemp("weights") / "net.weights.h5"
        randomized(net).save_weights(path)
        return net, path

    def test_they_are_matched_by_layer_names(self, written):
        net, path = written
        start = load(str(path), "MobileNetV3Small", (32, 32, 3))
        features = features_of(start)
        for layer in features.layers:
            for mine, theirs in zip(
                layer.get_weights(),
                net.get_layer(layer.name).get_weights() if layer.weights else [],
                strict=True,
            ):
                np.testing.assert_array_equal(mine, theirs)
        assert start.classifier is None
        # Keras builds this net with its preprocessing inside.
        assert [layer.name for layer in features.layers[:3]][1].startswith("rescaling")

    def test_other_nets_and_other_sizes_are_refused_by_layer(self, written, tmp_path):
        _, path = written
        with pytest.raises(ValueError, match="it has no layer 'conv1', which mobilenet"):
            load(str(path), "MobileNet", (32, 32, 3))
        copy = tmp_path / "net.weights.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            (group,) = [
                group
                for group in groups_of(file)
                if group.attrs.get("name") == "expanded_conv_depthwise"
            ]
            kernel = group["0"][()]
            del group["0"]
            group["0"] = kernel[:2]
        with pytest.raises(
            ValueError,
            match=r"layer 'expanded_conv_depthwise' has weights of shapes \[\(2, 3, 16, 1\)\], exp"
            r"ected \[\(3, 3, 16, 1\)\]",
        ):
            load(str(copy), "MobileNetV3Small", (32, 32, 3))
        with h5py.File(copy, "r+") as file:
            for group in groups_of(file):
                group.attrs.pop("name", None)
        with pytest.raises(ValueError, match="it has no names of layers"):
            load(str(copy), "MobileNetV3Small", (32, 32, 3))
        copy.write_bytes(b"nothing")
        with pytest.raises(ValueError, match="it cannot be read"):
            load(str(copy), "MobileNetV3Small", (32, 32, 3))


def groups_of(file):
    found = []
    file.visititems(lambda _, each: found.append(each) if isinstance(each, h5py.Group) else None)
    return found


@pytest.mark.parametrize("name", KERAS_APPLICATIONS)
class TestApplications:
    def test_its_preprocessing_is_its_own(self, name):
        make = getattr(keras.applications, name)
        expected = sys.modules[make.__module__].preprocess_input(PIXELS.copy())
        mode = preprocessing_of(name)
        if mode == "inside":
            np.testing.assert_array_equal(expected, PIXELS)
            default = inspect.signature(make).parameters.get("include_preprocessing")
            # The first EfficientNets always include their preprocessing.
            assert name.startswith("EfficientNetB") or default.default is True
        else:
            layer = ImageNetPreprocessing(mode, dtype="float32")
            np.testing.assert_allclose(layer(PIXELS), expected, rtol=1e-6, atol=1e-5)

    def test_its_size_is_kerass_default_size(self, name):
        module = sys.modules[getattr(keras.applications, name).__module__]
        if name.startswith("MobileNetV3"):  # these take any size; their weights are for 224
            assert getattr(keras.applications, name)(weights=None).input_shape[1:3] == (None, None)
            assert image_size_of(name) == 224
            return

        class Asked(Exception):
            pass

        def obtain(input_shape, default_size, **rest):
            raise Asked(default_size)

        with (
            mock.patch.object(module.imagenet_utils, "obtain_input_shape", obtain),
            pytest.raises(Asked) as asked,
        ):
            getattr(keras.applications, name)(weights=None)
        assert image_size_of(name) == asked.value.args[0]


def test_sizes_of_files(tmp_path):
    for shape, size in (((20, 20, 3), 20), ((20, 24, 3), 0), ((None, None, 3), 0)):
        with_head(HEADS["dropout"], shape).save(tmp_path / "net.keras")
        assert image_size_of_net(str(tmp_path / "net.keras"), "") == size


class TestPairs:
    def test_a_light_net_that_branches_off_shares_trained_layers(self, tmp_path):
        """Shared batch normalization has one set of statistics, which moves once a step."""
        theirs = with_head(HEADS["dropout"])
        theirs.save(tmp_path / "net.keras")
        start = load(str(tmp_path / "net.keras"), "", SHAPE)
        light, booster = backbone_pair("", start, 4, SHAPE, "low_relu")
        assert light.get_layer("low_norm") is booster.get_layer("low_norm")
        assert [layer.name for layer in light.layers][-2:] == ["light_pool", "light_logits"]
        low = keras.Model(theirs.input, theirs.get_layer("low_relu").output)(PIXELS).numpy()
        kernel, bias = light.get_layer("light_logits").get_weights()
        np.testing.assert_allclose(
            light(PIXELS), low.mean((1, 2)) @ kernel + bias, rtol=1e-4, atol=1e-5
        )

    def test_both_from_one_file(self, tmp_path):
        with_head(HEADS["dropout"]).save(tmp_path / "net.keras")
        starts = [load(str(tmp_path / "net.keras"), "", SHAPE) for _ in range(2)]
        light, booster = backbone_pair(*starts, 7, SHAPE)
        np.testing.assert_array_equal(light(PIXELS), booster(PIXELS))
        assert light.get_layer("low") is not booster.get_layer("low")


class TestFreezing:
    def test_a_layer_and_everything_below_it(self):
        images = keras.Input((4, 4, 3))
        left = layers.Conv2D(2, 1, name="left")(images)
        right = layers.Conv2D(2, 1, name="right")(images)
        aside = layers.Conv2D(2, 1, name="aside")(left)
        both = layers.Add(name="both")([left, right])
        outputs = layers.Add(name="last")([layers.Conv2D(2, 1, name="top")(both), aside])
        net = keras.Model(images, outputs)
        assert {layer.name for layer in layers_until(net, "both")} == {"left", "right", "both"}
        assert {layer.name for layer in layers_until(net, "aside")} == {"left", "aside"}
        with pytest.raises(ValueError, match=r"no layer 'botth'; nearest by name: both"):
            layers_until(net, "botth")

    def test_frozen_and_thawed(self):
        net = with_head(HEADS["dropout"])
        frozen = layers_until(net, "low_relu")
        before = net.get_layer("low_norm").get_weights()
        set_frozen(frozen, True)
        assert len(net.trainable_variables) == 4
        low = keras.Model(net.input, net.get_layer("low_norm").output)
        np.testing.assert_array_equal(low(PIXELS, training=True), low(PIXELS, training=False))
        for old, new in zip(before, net.get_layer("low_norm").get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        set_frozen(frozen, False)
        assert len(net.trainable_variables) == 8
        low(PIXELS, training=True)
        assert np.abs(net.get_layer("low_norm").moving_mean - before[2]).max() > 1e-3
