"""Each net computes in a rocket what it computes alone: shared calls, dropout, inputs, nesting."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from rocket_tf import Hint, RocketModel
from rocket_tf.core.calls import Calls
from rocket_tf.core.keras_internals import MASK
from tests.nets import CROSS_ENTROPY, KERAS_3_12

CLASSES = 3
INPUT_WITHOUT_USE = pytest.mark.skipif(KERAS_3_12, reason="no model with an input without use")
ABSENT_INPUTS = pytest.mark.skipif(KERAS_3_12, reason="a model is not called with None")
random = np.random.default_rng(0)


def logits(tensor, name):
    return layers.Dense(CLASSES, name=f"{name}_logits")(tensor)


def nets_of(inputs, light, booster):
    """Two nets, each with its own head on one of the tensors."""
    return [
        keras.Model(inputs, logits(tensor, role), name=role)
        for role, tensor in (("light", light), ("booster", booster))
    ]


def check(rocket, x, of_light=None, of_booster=None, **arguments):
    """Compares a rocket's logits with the logits of its nets alone."""
    joint = rocket(x, **arguments)
    for role, data in (("light", of_light), ("booster", of_booster)):
        alone = getattr(rocket, role)(x if data is None else data, **arguments)
        np.testing.assert_allclose(joint[role], alone, rtol=1e-5, atol=1e-6, err_msg=role)


def calls_of(rocket, name):
    """The number of times that a rocket calls a layer."""
    called = []
    layer, call = rocket.get_layer(name), rocket.get_layer(name).call
    layer.call = lambda *args, **kwargs: called.append(name) or call(*args, **kwargs)
    try:
        inputs = keras.tree.map_structure(
            lambda t: np.ones((2, *t.shape[1:]), t.dtype), rocket.input
        )
        rocket(inputs)
    finally:
        layer.call = call
    return len(called)


@keras.saving.register_keras_serializable("tests_graph")
class Scaled(layers.Layer):
    """A layer whose call takes many arguments."""

    def build(self, shape, *_):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x, other=None, double=False, negate=False, factors=None, how=("plain", 1)):
        x = x * self.scale * (2 if double else 1) * (-1 if negate else 1) * how[1]
        x = x if factors is None else x * ops.convert_to_tensor(factors, x.dtype)
        return x if other is None else x - other


