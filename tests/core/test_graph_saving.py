"""Rockets that share layers inside wrappers, cells and nested models load, or are refused."""

import copy

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import Hint, RocketModel
from tests.core.test_graph import early_exit, logits, nets_of
from tests.nets import CROSS_ENTROPY, KERAS_3_12, examples, linear_pair

random = np.random.default_rng(0)


@keras.saving.register_keras_serializable("tests_graph")
class Reversed(layers.Layer):
    """Computes logits with the transpose of an embedding, so their weights are tied."""

    def __init__(self, embedding, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.embedding.embeddings))

    def get_config(self):
        embedding = keras.saving.serialize_keras_object(self.embedding)
        return {**super().get_config(), "embedding": embedding}

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config.pop("embedding"))
        return cls(embedding, **config)


@keras.saving.register_keras_serializable("tests_graph")
class Free(layers.Layer):
    """A layer that keeps a kernel that was assigned before it is built."""

    kernel = None

    def build(self, shape):
        if self.kernel is None:
            self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)


def frames():
    return keras.Input((4, 5), name="frames"), random.normal(size=(8, 4, 5)).astype("float32")


def in_time_distributed():
    inputs, x = frames()
    inner = layers.Dense(6, "relu", name="inner")
    light = layers.GlobalAveragePooling1D()(inner(inputs))
    booster = layers.Flatten()(layers.TimeDistributed(inner, name="each")(inputs))
    return nets_of(inputs, light, booster), x


def in_two_wrappers():
    inputs, x = frames()
    inner, nets = layers.Dense(6, "relu", name="inner"), []
    for role in ("light", "booster"):
        inputs = keras.Input((4, 5), name="frames")
        low = layers.Flatten()(layers.TimeDistributed(inner, name=f"{role}_each")(inputs))
        nets.append(keras.Model(inputs, logits(low, role), name=role))
    return nets, x


def in_spectral_normalization():
    inputs, x = frames()
    inner = layers.Dense(6, name="inner")
    wrapped = layers.SpectralNormalization(inner, name="wrapper")
    light, booster = inner(inputs[:, 0]), wrapped(inputs[:, 0])
    return nets_of(inputs, light, booster), x


def in_a_model_in_a_wrapper():
    inputs, x = frames()
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(6, name="inner")], name="row")
    light, booster = inner(inputs[:, 0]), layers.TimeDistributed(inner, name="each")(inputs)
    return nets_of(inputs, light, layers.Flatten()(booster)), x


def as_a_cell():
    inputs, x = frames()
    cell = layers.GRUCell(6, name="cell")
    light = layers.RNN(cell, name="forwards")(inputs)
    booster = layers.RNN(cell, go_backwards=True, name="backwards")(inputs)
    return nets_of(inputs, light, booster), x


def in_a_custom_layer():
    inputs, x = frames()
    embedding = layers.Embedding(3, 6, name="embedding")
    low = layers.Dense(6, name="low")(inputs[:, 0])
    used = embedding(keras.ops.cast(inputs[:, 0, 0] > 0, "int32"))
    light = keras.Model(inputs, Reversed(embedding, name="light_tied")(low), name="light")
    high = layers.Dense(9, "relu", name="high")(low)
    high = layers.Dense(6, name="higher")(high) + used
    booster = keras.Model(inputs, Reversed(embedding, name="booster_tied")(high), name="booster")
    return [light, booster], x


def in_one_net():
    """The booster holds the layer twice, by itself and in a wrapper."""
    inputs, x = frames()
    inner = layers.Dense(6, "relu", name="inner")
    each = layers.TimeDistributed(inner, name="each")(inputs)
    return nets_of(inputs, inputs[:, 0], layers.Flatten()(each + inner(inputs))), x


