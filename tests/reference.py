"""The package's computations in float64 NumPy, and finite differences."""

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


def standardized_kd(followed, light, temperature=2.0):
    return kd(_standardized(followed), _standardized(light), temperature)


def _standardized(logits):
    return (logits - logits.mean(-1, keepdims=True)) / logits.std(-1, keepdims=True)


def dkd(followed, light, labels, temperature=4.0, alpha=1.0, beta=8.0):
    """Loss of each example, computed one by one without the target's class."""
    values = []
    for z, own, label in zip(followed, light, labels, strict=True):
        q, p = softmax(z / temperature), softmax(own / temperature)
        two = q[label] * np.log(q[label] / p[label])
        rest = np.delete(q, label).sum(), np.delete(p, label).sum()
        two += rest[0] * np.log(rest[0] / rest[1])
        q, p = (softmax(np.delete(each, label) / temperature) for each in (z, own))
        values.append(temperature**2 * (alpha * two + beta * (q * np.log(q / p)).sum()))
    return np.array(values)


def dist(followed, light, weights=None, temperature=1.0, beta=1.0, gamma=1.0):
    """Loss of each example; correlations come from NumPy's weighted covariances over the batch."""
    q, p = softmax(followed / temperature), softmax(light / temperature)
    over_classes = np.array([correlation(*each) for each in zip(q, p, strict=True)])
    over_batch = [correlation(*each, weights) for each in zip(q.T, p.T, strict=True)]
    return temperature**2 * (beta * (1 - over_classes) + gamma * (1 - np.mean(over_batch)))


def correlation(x, y, weights=None):
    """Pearson's correlation; 0 if one of the two hardly varies."""
    (x_variance, covariance), (_, y_variance) = np.cov(x, y, ddof=0, aweights=weights)
    if min(x_variance, y_variance) <= 1e-14:
        return 0.0
    return covariance / np.sqrt(x_variance * y_variance)


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


def click_figures(scores, labels, weights, users):
    """The figures of clicks for weighted rows; AUCs are computed pair by pair."""
    probabilities = 1 / (1 + np.exp(-scores))
    right = np.where(labels == 1, probabilities, 1 - probabilities)

    def auc(rows):
        clicks, others = rows[labels[rows] == 1], rows[labels[rows] == 0]
        pairs = weights[clicks, None] * weights[others]
        gaps = scores[clicks, None] - scores[others]
        return (pairs * ((gaps > 0) + (gaps == 0) / 2)).sum() / pairs.sum()

    rows = np.arange(len(labels))[weights > 0]
    by_user = [rows[users[rows] == user] for user in np.unique(users[rows])]
    by_user = [own for own in by_user if len(set(labels[own])) == 2]
    bins = np.minimum(probabilities * 20, 19).astype(int)
    gaps = [abs((weights * (probabilities - labels))[bins == place].sum()) for place in range(20)]
    return {
        "error": 100 * np.average((scores > 0) != labels, weights=weights),
        "log_loss": np.average(-np.log(right), weights=weights),
        "auc": auc(rows),
        "gauc": np.average([auc(o) for o in by_user], weights=[weights[o].sum() for o in by_user]),
        "calibration": (weights * probabilities).sum() / (weights * labels).sum(),
        "calibration_error": sum(gaps) / weights.sum(),
    }