PAIRS = {
    "values under other names": ({"double": True}, {"negate": True}),
    "values that equal each other but in type": ({"how": ("plain", 1)}, {"how": ("plain", 1.0)}),
    "values in a tuple": ({"how": ("plain", 1)}, {"how": ("plain", 3)}),
    "arrays": ({"factors": np.array([1.0, 2.0])}, {"factors": np.array([1.0, 3.0])}),
    "arrays as lists": ({"factors": [1.0, 2.0]}, {"factors": [2.0, 1.0]}),
    "a tensor or none": ({"other": "low"}, {}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_a_shared_layer_with_other_arguments_runs_twice(case):
    inputs = keras.Input((2,))
    low, layer = layers.Dense(2)(inputs), Scaled(name="scaled")

    def call(arguments):
        arguments = {
            key: low if isinstance(value, str) else value for key, value in arguments.items()
        }
        return layer(inputs, **arguments)

    rocket = RocketModel(*nets_of(inputs, *map(call, PAIRS[case])))
    check(rocket, random.normal(size=(4, 2)).astype("float32"))
    assert calls_of(rocket, "scaled") == 2


@pytest.mark.parametrize(
    "mine, theirs",
    [
        (((), {"double": True}), ((), {"double": True})),
        (((), {"factors": np.array([1.0, 2.0])}), ((), {"factors": np.array([1.0, 2.0])})),
        ((("low",), {}), ((), {"other": "low"})),
    ],
    ids=["values", "arrays", "by position and by name"],
)
def test_a_shared_layer_with_equal_arguments_runs_once(mine, theirs):
    inputs = keras.Input((2,))
    low, layer = layers.Dense(2)(inputs), Scaled(name="scaled")

    def call(arguments):
        args, kwargs = arguments
        kwargs = {key: low if isinstance(value, str) else value for key, value in kwargs.items()}
        return layer(inputs, *[low for _ in args], **kwargs)

    rocket = RocketModel(*nets_of(inputs, call(mine), call(theirs)))
    check(rocket, random.normal(size=(4, 2)).astype("float32"))
    assert calls_of(rocket, "scaled") == 1


@pytest.mark.parametrize(
    "mine, theirs",
    [
        ({"query_mask": "mask"}, {"key_mask": "mask"}),
        pytest.param({"use_causal_mask": True}, {"training": True}, marks=INPUT_WITHOUT_USE),
        pytest.param({"use_causal_mask": True}, {}, marks=INPUT_WITHOUT_USE),
    ],
)
def test_attention_with_other_masks(mine, theirs):
    inputs = [keras.Input((5, 4), name="tokens"), keras.Input((5,), dtype="bool", name="mask")]
    attention = layers.MultiHeadAttention(1, 4, name="attention")

    def attend(arguments):
        arguments = {
            key: inputs[1] if value == "mask" else value for key, value in arguments.items()
        }
        return attention(inputs[0], inputs[0], **arguments)

    x = [random.normal(size=(2, 5, 4)).astype("float32"), random.random((2, 5)) > 0.4]
    check(RocketModel(*nets_of(inputs, attend(mine), attend(theirs))), x)


def two_draws(share_graph):
    """A light net that draws dropout once, and a booster that adds two draws of the same layer."""
    drop = layers.Dropout(0.5, seed=1, name="drop")
    inputs = keras.Input((40,), name="x")
    first, second = drop(inputs), drop(inputs)
    booster = keras.Model(inputs, first + 10 * second, name="booster")
    if not share_graph:
        inputs = keras.Input((40,), name="x")
        second = drop(inputs)
    return keras.Model(inputs, layers.Identity(name="same")(second), name="light"), booster


@pytest.mark.parametrize("share_graph", [True, False])
def test_two_calls_of_a_random_layer_stay_two_draws(share_graph):
    rocket = RocketModel(*two_draws(share_graph))
    x = np.ones((8, 40), "float32")
    joint = rocket(x, training=True)
    one, both = joint["light"].numpy(), joint["booster"].numpy()
    assert set(np.unique(one)) == {0, 2}
    assert set(np.unique(both)) == {0, 2, 20, 22}
    # In a shared graph the light net's draw is the booster's second one, otherwise the first.
    drawn = both >= 20 if share_graph else both % 20 > 0
    np.testing.assert_array_equal(one > 0, drawn)


def test_a_net_draws_in_a_rocket_what_it_draws_alone():
    _, booster = two_draws(share_graph=True)
    light = keras.Sequential([keras.Input((40,), name="x"), layers.Dense(40)], name="light")
    rocket = RocketModel(light, booster)
    x, state = np.ones((8, 40), "float32"), booster.get_layer("drop").seed_generator.state
    before = state.numpy()
    joint = rocket(x, training=True)["booster"]
    state.assign(before)
    np.testing.assert_array_equal(joint, booster(x, training=True))


@pytest.mark.parametrize("attends", ["light", "booster"])
@pytest.mark.parametrize("table", ["embedding", "masking"])
def test_attention_of_one_net_leaves_the_other_its_masks(attends, table, tmp_path):
    """Keras's attention removes the mask from the tensors that it reads."""
    if table == "embedding":
        inputs = keras.Input((5,), dtype="int32", name="words")
        low = layers.Embedding(7, 4, mask_zero=True, name="table")(inputs)
        x = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]])
        mask = x > 0
    else:
        inputs = keras.Input((5, 4), name="frames")
        low = layers.Masking(name="table")(inputs)
        x = random.normal(size=(2, 5, 4)).astype("float32")
        x[0, 3:] = 0
        mask = np.any(x != 0, axis=-1)
    attended = layers.MultiHeadAttention(1, 4, name="attention")(
        layers.Dropout(0.5, name="dropout")(low), low, use_causal_mask=True
    )
    one, other = (low, attended) if attends == "booster" else (attended, low)
    rocket = RocketModel(*nets_of(inputs, one, other))
    check(rocket, x)
    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    for model in (rocket, loaded, RocketModel.from_config(loaded.get_config())):
        for training in (True, False):
            joint = model(x, training=training)
            for role in ("light", "booster"):
                alone = getattr(model, role)(x, training=training)
                assert getattr(alone, MASK, None) is not None
                np.testing.assert_array_equal(getattr(joint[role], MASK, None), mask, err_msg=role)
    rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY, run_eagerly=True)
    y = random.integers(0, CLASSES, (2, 5))
    logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
    for role in ("light", "booster"):
        net = keras.Model(inputs, getattr(rocket, role).output)
        net.compile(loss=CROSS_ENTROPY, run_eagerly=True)
        expected = net.evaluate(x, y, verbose=0)
        np.testing.assert_allclose(logs[f"{role}_loss"], expected, rtol=1e-5, err_msg=role)


