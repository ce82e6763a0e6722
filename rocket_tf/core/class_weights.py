"""`class_weight` of `fit` for labels at positions, such as time steps or pixels.

Keras treats labels of shape (batch, time) as one-hot, and the position of the largest as the class
of the example.
"""

import functools


def weighs_classes_of_positions(cls):
    """Class decorator: lets a `keras.Model` weigh classes at positions in its own `train_step`.

    `fit` and `train_on_batch` store such weights in `class_weights`, a tuple of pairs of a class
    and its weight, for `weights_of_classes`, and leave other weights to Keras. Labels are at
    positions if the logits are, the model's output "light".

    Example:
        >>> import keras, numpy as np
        >>> @weighs_classes_of_positions
        ... class Model(keras.Model):
        ...     def train_step(self, data):
        ...         print(self.class_weights)
        ...         return super().train_step(data)
        >>> inputs = keras.Input((7, 3))
        >>> model = Model(inputs, {"light": keras.layers.Dense(1)(inputs)})
        >>> model.compile("sgd", {"light": "mse"}, run_eagerly=True)
        >>> x, y = np.ones((2, 7, 3)), {"light": np.ones((2, 7, 1))}
        >>> history = model.fit(x, y, class_weight={1: 5.0}, verbose=0)
        ((1, 5.0),)
    """

    def weighing(method):
        @functools.wraps(method)
        def train(self, *args, class_weight=None, **kwargs):
            pairs = ()
            if class_weight and "light" in self.output and len(self.output["light"].shape) > 2:
                pairs, class_weight = tuple(class_weight.items()), None
            if pairs != self.class_weights:
                self.class_weights, self.train_function = pairs, None  # the function is made again
            return method(self, *args, class_weight=class_weight, **kwargs)

        return train

    cls.class_weights = ()
    cls.fit, cls.train_on_batch = weighing(cls.fit), weighing(cls.train_on_batch)
    return cls
