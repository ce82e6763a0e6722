"""Label smoothing for labels that are whole numbers; Keras has it only for one-hot labels."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="rocket_tf")
class SmoothedCrossEntropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of logits and labels, with a part of each label spread evenly over all classes.

    With K classes, the label's class has 1 - s + s / K, each other class s / K (Szegedy et al.,
    "Rethinking the Inception Architecture", 2016).
    `keras.losses.CategoricalCrossentropy(label_smoothing=s)` computes the same for one-hot labels.

    Args:
        label_smoothing: s, at least 0 and below 1.
        **kwargs: as in `keras.losses.SparseCategoricalCrossentropy`.

    Raises:
        ValueError: if s is out of range.

    Example:
        >>> import keras, numpy as np
        >>> logits = np.array([[2.0, 0.0, 1.0]])
        >>> smoothed = SmoothedCrossEntropy(0.3)(np.array([0]), logits)
        >>> one_hot = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
        >>> round(float(smoothed), 4), round(float(one_hot(np.array([[1.0, 0.0, 0.0]]), logits)), 4)
        (0.7076, 0.7076)
    """

    labels_are_of_one_class = True

    def __init__(
        self, label_smoothing: float, name: str = "smoothed_cross_entropy", **kwargs: Any
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "label_smoothing must be at least 0 and below 1. "
                f"Received: label_smoothing={label_smoothing}"
            )
        super().__init__(**{**kwargs, "from_logits": True, "name": name})
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        uniform = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)
        smoothing = self.label_smoothing
        return (1 - smoothing) * super().call(y_true, y_pred) + smoothing * uniform

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