def test_one_attention_in_both_nets():
    """Equal calls run once; of two different calls on a masked tensor, one would lose the mask."""
    inputs = keras.Input((5,), dtype="int32", name="words")
    low = layers.Embedding(7, 4, mask_zero=True, name="table")(inputs)
    attention = layers.MultiHeadAttention(1, 4, name="attention")
    one, other = (attention(low, low, use_causal_mask=causal) for causal in (False, True))
    with pytest.raises(
        ValueError, match=r"takes the mask .*'attention', which booster and another"
    ):
        RocketModel(*nets_of(inputs, one, other))
    check(RocketModel(*nets_of(inputs, one, one)), np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]]))
    plain = keras.Input((5, 4), name="frames")  # without a mask there is nothing to lose
    one, other = (attention(plain, plain, use_causal_mask=causal) for causal in (False, True))
    frames = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    check(RocketModel(*nets_of(plain, one, other)), frames)


def test_functions_between_shared_layers_run_once():
    """The nets are built separately, yet the shared normalization updates its statistics once."""
    low, norm = layers.Dense(4, name="low"), layers.BatchNormalization(momentum=0.5, name="norm")
    nets = []
    for role in ("light", "booster"):
        inputs = keras.Input((4,), name="x")
        between = ops.relu(low(inputs)) * 2.0
        nets.append(keras.Model(inputs, logits(norm(between[:, :3]), role), name=role))
    rocket = RocketModel(*nets)
    assert calls_of(rocket, "norm") == 1
    x = random.normal(size=(8, 4)).astype("float32")
    rocket(x, training=True)
    seen = 2 * np.maximum(x @ low.kernel.numpy(), 0)[:, :3]
    np.testing.assert_allclose(norm.moving_mean, 0.5 * seen.mean(0), rtol=1e-5)
    check(rocket, x)


def test_functions_with_other_arguments_run_apart():
    low = layers.Dense(4, name="low")
    nets = []
    for role, axis, power in (("light", 1, 2.0), ("booster", 2, 3.0)):
        inputs = keras.Input((4, 4), name="x")
        between = ops.mean(ops.power(low(inputs), power), axis=axis)
        nets.append(keras.Model(inputs, logits(between, role), name=role))
    check(RocketModel(*nets), random.normal(size=(3, 4, 4)).astype("float32"))


