"""Random pairs of nets: shared layers and models, wrappers, masks, several inputs, noise."""

import dataclasses

import keras
import numpy as np
from keras import layers, ops

from rocket_tf.core.calls import as_plain, calls_of_graph

WIDTH, STEPS, WORDS, CLASSES = 4, 5, 7, 3
NAMES = ("price", "age", "zoom", "area")


@keras.saving.register_keras_serializable("tests")
class Flagged(layers.Layer):
    """A layer with keyword arguments, each of which changes its result."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal")

    def call(self, x, other=None, double=False, negate=False, power=1.0):
        x = x * self.scale + 0.1 * power
        x = x if other is None else x + 0.3 * other
        x = 2 * x if double else x
        return -x if negate else x


@keras.saving.register_keras_serializable("tests")
class Rough(layers.Layer):
    """Adds noise in training; the noise is a function of the input."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, training=False):
        return x + 0.5 * ops.sin(40 * x) if training else x


@dataclasses.dataclass
class Pair:
    """Two nets, and facts about them.

    Attributes:
        called_once: batch normalizations that each net containing them calls once, on the same
            tensor.
        features: set of words that describe the nets' parts.
    """

    light: keras.Model
    booster: keras.Model
    called_once: list
    features: set


class Maker:
    """Makes a pair of nets from a seed."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.called_once, self.features = [], set()
        self.count = 0
        self.by_position = self.chance(0.2)  # whether logits are per position, with a mask
        self.names = [str(name) for name in self.random.permutation(NAMES)]
        self.names = self.names[: self.random.integers(1, 4)]
        self.kinds = {name: self.pick(["vector", "sequence", "words"]) for name in self.names}
        if self.by_position:
            self.kinds[self.names[0]] = self.pick(["sequence", "words"])
        self.embedding = layers.Embedding(WORDS, WIDTH, mask_zero=True, name="words_embedding")
        self.pool = [self.layer(kind) for kind in ("dense", "norm", "flagged", "rough")]
        self.pool += [layers.GRU(WIDTH, return_sequences=True, name=self.name("gru"))]
        self.attention = layers.MultiHeadAttention(1, 2, name=self.name("attention"))
        self.pool += [self.attention]
        self.models = [self.model() for _ in range(self.random.integers(0, 3))]
        self.pool += [model for model, _, _ in self.models]
        if self.chance(0.4):
            self.pool.append(self.wrapper(self.pool[0]))
        if self.chance(0.2) and self.models:
            self.pool.append(self.wrapper(self.models[0][0]))

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, choices):
        return choices[self.random.integers(len(choices))]

    def name(self, kind):
        self.count += 1
        return f"{kind}_{self.count}"

    def layer(self, kind):
        name = self.name(kind)
        if kind == "dense":
            return layers.Dense(WIDTH, "tanh", name=name)
        if kind == "norm":
            return layers.BatchNormalization(name=name)
        if kind == "dropout":
            self.features.add("dropout")
            return layers.Dropout(0.4, seed=self.count, name=name)
        return {"flagged": Flagged, "rough": Rough}[kind](name=name)

    def wrapper(self, layer):
        self.features.add("wrapper")
        return layers.TimeDistributed(layer, name=self.name("each"))

    def model(self):
        """A model that reads a vector, with its input and one of its inner tensors."""
        self.features.add("nested model")
        inputs = keras.Input((WIDTH,), name=self.name("inner"))
        inner = self.pick([*self.pool[:1], self.layer("dense")])(inputs)
        low = self.layer("rough")(inner)
        if self.chance(0.5):
            low = self.layer("norm")(low)
        outputs = self.layer("dense")(low + inner)
        if self.chance(0.3):
            net = keras.Sequential(
                [keras.Input((WIDTH,)), self.pool[0], self.layer("dense")], name=self.name("row")
            )
            first = calls_of_graph(as_plain(net))[0]
            return net, net.inputs[0], first.outputs[0]
        return keras.Model(inputs, outputs, name=self.name("model")), inputs, low

    def step(self, fresh):
        """A function that computes a new tensor from those so far, in the same way each time."""
        kind = self.pick(["layer"] * 3 + ["pool"] * 4 + ["ops"] * 2)
        if kind == "ops":
            choice, (one, two) = self.random.integers(3), self.random.random(2)
            return lambda state: self.operate(choice, one, two, state)
        if kind == "layer":
            kinds = ["dense", "norm", "flagged", "rough", "dropout"]
            layer = self.layer(self.pick(kinds if fresh else kinds[:4]))
            if isinstance(layer, layers.BatchNormalization):
                self.called_once.append(layer)
        else:
            layer = self.pick(self.pool)
        one, two = self.random.random(2)
        flags = self.pick(
            [{}, {"double": True}, {"negate": True}, {"power": 2.0}, {"power": 3.0}, {"other": two}]
        )
        masks = self.pick(
            [{}, {"use_causal_mask": True}, {"use_causal_mask": False}, {"query": 1}, {"key": 1}]
        )
        return lambda state: self.call(layer, one, two, flags, masks, state)

    def operate(self, choice, one, two, state):
        first = of(state, one)
        if choice == 0:
            return ops.tanh(first)
        if choice == 1:
            return first * 0.5 + 1.0
        return first + of([each for each in state if len(each.shape) == len(first.shape)], two)

    def call(self, layer, one, two, flags, masks, state):
        sequences = [each for each in state if len(each.shape) == 3]
        vectors = [each for each in state if len(each.shape) == 2]
        if isinstance(layer, layers.GRU | layers.TimeDistributed | layers.MultiHeadAttention):
            if not sequences:
                return ops.relu(vectors[0])
            first = of(sequences, one)
            if not isinstance(layer, layers.MultiHeadAttention):
                return layer(first)
            self.features.add("attention")
            if "query" in masks or "key" in masks:
                [name] = masks
                masks = {f"{name}_mask": ops.greater(first[:, :, 0], 0.0)}
            return layer(first, of(sequences, two), **masks)
        if isinstance(layer, keras.Model):
            first = of(vectors or [layers.GlobalMaxPooling1D()(sequences[0])], one)
            return layer(first)
        first = of(state, one)
        if isinstance(layer, layers.BatchNormalization) and layer.built:
            rank = layer.input_spec.ndim
            if len(first.shape) != rank:
                first = of([each for each in state if len(each.shape) == rank], one)
        if isinstance(layer, Flagged):
            others = [each for each in state if each.shape == first.shape]
            flags = {"other": of(others, two)} if "other" in flags else flags
            return layer(first, **flags)
        return layer(first)

    def inputs(self):
        return {
            name: keras.Input((STEPS,), dtype="int32", name=name)
            if kind == "words"
            else keras.Input((WIDTH,) if kind == "vector" else (STEPS, WIDTH), name=name)
            for name, kind in self.kinds.items()
        }

    def start(self, inputs):
        return [
            self.embedding(tensor) if self.kinds[name] == "words" else tensor
            for name, tensor in inputs.items()
        ]

    def head(self, role, state):
        if self.by_position:
            last = [each for each in state if len(each.shape) == 3][-1]
            return layers.Dense(CLASSES, name=f"{role}_logits")(last)
        pooled = [
            layers.GlobalAveragePooling1D(name=f"{role}_pool_{place}")(each)
            if len(each.shape) == 3
            else each
            for place, each in enumerate(state[-4:])
        ]
        joined = layers.Concatenate(name=f"{role}_join")(pooled) if len(pooled) > 1 else pooled[0]
        return layers.Dense(CLASSES, name=f"{role}_logits")(joined)

    def pair(self):
        prefix = [self.step(fresh=True) for _ in range(self.random.integers(0, 5))]
        as_dict, over_one_input = self.chance(0.4), self.chance(0.5)
        self.features |= {"dict"} if as_dict else set()
        self.features |= {"one Input"} if over_one_input else set()
        made, inputs = [], None
        for role in ("light", "booster"):
            if inputs is None or not over_one_input:
                inputs = self.inputs()
                state = self.start(inputs)
            reuses = over_one_input and role == "booster" and self.chance(0.5)
            if not reuses:
                state = self.start(inputs)
                for step in prefix:
                    state.append(step(state))
                common = list(state)
            state = list(common)
            for _ in range(self.random.integers(1, 6)):
                state.append(self.step(fresh=True)(state))
            state += self.early_exit(inputs, role)
            order = [str(name) for name in self.random.permutation(self.names)]
            own = {name: inputs[name] for name in order}
            own = own if as_dict else list(own.values())
            own = own[0] if isinstance(own, list) and len(own) == 1 else own
            made.append(keras.Model(own, self.head(role, state), name=role))
        return Pair(*made, self.called_once, self.features)

    def early_exit(self, inputs, role):
        """A nested model's inner tensor, recomputed from a net's own inputs."""
        vectors = [name for name, kind in self.kinds.items() if kind == "vector"]
        if not self.models or not vectors or self.by_position or not self.chance(0.3):
            return []
        self.features.add("inner tensor")
        _, inner, low = self.pick(self.models)
        exit_ = keras.Model(inner, low, name=self.name(f"{role}_exit"))
        return [exit_(inputs[vectors[0]])]

    def data(self, count=6):
        return {
            name: self.random.integers(0, WORDS, (count, STEPS)).astype("int32")
            if kind == "words"
            else self.random.normal(
                size=(count, WIDTH) if kind == "vector" else (count, STEPS, WIDTH)
            ).astype("float32")
            for name, kind in self.kinds.items()
        }


def of(tensors, place):
    """One of the tensors, mostly a late one."""
    return tensors[int(len(tensors) * place**0.5)]
