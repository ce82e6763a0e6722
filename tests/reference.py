"""What the package computes, in float64 NumPy; and finite differences."""

import numpy as np


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def logits_mse(followed, light):
    return ((light - followed) ** 2).sum(-1)


def softmax_mse(followed, light):
    return ((softmax(light) - softmax(followed)) ** 2).sum(-1)


def kd(followed, light, temperature=4.0):
    q, p = softmax(followed / temperature), softmax(light / temperature)
    return -(temperature**2) * (q * np.log(p)).sum(-1)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def sigmoid_mse(followed, light):
    return ((sigmoid(light) - sigmoid(followed)) ** 2).sum(-1)


def sigmoid_kd(followed, light, temperature=4.0):
    q, log_p, log_rest = (
        sigmoid(followed / temperature),
        -np.logaddexp(0, -light / temperature),
        -np.logaddexp(0, light / temperature),
    )
    return -(temperature**2) * (q * log_p + (1 - q) * log_rest).sum(-1)


def cosine(followed, light):
    lengths = np.linalg.norm(followed, axis=-1) * np.linalg.norm(light, axis=-1)
    return 1 - (followed * light).sum(-1) / lengths


def euclidean(followed, light):
    return np.linalg.norm(light - followed, axis=-1)


def attention(activations):
    squares = np.mean(activations**2, -1).reshape(len(activations), -1)
    return squares / np.linalg.norm(squares, axis=-1, keepdims=True)


def cross_entropy(labels, logits):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


def finite_differences(function, weights, step=1e-6):
    gradients = {}
    for name, matrix in weights.items():
        gradients[name] = np.zeros_like(matrix)
        for place in np.ndindex(matrix.shape):
            values = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][place] += sign * step
                values.append(function(moved))
            gradients[name][place] = (values[0] - values[1]) / (2 * step)
    return gradients


def differences_of_sum(function, point):
    """Finite differences of the sum of a function's values."""
    return finite_differences(lambda moved: function(moved["point"]).sum(), {"point": point})[
        "point"
    ]
