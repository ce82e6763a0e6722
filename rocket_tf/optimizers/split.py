"""One optimizer for embedding tables, another for the rest."""

import keras
import tensorflow as tf

from rocket_tf.optimizers.sparse import each_id_once


@keras.saving.register_keras_serializable(package="rocket_tf")
class SplitOptimizer(keras.optimizers.Optimizer):
    """One optimizer for embedding tables, another for the rest, each with its learning rate.

    A table is a variable with the name that `keras.layers.Embedding` uses, "embeddings".

    `learning_rate` is that of `rest`, also for callbacks that set it; that of the tables is
    `tables.learning_rate`. Other options, such as weight decay, are arguments of the two
    optimizers. Only the limit of the norm of both together is an argument here.

    Args:
        tables: `keras.optimizers.Optimizer` of the tables, such as a `SparseAdagrad`.
        rest: that of all other variables.
        global_clipnorm: limit of the norm of all gradients together; each id of a table counts
            once, with its gradients summed. `None`: none.
        name: name of the optimizer.

    Raises:
        ValueError: if `tables` and `rest` are not two optimizers.

    Example:
        >>> import keras
        >>> from rocket_tf.optimizers import SparseAdagrad, SplitOptimizer
        >>> optimizer = SplitOptimizer(SparseAdagrad(0.05), keras.optimizers.Adam(0.001))
        >>> model = keras.Sequential([keras.layers.Embedding(9, 4), keras.layers.Dense(1)])
        >>> model.compile(optimizer, "mse")
        >>> float(optimizer.learning_rate), float(optimizer.tables.learning_rate)
        (0.0010000000474974513, 0.05000000074505806)
    """

    def __init__(
        self,
        tables: keras.optimizers.Optimizer,
        rest: keras.optimizers.Optimizer,
        global_clipnorm: float | None = None,
        name: str = "split_optimizer",
    ) -> None:
        for role, optimizer in (("tables", tables), ("rest", rest)):
            if not isinstance(optimizer, keras.optimizers.Optimizer):
                raise ValueError(
                    f"{role} must be a keras.optimizers.Optimizer. Received: {role}={optimizer!r} "
                    f"of type {type(optimizer).__name__}"
                )
        if tables is rest:
            raise ValueError(
                "tables and rest must be two optimizers. Received one as both; pass it alone to "
                "compile, or make another"
            )
        super().__init__(learning_rate=0.0, global_clipnorm=global_clipnorm, name=name)
        self.tables = tables
        self.rest = rest

    def build(self, variables):
        """Builds both optimizers on their variables."""
        if self.built:
            return
        super().build(variables)
        self._built_on = tuple(variables)
        for optimizer, pairs in self._split(variables, variables):
            optimizer.build([variable for _, variable in pairs])

    def apply(self, grads, trainable_variables=None):
        """Applies each optimizer to the gradients of its variables."""
        if not self.built:
            self.build(trainable_variables)
        variables = self._built_on if trainable_variables is None else list(trainable_variables)
        if self.global_clipnorm:
            grads = [each_id_once(gradient) for gradient in grads]
            grads, _ = tf.clip_by_global_norm(grads, self.global_clipnorm)
        for optimizer, pairs in self._split(grads, variables):
            optimizer.apply(*zip(*pairs, strict=True))
        self.iterations.assign_add(1)

    @property
    def variables(self):
        return [*super().variables, *self.tables.variables, *self.rest.variables]

    @property
    def learning_rate(self):
        return self.rest.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.rest.learning_rate = learning_rate

    def finalize_variable_values(self, var_list):
        for optimizer, pairs in self._split(var_list, var_list):
            optimizer.finalize_variable_values([variable for _, variable in pairs])

    def _split(self, values, variables):
        """`(optimizer, [(value, variable), ...])` of both optimizers, if they have variables."""
        pairs = list(zip(values, variables, strict=True))
        parts = {
            self.tables: [pair for pair in pairs if pair[1].name == "embeddings"],
            self.rest: [pair for pair in pairs if pair[1].name != "embeddings"],
        }
        return [(optimizer, part) for optimizer, part in parts.items() if part]

    def get_config(self):
        return {
            "tables": keras.saving.serialize_keras_object(self.tables),
            "rest": keras.saving.serialize_keras_object(self.rest),
            "global_clipnorm": self.global_clipnorm,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizers = {
            role: keras.saving.deserialize_keras_object(config[role], custom_objects=custom_objects)
            for role in ("tables", "rest")
        }
        return cls(**{**config, **optimizers})