def within_nested_models():
    """Two backbones share a layer; the light net exits them early, the booster calls them whole."""
    inputs, low = keras.Input((5,), name="x"), layers.Dense(4, "tanh", name="low")
    exits, wholes = [], []
    for name in ("one", "two"):
        inner = keras.Input((5,))
        exit_ = layers.BatchNormalization(name=f"{name}_norm")(low(inner))
        whole = keras.Model(inner, layers.Dense(4, name=f"{name}_high")(exit_), name=name)
        exits.append(keras.Model(inner, exit_, name=f"{name}_exit")(inputs))
        wholes.append(whole(inputs))
    return nets_of(inputs, exits[0] + exits[1], wholes[0] * wholes[1]), examples(8)[0]


LOADABLE = [
    in_time_distributed,
    in_two_wrappers,
    in_spectral_normalization,
    in_a_model_in_a_wrapper,
    as_a_cell,
    in_a_custom_layer,
    in_one_net,
    within_nested_models,
    lambda: (early_exit("model"), random.normal(size=(8, 4)).astype("float32")),
    lambda: (early_exit("sequential"), random.normal(size=(8, 4)).astype("float32")),
    lambda: (early_exit("model in a model"), random.normal(size=(8, 4)).astype("float32")),
]


def check_equal(rocket, loaded, x):
    for kind in ("variables", "trainable_variables"):
        assert len(getattr(loaded, kind)) == len(getattr(rocket, kind))
    for role, expected in rocket(x).items():
        np.testing.assert_allclose(loaded(x)[role], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_step((x,)), rocket(x)["light"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", LOADABLE)
def test_a_loaded_rocket_is_equal_and_trains_on(make, tmp_path):
    nets, x = make()
    rocket = RocketModel(*nets)
    rocket.compile(keras.optimizers.SGD(0.05, momentum=0.9), CROSS_ENTROPY, run_eagerly=True)
    y = random.integers(0, 3, len(x))
    before = rocket(x)["booster"]
    rocket.fit(x, y, verbose=0)
    assert np.abs(rocket(x)["booster"] - before).max() > 1e-4
    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    check_equal(rocket, loaded, x)
    for model in (rocket, loaded):
        model.fit(x, y, shuffle=False, verbose=0)
    check_equal(rocket, loaded, x)


@pytest.mark.parametrize("make", [in_time_distributed, as_a_cell, within_nested_models])
def test_a_rocket_can_be_rebuilt_from_its_configuration(make):
    nets, x = make()
    rocket = RocketModel(*nets)
    for again in (RocketModel.from_config(rocket.get_config()), copy.deepcopy(rocket)):
        again.set_weights(rocket.get_weights())
        check_equal(rocket, again, x)


def test_a_teacher_that_holds_a_layer_twice(tmp_path):
    [_, teacher], x = in_one_net()
    inputs = keras.Input((4, 5), name="frames")
    light = keras.Model(inputs, logits(layers.Flatten()(inputs), "small"), name="light")
    rocket = RocketModel(light, hint=Hint("kd", follows="teacher"), teacher=teacher)
    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    assert len(loaded.teacher.variables) == len(teacher.variables)
    np.testing.assert_allclose(loaded.teacher(x), teacher(x), rtol=1e-5)


def test_the_configuration_has_object_ids_only_where_they_are_needed():
    """Object ids mark layers that several objects hold; without such layers there are none."""
    config = RocketModel(*linear_pair()).get_config()
    assert "shared_object_id" not in str(config)
    nets, _ = in_time_distributed()
    config = str(RocketModel(*nets).get_config())
    assert config.count("shared_object_id") == 2


class TestRefused:
    def test_a_layer_that_a_wrapper_creates_itself(self):
        inputs, _ = frames()
        both = layers.Bidirectional(layers.GRU(3, name="gru"), name="both")
        booster, light = both(inputs), both.forward_layer(inputs)
        with pytest.raises(ValueError, match=r"not be loaded again.*'forward_gru'\W+12 .* 16"):
            RocketModel(*nets_of(inputs, light, booster))

    def test_variables_of_another_layer(self):
        inputs = keras.Input((5,))
        one, other = Free(name="one"), Free(name="other")
        light = one(inputs)
        other.kernel = one.kernel
        booster = other(inputs)
        with pytest.raises(ValueError, match=r"not be loaded again.*'one', 'other'"):
            RocketModel(*nets_of(inputs, light, booster))

    @pytest.mark.skipif(KERAS_3_12, reason="fails when it is loaded, not when it is built")
    def test_a_nested_model_that_cannot_be_taken_apart(self):
        class Doubled(keras.Model):
            def call(self, inputs, training=None, mask=None):
                return 2 * super().call(inputs, training=training, mask=mask)

        low = layers.Dense(5, name="low")
        inputs, inner = keras.Input((5,)), keras.Input((5,))
        doubled = Doubled(inner, layers.Dense(5, name="high")(low(inner)), name="doubled")
        with pytest.raises(ValueError, match=r"not be loaded again.*'low'"):
            RocketModel(*nets_of(inputs, low(inputs), doubled(inputs)))

    def test_a_teacher(self):
        inputs, _ = frames()
        both = layers.Bidirectional(layers.GRU(3, name="gru"), name="both")
        low = layers.Concatenate()([both(inputs), both.forward_layer(inputs)])
        teacher = keras.Model(inputs, logits(low, "teacher"), name="teacher")
        light = keras.Model(inputs, logits(layers.Flatten()(inputs), "light"), name="light")
        with pytest.raises(ValueError, match="not be loaded again"):
            RocketModel(light, hint=Hint("kd", follows="teacher"), teacher=teacher)

    def test_a_layer_that_keras_cannot_save_is_refused_only_by_save(self, tmp_path):
        class Plain(layers.Layer):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def call(self, x):
                return self.inner(x)

        inputs, x = frames()
        inner = layers.Dense(6, name="inner")
        rocket = RocketModel(*nets_of(inputs, inner(inputs)[:, 0], Plain(inner)(inputs)[:, 1]))
        assert rocket(x)["light"].shape == (8, 3)
        with pytest.raises(NotImplementedError, match="get_config"):
            rocket.save(tmp_path / "rocket.keras")

    def test_building_a_rocket_draws_no_random_seed(self):
        seeds = []
        for make in (in_time_distributed, in_time_distributed):
            keras.utils.set_random_seed(3)
            nets, _ = make()
            if not seeds:
                RocketModel(*nets)
            seeds.append(layers.Dense(3)(np.ones((1, 3))).numpy())
        np.testing.assert_array_equal(*seeds)

    @pytest.mark.parametrize("clone_function", [None, lambda layer: layer])
    def test_clone_model(self, clone_function):
        rocket = RocketModel(*linear_pair())
        with pytest.raises(ValueError, match=r"clone_model .* RocketModel\.from_config"):
            keras.models.clone_model(rocket, clone_function=clone_function)
        assert keras.models.clone_model(rocket.light).count_params() == rocket.light.count_params()

    def test_clone_model_of_a_model_around_a_rocket(self):
        rocket = RocketModel(*linear_pair())
        inputs = keras.Input((5,))
        around = keras.Model(inputs, rocket(inputs)["light"])
        assert type(keras.models.clone_model(around).layers[1]) is RocketModel
        with pytest.raises(ValueError, match="clone_model"):
            keras.models.clone_model(around, recursive=True)

    @pytest.mark.parametrize("name", ["rocket.h5", "rocket.hdf5"])
    def test_the_old_file_format(self, name, tmp_path):
        rocket = RocketModel(*linear_pair())
        (tmp_path / name).write_text("what was there")
        for save in (rocket.save, lambda path: keras.saving.save_model(rocket, path)):
            with pytest.raises(ValueError, match=r"\.keras file.*rocket\.save\('rocket\.keras'\)"):
                save(tmp_path / name)
            if save == rocket.save:
                assert (tmp_path / name).read_text() == "what was there"

    def test_weights_alone_are_written(self, tmp_path):
        rocket, again = (RocketModel(*linear_pair()) for _ in range(2))
        rocket.save_weights(tmp_path / "rocket.weights.h5")
        again.load_weights(tmp_path / "rocket.weights.h5")
        x, _ = examples(4)
        np.testing.assert_array_equal(again(x)["light"], rocket(x)["light"])