class TestInputs:
    X = {"price": 10 + random.normal(size=(6, 2)), "age": random.normal(size=(6, 2))}
    Y = random.integers(0, CLASSES, 6)

    def nets(self, share, container=list, anew=False, width=2):
        """Nets whose light net lists its inputs in reverse; `width` is that of the second input."""
        shared = layers.Dense(4, name="low")
        nets, inputs = [], None
        for role in ("light", "booster", "teacher"):
            if inputs is None or anew:
                inputs = keras.Input((2,), name="price"), keras.Input((width,), name="age")
            is_shared = share and role != "teacher"
            low = (shared if is_shared else layers.Dense(4, name=f"{role}_low"))(inputs[0])
            tensors = dict(zip(("price", "age"), inputs, strict=True))
            if role == "light":
                tensors = dict(reversed(tensors.items()))
            inputs_of = tensors if container is dict else container(tensors.values())
            joined = layers.Concatenate(name=f"{role}_join")([low, inputs[1]])
            nets.append(keras.Model(inputs_of, logits(joined, role), name=role))
        return nets

    def given(self, net, x):
        return x if isinstance(net.input, dict) else [x[tensor.name] for tensor in net.inputs]

    @pytest.mark.parametrize("container", [list, tuple, dict])
    @pytest.mark.parametrize("share", [True, False])
    @pytest.mark.parametrize("anew", [True, False])
    def test_they_are_joined_by_name(self, container, share, anew):
        light, booster, teacher = self.nets(share, container, anew)
        follows_teacher = Hint("logits_mse", 1.0, follows="teacher")
        rocket = RocketModel(
            light, booster, hint=[Hint("logits_mse"), follows_teacher], teacher=teacher
        )
        rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY, run_eagerly=True)
        alone = {
            net.name: net(self.given(net, self.X)).numpy() for net in (light, booster, teacher)
        }
        expected = {
            "hint_loss": np.sum((alone["light"] - alone["booster"]) ** 2, -1).mean(),
            "teacher_loss": np.sum((alone["light"] - alone["teacher"]) ** 2, -1).mean(),
        }
        for x in (self.X, self.given(rocket, self.X)):
            for role, value in rocket(x).items():
                np.testing.assert_allclose(value, alone[role], rtol=1e-4, atol=1e-5)
            predicted = rocket.predict(x, verbose=0)
            np.testing.assert_allclose(predicted, alone["light"], rtol=1e-4, atol=1e-5)
            logs = rocket.evaluate(x, self.Y, return_dict=True, verbose=0)
            history = rocket.fit(x, self.Y, verbose=0).history
            for name, value in expected.items():
                np.testing.assert_allclose(logs[name], value, rtol=1e-4, err_msg=name)
                np.testing.assert_allclose(history[name], value, rtol=1e-4, err_msg=name)
        names = [tensor.name for tensor in rocket.inputs]
        assert names == [tensor.name for tensor in booster.inputs]

    @pytest.mark.parametrize("share", [True, False])
    def test_lists_in_another_order_with_different_shapes(self, share, tmp_path):
        light, booster, _ = self.nets(share, width=3)
        x = {"price": self.X["price"], "age": random.normal(size=(6, 3))}
        rocket = RocketModel(light, booster)
        check(rocket, x)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        expected = light(self.given(light, x))
        np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)

    def test_other_names_are_joined_by_position(self):
        shared = layers.Dense(4)
        nets = []
        for role in ("light", "booster"):
            inputs = [keras.Input((2,)), keras.Input((2,))]
            nets.append(keras.Model(inputs, logits(shared(inputs[0]) - inputs[1][:, :1], role)))
        check(RocketModel(*nets), [self.X["price"], self.X["age"]])

    def test_names_in_common_at_different_positions_are_refused(self):
        nets = []
        for role, names in (("light", ["price", "age"]), ("booster", ["zoom", "price"])):
            inputs = [keras.Input((2,), name=name) for name in names]
            nets.append(keras.Model(inputs, logits(layers.Subtract()(inputs), role), name=role))
        with pytest.raises(ValueError, match=r"names at different positions.*'zoom', 'price'"):
            RocketModel(*nets)


def sparse_nets(share=True, flags=({"sparse": True}, {"sparse": True})):
    low, nets = layers.Dense(4, name="low"), []
    for role, own in zip(("light", "booster"), flags, strict=True):
        inputs = keras.Input((9,), name="words", **own)
        layer = low if share else layers.Dense(4, name=f"{role}_low")
        nets.append(keras.Model(inputs, logits(layer(inputs), role), name=role))
    return nets


