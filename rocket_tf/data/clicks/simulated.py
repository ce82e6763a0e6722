"""A simulated click log with known probabilities of clicks.

Its form and the strength of each effect are chosen here: a wide and deep booster should learn more
of it than a small net. The module does not import TensorFlow.
"""

import numpy as np

from rocket_tf.data.clicks.examples import Columns, histories, split

COLUMNS = Columns(
    categories=("user", "item", "category", "hour", "position", "device"),
    numbers=("price",),
    history="history",
)

# A column that only a booster can read: its mean and variance, and how strongly it rises with the
# log-odds of a click, as the ratio of that share's deviation to the noise's.
DWELL = "dwell"
DWELL_MOMENTS = (30.0, 100.0)
DWELL_STRENGTHS = {"noise": 0.0, "weak": 0.5, "strong": 2.0}
_DWELL_STREAM = 1

# A second label: whether an item that was clicked was bought.
BOUGHT = "bought"
_BOUGHT_STREAM = 2
_BOUGHT_LOGIT = -1.0  # of a click whose log-odds were as those of all impressions in the mean

_BASE_RATE = 0.2
_DAYS = 28
_CATEGORIES = 20
_POSITIONS = 5
_DEVICES = np.array(["phone", "tablet", "desktop"], object)
_LATENT = 2  # few enough to be learned from a hundred impressions a user
_ZIPF = 0.8  # exponent of how often items are shown, by their rank


def simulate(
    examples=200_000,
    users=2000,
    items=1000,
    seed=0,
    history_length=20,
    test_fraction=0.1,
    dwell="off",
    bought=False,
):
    """Simulates a click log; always the same for the same arguments.

    Users of different activity are shown items, popular ones more often, at one of five positions
    of a page. The log-odds of a click add up: what the user thinks of the item (an inner product of
    latent vectors) and of its category, how attractive the item is, the position, the device; and
    effects that do not add up from single columns: each category has its hours, each device its
    categories, and each user a price that is right, from which both sides lead away.

    Args:
        examples: number of impressions, training and test together.
        users: number of users.
        items: number of items, of 20 categories.
        seed: a non-negative integer.
        history_length: number of items in a history, those that the user clicked last.
        test_fraction: share of the test examples, which are the last in time.
        dwell: "off", or one of `DWELL_STRENGTHS`: a further column of numbers, "dwell", is how many
            seconds the item stayed in view, which no server knows in advance. It rises with the
            log-odds of the click, or is "noise". Everything else is unchanged.
        bought: whether there is a second label, whether the item was bought, which only clicked
            items are, the more likely the likelier the click was. Everything else is unchanged.

    Returns:
        `(data, truth)`. data: `ClickData` with `COLUMNS`, but for `history_length`; with `bought`,
        labels of shape (examples, 2), click and purchase. truth: float64,
        shape (test examples,), the probabilities that the test labels were drawn with: no model
        can be expected to have a lower log loss than they have.
    """
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(0, 24 * _DAYS, examples))  # hours since the log began
    user = random.choice(users, examples, p=_shares(random.lognormal(0, 0.5, users)))
    by_rank = np.arange(1, items + 1) ** -_ZIPF
    item = random.choice(items, examples, p=_shares(random.permutation(by_rank)))
    category_of = random.integers(0, _CATEGORIES, items)
    price_of = random.lognormal(3, 0.5, items)
    device_of = random.integers(0, len(_DEVICES), users)  # the device that a user mostly takes

    category = category_of[item]
    position = random.integers(0, _POSITIONS, examples)
    random_device = random.integers(0, len(_DEVICES), examples)
    device = np.where(random.random(examples) < 0.7, device_of[user], random_device)

    log_odds = (
        _taste(random, users, items, 1.0)[user, item]
        + _taste(random, users, _CATEGORIES, 0.7)[user, category]
        + random.normal(0, 0.5, items)[item]
        - 0.35 * position
        + np.array([0.2, 0.0, -0.2])[device]
        + random.normal(0, 0.5, (len(_DEVICES), _CATEGORIES))[device, category]
        + 0.9 * np.cos((times - random.uniform(0, 24, _CATEGORIES)[category]) * (2 * np.pi / 24))
        - (np.log(price_of)[item] - random.normal(3, 0.4, users)[user]) ** 2
    )
    probabilities = _with_mean(log_odds, _BASE_RATE)
    labels = (random.random(examples) < probabilities).astype(np.int64)

    inputs = {
        "user": user,
        "item": item,
        "category": category,
        "hour": times.astype(np.int64) % 24,
        "position": position,
        "device": _DEVICES[device],
        "price": price_of.astype(np.float32)[item],
        "history": histories(user, item, labels, times, history_length),
    }
    if dwell != "off":
        inputs[DWELL] = _dwell(log_odds, DWELL_STRENGTHS[dwell], seed)
    if bought:
        labels = np.stack([labels, labels * _bought(log_odds, seed)], axis=1)
    data = split(inputs, labels, test_fraction)
    return data, probabilities[len(data.train.labels) :]


def _dwell(log_odds, strength, seed):
    """Seconds in view, of mean 30 and deviation 10, from a stream of random numbers of its own."""
    noise = np.random.default_rng([seed, _DWELL_STREAM]).normal(size=len(log_odds))
    standard = (strength * _interest(log_odds) + noise) / (strength**2 + 1) ** 0.5
    mean, variance = DWELL_MOMENTS
    return np.maximum(mean + variance**0.5 * standard, 0).astype(np.float32)


def _bought(log_odds, seed):
    """Whether each item would be bought once it is clicked, from a stream of its own, too."""
    draws = np.random.default_rng([seed, _BOUGHT_STREAM]).random(len(log_odds))
    return (draws < _sigmoid(_BOUGHT_LOGIT + _interest(log_odds))).astype(np.int64)


def _interest(log_odds):
    """Log-odds of mean 0 and deviation 1."""
    return (log_odds - log_odds.mean()) / log_odds.std()


def _shares(weights):
    return weights / weights.sum()


def _taste(random, users, things, deviation):
    """What users think of things, shape (users, things), of this standard deviation."""
    products = random.normal(size=(users, _LATENT)) @ random.normal(size=(_LATENT, things))
    return deviation / _LATENT**0.5 * products


def _with_mean(log_odds, mean):
    """The probabilities whose mean this is, of log-odds that are all shifted alike."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.mean(_sigmoid(log_odds + middle)) < mean:
            low = middle
        else:
            high = middle
    return _sigmoid(log_odds + low)


def _sigmoid(values):
    return 0.5 * (1 + np.tanh(values / 2))
