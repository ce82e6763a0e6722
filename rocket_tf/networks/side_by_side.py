"""Turns the raw values of features into one vector for each example."""

import keras
from keras import layers

from rocket_tf.networks.embedding import Embedding
from rocket_tf.networks.history_layers import ActivationUnit, MaskedMean, ValuesPresent
from rocket_tf.networks.number_layers import CentredNumber, NumberOrMissing, VectorOrMissing
from rocket_tf.networks.row_layers import HourAndWeekday, IntegersAsRows, MissingRow, ServedAs
from rocket_tf.networks.seeds import layer_seed
from rocket_tf.networks.tag_layers import TagsPool

_LISTS = ("history", "tags", "vector")


def inputs_of(features):
    """The inputs of features, a dict of symbolic tensors.

    Args:
        features: dict from names to `Feature`s.
    """
    inputs = {}
    for name, feature in features.items():
        shape = (feature.length,) if feature.kind in _LISTS else ()
        inputs[name] = keras.Input(shape, dtype=feature.dtype, name=name)
        if feature.weights is not None:
            inputs[feature.weights] = keras.Input(shape, dtype="float32", name=feature.weights)
    return inputs


def names_of(features):
    """Names of the inputs of features, a list."""
    pairs = ((name, feature.weights) for name, feature in features.items())
    return [name for names in pairs for name in names if name is not None]


class SideBySide:
    """Turns raw inputs into one vector for each example, by the layers of one owner.

    Args:
        owner: prefix of its layers' names.
        by_name: dict from names to `Feature`s, in the order in which they are concatenated.
        attention: as for `click_pair`.
        seed: as for `click_pair`.
    """

    def __init__(self, owner, by_name, attention, seed):
        self._owner = owner
        self._features = by_name
        self._attention = attention
        self._seed = seed

    def __call__(self, inputs):
        """The vector, from a dict of inputs: a symbolic tensor of shape (batch, width)."""
        inputs = {**inputs, **self._served_as(inputs)}
        embed = {
            name: self._embedding(feature)
            for name, feature in self._features.items()
            if feature.kind == "category"
        }
        categories = {name: layer(inputs[name]) for name, layer in embed.items()}
        vectors = []
        for name, feature in self._features.items():
            match feature.kind:
                case "category":
                    vector = categories[name]
                case "number":
                    vector = self._scale(feature, inputs[name])
                case "history":
                    values = embed[feature.of](inputs[name])
                    vector = self._pool(feature, inputs[name], values, categories[feature.of])
                case "tags":
                    vector = self._tags(feature, inputs)
                case "vector":
                    vector = self._vector(feature, inputs[name])
                case "time":
                    vector = self._time(feature, inputs[name])
            vectors.append(vector)
        return layers.Concatenate(name=f"{self._owner}_features")(vectors)

    def _served_as(self, inputs):
        """The inputs that an export lacks, as these nets read them."""
        return {
            name: ServedAs(feature.served_as, name=self._name(feature, "served_as"))(inputs[name])
            for name, feature in self._features.items()
            if feature.served_as is not None
        }

    def _name(self, feature, part):
        return f"{self._owner}_{feature.name}_{part}"

    def _embedding(self, ids):
        """A function from raw ids, of any shape, to their embeddings."""
        rows, embedding = self._rows(ids), self._table(ids)
        if not ids.missing:
            return lambda values: embedding(rows(values))
        last = ids.table_size - 1
        or_missing = MissingRow(ids.padding, last, name=self._name(ids, "rows"))
        return lambda values: embedding(or_missing(values, rows(values)))

    def _rows(self, ids):
        """The layer from raw ids to rows of their table."""
        name = self._name(ids, "ids")
        if ids.integers:
            return IntegersAsRows(ids.buckets, name=name)
        if ids.vocabulary is None:
            return layers.Hashing(ids.buckets, name=name)
        arguments = {"vocabulary": list(ids.vocabulary), "num_oov_indices": 1, "name": name}
        if ids.dtype == "string":
            return layers.StringLookup(**arguments)
        # The mark of a missing value is not in the vocabulary.
        return layers.IntegerLookup(oov_token=ids.padding, **arguments)

    def _table(self, feature):
        name = self._name(feature, "embedding")
        return Embedding(
            feature.table_size,
            feature.dimension,
            embeddings_initializer=keras.initializers.RandomUniform(
                -0.05, 0.05, seed=layer_seed(self._seed, name)
            ),
            name=name,
        )

    def _scale(self, number, values):
        if number.missing:
            name = self._name(number, "scaled")
            return NumberOrMissing(number.mean, number.variance, name=name)(values)
        if number.dtype != "float32":
            name = self._name(number, "scaled")
            return CentredNumber(number.mean, number.variance, name=name)(values)
        # In float32 under every policy: bfloat16 would blur large numbers that differ little.
        column = layers.Reshape((1,), dtype="float32", name=self._name(number, "column"))(values)
        return layers.Normalization(
            mean=[number.mean],
            variance=[number.variance],
            dtype="float32",
            name=self._name(number, "scaled"),
        )(column)

    def _pool(self, history, raw_values, values, candidate):
        present = self._present(history, raw_values)
        if self._attention:
            name = self._name(history, "attention")
            return ActivationUnit(seed=self._seed, name=name)(values, candidate, present)
        # In float32 under every policy: bfloat16 can count only to 256.
        return MaskedMean(dtype="float32", name=self._name(history, "mean"))(values, present)

    def _present(self, feature, values):
        return ValuesPresent(feature.padding, name=self._name(feature, "present"))(values)

    def _tags(self, tags, inputs):
        values = inputs[tags.name]
        weights = () if tags.weights is None else (inputs[tags.weights],)
        name = self._name(tags, tags.pooling)
        pool = TagsPool(tags.pooling, tags.missing, dtype="float32", name=name)
        return pool(self._embedding(tags)(values), self._present(tags, values), *weights)

    def _vector(self, vector, values):
        if not vector.missing:
            return values
        return VectorOrMissing(name=self._name(vector, "present"))(values)

    def _time(self, time, seconds):
        mark = time.padding if time.missing else None
        rows = HourAndWeekday(mark, name=self._name(time, "rows"))
        embedded = self._table(time)(rows(seconds))
        return layers.Reshape((2 * time.dimension,), name=self._name(time, "both"))(embedded)