class TestFlagsOfInputs:
    @pytest.mark.parametrize("share", [True, False])
    def test_sparse(self, share, tmp_path):
        rocket = RocketModel(*sparse_nets(share))
        assert rocket.input.sparse
        dense = (random.random((4, 9)) > 0.7).astype("float32")
        x, y = tf.sparse.from_dense(dense), tf.constant([0, 1, 2, 0])
        check(rocket, x)
        rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
        before = rocket.get_weights()
        losses = rocket.fit(tf.data.Dataset.from_tensors((x, y)), verbose=0).history
        after = rocket.get_weights()
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.input.sparse
        np.testing.assert_allclose(loaded(x)["light"], rocket(x)["light"], rtol=1e-6)
        rocket.set_weights(before)
        again = RocketModel(*sparse_nets(share, flags=({}, {})))
        again.set_weights(before)
        again.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
        expected = again.fit(tf.data.Dataset.from_tensors((dense, y)), verbose=0).history
        np.testing.assert_allclose(losses["loss"], expected["loss"], rtol=1e-5)
        for mine, theirs in zip(after, again.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)

    def test_sparse_on_two_replicas(self, two_replicas):
        dense = (random.random((7, 9)) > 0.7).astype("float32")
        y = np.array([0, 1, 2, 0, 1, 2, 2])
        one = RocketModel(*sparse_nets())
        with two_replicas.scope():
            two = RocketModel(*sparse_nets())
        two.set_weights(one.get_weights())
        histories = []
        for rocket in (one, two):  # the last batch is smaller
            data = tf.data.Dataset.from_tensor_slices((tf.sparse.from_dense(dense), y)).batch(4)
            with rocket.distribute_strategy.scope():
                rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
            histories.append(rocket.fit(data, verbose=0).history)
        for name, values in histories[0].items():
            np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, err_msg=name)
        for mine, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("share", [True, False])
    def test_sparse_and_dense_are_refused(self, share):
        with pytest.raises(ValueError, match=r"the same structure, shape and dtype.*'sparse'"):
            RocketModel(*sparse_nets(share, flags=({"sparse": True}, {})))

    def test_ragged(self):
        class Mean(layers.Layer):
            def call(self, x):
                return tf.reduce_mean(x, axis=1)

            def compute_output_shape(self, shape):
                return shape[0], shape[-1]

        inputs = keras.Input((None, 2), ragged=True, name="visits")
        low = layers.Dense(4, name="low")(Mean()(inputs))
        rocket = RocketModel(*nets_of(inputs, low, layers.Dense(8)(low)))
        assert rocket.input.ragged
        visits = random.normal(size=(6, 2)).astype("float32")
        x = tf.RaggedTensor.from_row_lengths(visits, [1, 2, 3])
        check(rocket, x)
        means = np.stack([visits[:1].mean(0), visits[1:3].mean(0), visits[3:].mean(0)])
        [shared] = [layer for layer in rocket.layers if layer.name == "low"]
        head = rocket.light.layers[-1]
        expected = (means @ shared.kernel.numpy()) @ head.kernel.numpy()
        np.testing.assert_allclose(rocket(x)["light"], expected, rtol=1e-4, atol=1e-5)

    @ABSENT_INPUTS
    @pytest.mark.parametrize("share", [True, False])
    def test_optional(self, share, tmp_path):
        scaled, nets = Scaled(name="scaled"), []
        for role in ("light", "booster"):
            inputs = {"x": keras.Input((2,), name="x")}
            inputs["more"] = keras.Input((2,), name="more", optional=True)
            layer = scaled if share else Scaled(name=f"{role}_scaled")
            low = layer(inputs["x"], other=inputs["more"])
            nets.append(keras.Model(inputs, logits(low, role), name=role))
        rocket = RocketModel(*nets)
        x = random.normal(size=(4, 2)).astype("float32")
        for data in ({"x": x, "more": None}, {"x": x, "more": x}):
            check(rocket, data)
            expected = nets[0](data)
            np.testing.assert_allclose(rocket.predict(data, verbose=0), expected, rtol=1e-5)
        np.testing.assert_array_equal(rocket({"x": x, "more": x})["light"], 0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        data = {"x": x, "more": None}
        np.testing.assert_allclose(loaded(data)["light"], rocket(data)["light"], rtol=1e-6)

    @ABSENT_INPUTS
    def test_an_input_that_one_net_needs_is_not_optional(self):
        nets = []
        for role in ("light", "booster"):
            inputs = keras.Input((2,), name="x", optional=role == "light")
            nets.append(keras.Model(inputs, logits(inputs, role), name=role))
        with pytest.raises(ValueError, match="not optional"):
            RocketModel(*nets)(None)


class TestOneNet:
    def net(self, name="net"):
        inputs = keras.Input((4,), name="x")
        return keras.Model(inputs, logits(inputs, name), name=name)

    def test_as_both_is_refused(self):
        net = self.net()
        with pytest.raises(ValueError, match=r"must be two nets.*light='net'"):
            RocketModel(net, net)

    def test_as_both_under_two_names_is_refused(self):
        net = self.net()
        again = keras.Input((4,), name="y")
        other = keras.Model(again, net.layers[-1](again), name="other")
        with pytest.raises(ValueError, match=r"must be two nets.*booster='other'"):
            RocketModel(net, other)

    def test_one_sequential_net_as_both_is_refused(self):
        net = keras.Sequential([keras.Input((4,)), layers.Dense(CLASSES)])
        with pytest.raises(ValueError, match="must be two nets"):
            RocketModel(net, net)

    def test_a_light_net_within_its_booster(self):
        """The booster adds a correction to the light net's logits; the light net runs once."""
        light = self.net("light")
        inputs = keras.Input((4,), name="x")
        more = layers.Dense(8, "relu", name="more")(inputs)
        booster = keras.Model(inputs, light(inputs) + logits(more, "booster"), name="booster")
        rocket = RocketModel(light, booster)
        assert calls_of(rocket, "light_logits") == 1
        check(rocket, random.normal(size=(5, 4)).astype("float32"))

    @pytest.mark.parametrize("base", [keras.Model, keras.Sequential])
    def test_a_net_with_a_call_of_its_own_is_refused(self, base):
        class Doubled(base):
            def call(self, inputs, training=None, mask=None):
                return 2 * super().call(inputs, training=training, mask=mask)

        if base is keras.Sequential:
            doubled = Doubled([keras.Input((4,)), layers.Dense(CLASSES)])
        else:
            net = self.net()
            doubled = Doubled(net.inputs[0], net.outputs[0])
        with pytest.raises(ValueError, match=r"booster.*Doubled, which overrides call"):
            RocketModel(self.net("light"), doubled)


def early_exit(kind="model", momentum=0.5, calls=1):
    """A light net that exits a backbone early, and a booster that calls the whole backbone."""
    first = layers.Dense(4, "tanh", name="first")
    norm = layers.BatchNormalization(momentum=momentum, name="norm")
    if kind == "sequential":
        backbone = keras.Sequential(
            [keras.Input((4,)), first, norm, layers.Dense(4, name="second")], name="backbone"
        )
        inputs = keras.Input((4,), name="x")
        low = norm(first(inputs))
    else:
        inputs = keras.Input((4,), name="x")
        low = norm(first(inputs))
        backbone = keras.Model(inputs, layers.Dense(4, name="second")(low), name="backbone")
        if kind == "model in a model":
            middle = keras.Input((4,))
            backbone = keras.Model(middle, backbone(middle), name="outer")
    again = keras.Input((4,), name="x")
    high = backbone(again)
    for _ in range(calls - 1):
        high = high + backbone(again)
    light = keras.Model(inputs, logits(low, "light"), name="light")
    return light, keras.Model(again, logits(high, "booster"), name="booster")


class TestNestedModels:
    X = random.normal(size=(8, 4)).astype("float32")

    @pytest.mark.parametrize("kind", ["model", "sequential", "model in a model"])
    def test_layers_that_are_shared_with_their_inside_run_once(self, kind):
        rocket = RocketModel(*early_exit(kind))
        assert calls_of(rocket, "first") == 1
        check(rocket, self.X)
        first, norm = rocket.get_layer("first"), rocket.get_layer("norm")
        rocket(self.X, training=True)
        seen = np.tanh(self.X.astype(np.float64) @ first.kernel.numpy())
        np.testing.assert_allclose(norm.moving_mean, 0.5 * seen.mean(0), rtol=1e-4)

    def test_two_calls_stay_two(self):
        rocket = RocketModel(*early_exit(calls=2))
        assert calls_of(rocket, "first") == 2
        check(rocket, self.X)
        check(rocket, self.X, training=True)

    def test_a_model_that_both_call_stays_whole(self):
        light, _ = early_exit()
        inputs = keras.Input((4,), name="x")
        nets = nets_of(inputs, light(inputs), layers.Dense(8)(light(inputs)))
        rocket = RocketModel(*nets)
        assert light in rocket.layers
        assert calls_of(rocket, "light") == 1
        check(rocket, self.X)

    def test_a_hint_can_read_the_output_of_one(self):
        light, booster = early_exit()
        hint = Hint("cosine", layers={"first": "backbone"}, name="low_hint")
        rocket = RocketModel(light, booster, hint=[hint])
        rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY, run_eagerly=True)
        logs = rocket.evaluate(self.X, np.zeros(8, int), return_dict=True, verbose=0)
        low = np.tanh(self.X.astype(np.float64) @ rocket.get_layer("first").kernel.numpy())
        high = booster.get_layer("backbone")(self.X).numpy()
        lengths = np.linalg.norm(low, axis=-1) * np.linalg.norm(high, axis=-1)
        expected = np.mean(1 - (low * high).sum(-1) / lengths)
        np.testing.assert_allclose(logs["low_hint"], expected, rtol=1e-4)

    @pytest.mark.parametrize("training", [True, False])
    def test_they_pass_on_the_training_argument(self, training):
        light, booster = early_exit(momentum=1.0)
        inputs = keras.Input((4,), name="x")
        backbone = booster.get_layer("backbone")
        booster = keras.Model(
            inputs, logits(backbone(inputs, training=True), "booster"), name="booster"
        )
        rocket = RocketModel(light, booster)
        check(rocket, self.X, training=training)

    @pytest.mark.parametrize("as_dict", [True, False])
    def test_with_several_inputs(self, as_dict):
        low = layers.Dense(4, name="low")
        inner = [keras.Input((4,), name="one"), keras.Input((4,), name="two")]
        backbone = keras.Model(inner, low(inner[0]) - 2 * inner[1], name="backbone")
        inputs = keras.Input((4,), name="x")
        given = [inputs, inputs * inputs]
        given = {"two": given[1], "one": given[0]} if as_dict else given
        rocket = RocketModel(*nets_of(inputs, low(inputs), backbone(given)))
        assert calls_of(rocket, "low") == 1
        check(rocket, self.X)

    def test_they_receive_masks(self):
        embedding = layers.Embedding(5, 4, mask_zero=True, name="embedding")
        gru = layers.GRU(4, name="gru")
        inner = keras.Input((6, 4))
        backbone = keras.Model(inner, layers.Dense(4)(gru(inner)), name="backbone")
        inputs = keras.Input((6,), dtype="int32", name="words")
        words = embedding(inputs)
        rocket = RocketModel(*nets_of(inputs, gru(words), backbone(words)))
        assert calls_of(rocket, "gru") == 1
        check(rocket, np.array([[1, 2, 0, 0, 0, 0], [3, 4, 1, 2, 2, 0]]))


def test_equal_calls_are_matched_by_the_call_itself():
    """The booster makes two equal calls; it reuses only the one that the light net makes too."""
    inputs = keras.Input((2,))
    low = layers.Dense(2, name="low")
    first, second = low(inputs), low(inputs)
    nets = [keras.Model(inputs, second), keras.Model(inputs, [first, second])]
    calls, given = Calls(), keras.Input((2,))
    [mine] = calls.repeat("light", nets[0], [given])
    theirs = calls.repeat("booster", nets[1], [given])
    assert theirs[1] is mine and theirs[0] is not mine
