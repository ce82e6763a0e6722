"""Pairs of click-through-rate nets: towers over embeddings that light net and booster share.

Towers: Zhou et al., "Rocket Launching" (AAAI 2018), section on the display advertising system;
attention over histories: Zhou et al., "Deep Interest Network" (KDD 2018).
"""

from collections.abc import Sequence
from typing import Literal

import keras
from keras import layers

from rocket_tf.data.clicks.feature_sets import check_features
from rocket_tf.data.clicks.features import Feature
from rocket_tf.networks.normalization import FusedBatchNormalization
from rocket_tf.networks.seeds import layer_seed
from rocket_tf.networks.side_by_side import SideBySide, inputs_of, names_of
from rocket_tf.system.argument_names import is_argument_name


def click_pair(
    features: Sequence[Feature],
    *,
    light_tower: Sequence[int] = (200, 80),
    booster_tower: Sequence[int] = (720, 360, 240, 180, 90),
    logits: Literal[1, 2] = 2,
    outputs: Sequence[str] = (),
    share: bool = True,
    attention: bool = False,
    booster_batch_normalization: bool = True,
    booster_dropout: float = 0.0,
    booster_only: Sequence[str] = (),
    seed: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """A light click net and its booster, as two functional models over the same inputs.

    Inputs are a dict of raw values by the features' names, in the features' dtypes: categories,
    numbers and times of shape (batch,), histories, tags and vectors of shape (batch, length).
    Weights of tags have their own names, dtype float32 and shape (batch, length). Hashing, look-up
    and scaling are part of the nets, and so of the export. Outputs are logits of shape (batch,
    logits) and dtype float32; of two logits, the second is the click's. With `outputs`, they are a
    dict of such logits.

    Embeddings of all categories and times, numbers, vectors, and one vector for each history and
    for tags are concatenated. A tower of dense layers with ReLU turns them into logits. Layers that
    both nets have are named "shared_...", the others "light_..." and "booster_...".

    Args:
        features: sequence of `Feature`s, in the order in which they are concatenated.
        light_tower: widths of the light net's hidden layers; the default is the paper's.
        booster_tower: the same for the booster.
        logits: 2, for a softmax over no click and click, or 1, for a sigmoid.
        outputs: names of several outputs, such as "click" and "bought", each with separate logits
            on top of the same tower; empty: there is one output.
        share: whether the nets share everything below the towers. `False`: the same two nets with
            separate embedding tables.
        attention: whether a history becomes DIN's attention-weighted sum instead of the mean of its
            values. The candidate is the embedding of the history's category in the same example. If
            the nets share, they also share the attention units.
        booster_batch_normalization: whether each of the booster's hidden layers has a batch
            normalization before its ReLU, as in the paper.
        booster_dropout: fraction of the activations of each of the booster's hidden layers that is
            dropped in training.
        booster_only: names of features, except histories, that only the booster reads in addition
            to the light net's, such as what is known only after the click. Their vectors come after
            the others, or in their own places if the nets share nothing.
        seed: seed of the initial weights; each layer's follow only from it and the layer's name.
            `None`: other weights each time.

    Returns:
        `(light, booster)`, two `keras.Model`s.

    Raises:
        ValueError: if an argument is out of range, or features contradict each other.

    Example:
        >>> from rocket_tf.networks import Feature, click_pair
        >>> features = Feature("item", "category", buckets=1000), Feature("price", "number")
        >>> light, booster = click_pair(features, light_tower=(8,), booster_tower=(32, 16))
        >>> sorted(light.input), light.output.shape
        (['item', 'price'], (None, 2))
    """
    by_name = check_features(features)
    _check_towers(light_tower=light_tower, booster_tower=booster_tower)
    _check_options(by_name, logits, attention, booster_dropout)
    _check_outputs(outputs)
    _check_booster_only(by_name, booster_only)
    _check_vocabularies(by_name)
    light_features = {
        name: feature for name, feature in by_name.items() if name not in booster_only
    }
    inputs = inputs_of(by_name)

    def side_by_side(owner, features):
        return SideBySide(owner, features, attention, seed)(inputs)

    def build(owner, features, vector, widths, batch_normalization, dropout):
        tower = _Tower(owner, widths, batch_normalization, dropout, seed)
        net_inputs = {name: inputs[name] for name in names_of(features)}
        return keras.Model(net_inputs, tower(vector, logits, outputs), name=owner)

    if share:
        light_vector = booster_vector = side_by_side("shared", light_features)
        if booster_only:
            booster_features = {
                name: feature for name, feature in by_name.items() if name in booster_only
            }
            vectors = [light_vector, side_by_side("booster", booster_features)]
            booster_vector = layers.Concatenate(name="booster_all_features")(vectors)
    else:
        light_vector, booster_vector = (
            side_by_side("light", light_features),
            side_by_side("booster", by_name),
        )
    light = build("light", light_features, light_vector, light_tower, False, 0.0)
    booster = build(
        "booster",
        by_name,
        booster_vector,
        booster_tower,
        booster_batch_normalization,
        booster_dropout,
    )
    return light, booster


def _check_towers(**towers):
    for argument, widths in towers.items():
        if (
            not isinstance(widths, list | tuple)
            or not widths
            or not all(isinstance(width, int) and width > 0 for width in widths)
        ):
            raise ValueError(
                f"{argument} must be a tuple of one or more positive integers, the widths of its "
                f"hidden layers, as in (200, 80). Received: {argument}={widths!r}"
            )


def _check_options(by_name, logits, attention, booster_dropout):
    if logits not in (1, 2):
        raise ValueError(
            "logits must be 2 (a softmax over no click and click) or 1 (a sigmoid). "
            f"Received: logits={logits!r}"
        )
    if attention and not any(feature.kind == "history" for feature in by_name.values()):
        raise ValueError(
            "attention=True is for histories, but there are none. Received features: "
            f'{list(by_name)}; add a Feature of kind "history", or pass attention=False'
        )
    if not 0 <= booster_dropout < 1:
        raise ValueError(
            f"booster_dropout must be in [0, 1). Received: booster_dropout={booster_dropout}"
        )


def _check_outputs(outputs):
    names = list(outputs)
    if (
        isinstance(outputs, str)
        or not all(isinstance(name, str) and is_argument_name(name) for name in names)
        or len(set(names)) < len(names)
    ):
        raise ValueError(
            "outputs must be different names of letters, digits and underscores. Received: "
            f"outputs={outputs!r}"
        )


def _check_booster_only(by_name, booster_only):
    kinds = {name: feature.kind for name, feature in by_name.items()}
    allowed = [name for name, kind in kinds.items() if kind != "history"]
    unknown = [name for name in booster_only if name not in allowed]
    if isinstance(booster_only, str) or unknown:
        raise ValueError(
            f"booster_only must be names of features, not histories, among {allowed}. Received: "
            f"booster_only={booster_only!r}"
        )
    if set(kinds) <= set(booster_only):
        raise ValueError(
            "booster_only must leave the light net a feature. Received all of them: "
            f"booster_only={booster_only!r}"
        )
    for name, feature in by_name.items():
        if feature.kind == "history" and feature.of in booster_only:
            raise ValueError(
                f"The history {name!r}, which both nets read, has values of {feature.of!r}. "
                f"Received: booster_only={booster_only!r}; leave that out"
            )


def _check_vocabularies(by_name):
    for name, feature in by_name.items():
        if feature.min_count:
            raise ValueError(
                f"Feature {name!r}: got min_count={feature.min_count}, expected vocabulary=(...) "
                "here: the command builds it of the training examples"
            )


class _Tower:
    """The dense layers of one net of a pair."""

    def __init__(self, owner, widths, batch_normalization, dropout, seed):
        self._owner = owner
        self._widths = widths
        self._batch_normalization = batch_normalization
        self._dropout = dropout
        self._seed = seed

    def __call__(self, x, logits, outputs=()):
        for index, width in enumerate(self._widths):
            x = self._hidden(x, width, f"{self._owner}_hidden{index}")
        if outputs:
            names = {output: f"{self._owner}_{output}_logits" for output in outputs}
            return {output: self._logits(x, logits, name) for output, name in names.items()}
        return self._logits(x, logits, f"{self._owner}_logits")

    def _logits(self, x, logits, name):
        return layers.Dense(
            logits,
            kernel_initializer=keras.initializers.GlorotUniform(layer_seed(self._seed, name)),
            dtype="float32",  # logits and losses are float32 under every policy
            name=name,
        )(x)

    def _hidden(self, x, width, name):
        x = layers.Dense(
            width,
            use_bias=not self._batch_normalization,  # batch normalization has its own shift
            kernel_initializer=keras.initializers.HeNormal(layer_seed(self._seed, name)),
            name=name,
        )(x)
        if self._batch_normalization:
            x = FusedBatchNormalization(name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
        if self._dropout:
            name = f"{name}_dropout"
            x = layers.Dropout(self._dropout, seed=layer_seed(self._seed, name), name=name)(x)
        return x
