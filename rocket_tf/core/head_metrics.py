"""The metrics of `compile` by head, and the names and order of all values in the logs.

A metric with `ranks_all_examples = True`, such as `ExactAUC`, needs all examples of an evaluation
at once, but Keras asks for its result after every step. `RankingMetrics` keeps such metrics for the
end. If the metric has `group_by`, the name of an input, its `update_state` also takes `groups`, the
values of that input.
"""

import functools
import inspect

import keras

from rocket_tf.core import keras_internals
from rocket_tf.core.batch import label_of, metric_weight
from rocket_tf.core.heads import spread
from rocket_tf.core.label_losses import is_multi_label

_ACCURACY_NAMES = ("accuracy", "acc")


class HeadMetrics:
    """The metrics that a model is compiled with: those that Keras runs, and those that rank.

    Args:
        heads: dict from names to `Head`s.
        outputs: dict from heads' names to their symbolic outputs.
        losses: dict from heads' names to their label losses; heads without one are left out.
        metrics: as `RocketModel.compile` takes them.
        weighted_metrics: as `RocketModel.compile` takes them, too.

    Attributes:
        by_head: dict from "metrics" and "weighted_metrics" to dicts from heads' names to lists of
            metrics, or to `None`.
        of_keras: the same dicts with only the metrics that Keras runs.
        ranking: `RankingMetrics`, the others.
        measured: names of the heads with metrics.
        names: the metrics' names in the logs of an evaluation, in order.

    Raises:
        ValueError: if a dict has keys other than nets and outputs, a metric cannot be copied, or
            two that rank have the same name.

    Example:
        >>> import keras
        >>> from rocket_tf import ExactAUC
        >>> from rocket_tf.core.heads import heads_of
        >>> outputs = {"light": keras.Input((1,)), "booster": keras.Input((1,))}
        >>> own = HeadMetrics(heads_of(outputs), outputs, {}, metrics=["accuracy", ExactAUC()])
        >>> [metric.name for metric in own.of_keras["metrics"]["light"]]
        ['accuracy']
        >>> [metric.name for metric in own.ranking.metrics]
        ['auc', 'auc']
        >>> own.names
        ['booster_accuracy', 'booster_auc', 'light_accuracy', 'light_auc']
    """

    def __init__(self, heads, outputs, losses, metrics=None, weighted_metrics=None):
        arguments = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        self.by_head = {
            argument: _metrics_by_head(argument, value, outputs, heads, losses)
            for argument, value in arguments.items()
        }
        self.of_keras = {
            argument: _without_ranking(head_metrics)
            for argument, head_metrics in self.by_head.items()
        }
        self.ranking = RankingMetrics(heads, **self.by_head)
        self.measured = {
            head
            for by_head in self.by_head.values()
            for head, head_metrics in (by_head or {}).items()
            if head_metrics
        }
        self.names = sorted([*_names_by_keras(**self.of_keras), *self.ranking.names])


def names_in_logs(terms, metrics):
    """The names of all values that an evaluation logs, in the order of its list.

    Args:
        terms: names of the objective's terms.
        metrics: names of metrics, as `HeadMetrics.names`.

    Raises:
        ValueError: if two values would have the same name, in training or with "val_" before it.

    Example:
        >>> names_in_logs(["light_loss", "hint_loss"], ["light_accuracy"])
        ['loss', 'light_loss', 'hint_loss', 'light_accuracy']
    """
    names = ["loss", *terms, *metrics]
    validated = [f"val_{name}" for name in names]
    twice = sorted({name for name in names if (names + validated).count(name) > 1})
    if twice:
        raise ValueError(
            f"Losses, hints and metrics need different names in the logs. Received: {twice[0]!r} "
            "twice; rename a hint or a metric, as in Hint(..., name='low_hint_loss')"
        )
    return names


def logs_in_order(measure):
    """A method that returns measured values, with these in the order of `metrics_names`.

    If the method evaluates, those of metrics that rank are added.

    Args:
        measure: `evaluate`, `test_on_batch` or `train_on_batch` of a `keras.Model`.

    Returns:
        The method of a `RocketModel`.

    Example:
        >>> import keras, numpy as np, rocket_tf
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)], name="light")
        >>> rocket = rocket_tf.RocketModel(light, hint=None)
        >>> rocket.compile("sgd", "mse", metrics=["mae"])
        >>> list(rocket.evaluate(np.ones((2, 3)), np.ones((2, 1)), verbose=0, return_dict=True))
        ['loss', 'light_loss', 'light_mae']
        >>> rocket.metrics_names
        ['loss', 'light_loss', 'light_mae']
    """
    signature = inspect.signature(measure)

    @functools.wraps(measure)
    def measure_in_order(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        return_dict = bound.arguments.get("return_dict", False)
        bound.arguments["return_dict"] = True
        logs = measure(*bound.args, **bound.kwargs)
        if measure.__name__ != "train_on_batch":
            is_whole = set(self.objective.names) <= set(logs)
            if not is_whole:  # of the light net alone; Keras sums whole ones over replicas
                results = self.get_metrics_result()
                logs = {name: float(results[name]) for name in logs}
            logs |= self.head_metrics.ranking.results(None if is_whole else "light")
        logs = _in_order(self.metrics_names, logs)
        return logs if return_dict else list(logs.values())

    return measure_in_order


def history_in_order(fit):
    """`fit` of a `keras.Model`, with the history in this order instead of Keras's alphabetical one.

    Example:
        >>> import keras, numpy as np, rocket_tf
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)], name="light")
        >>> rocket = rocket_tf.RocketModel(light, hint=None)
        >>> rocket.compile("sgd", "mse", metrics=["mae"])
        >>> list(rocket.fit(np.ones((2, 3)), np.ones((2, 1)), verbose=0).history)
        ['loss', 'light_loss', 'light_mae']
    """

    @functools.wraps(fit)
    def fit_in_order(self, *args, **kwargs):
        history = fit(self, *args, **kwargs)
        names = [f"{prefix}{name}" for prefix in ("", "val_") for name in self.metrics_names]
        history.history = _in_order(names, history.history)
        return history

    return fit_in_order


def _in_order(names, logs):
    """Logs in the order of names; other values come last, in alphabetical order."""
    ordered = [name for name in names if name in logs]
    return {name: logs[name] for name in [*ordered, *sorted(set(logs) - set(ordered))]}


class RankingMetrics:
    """The metrics that rank all examples of an evaluation: updated by step, read at its end.

    Args:
        heads: dict from names to `Head`s.
        metrics: dict from heads' names to lists of metrics, or `None`; only those that rank count.
        weighted_metrics: a dict of the same form, for metrics with sample weights.

    Raises:
        ValueError: if two have the same name.

    Example:
        >>> import numpy as np
        >>> from rocket_tf import ExactAUC
        >>> from rocket_tf.core.heads import heads_of
        >>> ranking = RankingMetrics(heads_of({"light": None}), {"light": [ExactAUC()]})
        >>> ranking.update(None, np.array([0, 1, 1]), {"light": np.array([0.1, 0.2, 0.05])})
        >>> ranking.results()
        {'light_auc': 0.5}
    """

    def __init__(self, heads, metrics=None, weighted_metrics=None):
        self._heads = heads
        # By their names in the logs: the head, the metric, whether it has weights.
        self._by_name = _ranking_by_name(metrics, weighted_metrics)

    @property
    def metrics(self):
        """The metrics, a list."""
        return [metric for _, metric, _ in self._by_name.values()]

    @property
    def names(self):
        """Their names in the logs, a list."""
        return list(self._by_name)

    @property
    def largest_errors(self):
        """Dict from the names of approximate ones to the largest error of their last results."""
        errors = {
            name: getattr(metric, "largest_error", None)
            for name, (_, metric, _) in self._by_name.items()
        }
        return {name: error for name, error in errors.items() if error is not None}

    def update(self, x, y, logits, sample_weight=None):
        """Adds a batch to what is ranked; the arguments are as in `RocketModel.compute_loss`."""
        for name, metric, is_weighted in self._by_name.values():
            if name not in logits:  # when the light net is evaluated alone
                continue
            group_by = getattr(metric, "group_by", None)
            head = self._heads[name]
            weight = None
            if is_weighted:
                weight = metric_weight(head, self._heads, logits[name], sample_weight)
            metric.update_state(
                label_of(head.output, y),
                logits[name],
                weight,
                # If there are none, the metric says what it needs.
                groups=x.get(group_by) if isinstance(x, dict) else None,
            )

    def results(self, net=None):
        """Dict from the metrics' names in the logs to floats, of all nets or of one."""
        return {
            name: float(metric.result())
            for name, (head, metric, _) in self._by_name.items()
            if net in (None, self._heads[head].net)
        }


def _without_ranking(metrics):
    """Metrics by head without those that rank, or `None` if there are no others.

    A head without any has an empty list.
    """
    if metrics is None:
        return None
    remaining = {
        head: [metric for metric in head_metrics if not _ranks(metric)]
        for head, head_metrics in metrics.items()
    }
    return remaining if any(remaining.values()) else None


def _metrics_by_head(argument, metrics, outputs, heads, losses):
    """The metrics of each head; no two heads share one."""
    if metrics is None:
        return None
    by_head = {
        head: [
            _instance(metric) for metric in keras.tree.flatten(head_metrics) if metric is not None
        ]
        for head, head_metrics in spread(argument, metrics, heads).items()
    }
    ids = [id(metric) for head_metrics in by_head.values() for metric in head_metrics]
    # A head without a label loss has labels like those of the other net's.
    by_output = {heads[head].output: loss for head, loss in losses.items()}
    return {
        head: [
            _own_metric(
                outputs[head],
                losses.get(head, by_output.get(heads[head].output)),
                metric,
                # A metric that ranks is made again under the model's strategy, where it runs.
                copy=ids.count(id(metric)) > 1 or _ranks(metric),
            )
            for metric in head_metrics
        ]
        for head, head_metrics in by_head.items()
    }


def _instance(metric):
    """Makes a metric that was given by its class, so that its name in the logs is known."""
    return metric() if inspect.isclass(metric) else metric


def _own_metric(logits, loss, metric, copy):
    """A metric that belongs to one head.

    Args:
        logits: the head's symbolic output.
        loss: its label loss, or `None`.
        metric: name, function or `keras.metrics.Metric`.
        copy: whether the metric was given for several heads, so that each needs a copy.

    Raises:
        ValueError: if a copy is needed but the metric's class does not say how it is configured.
    """
    if isinstance(metric, str):
        is_binary = logits.shape[-1] == 1 or is_multi_label(logits, loss)
        if metric in _ACCURACY_NAMES and is_binary:
            return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        return metric
    if not isinstance(metric, keras.metrics.Metric) or not copy:
        return metric
    classes = type(metric).__mro__
    has_arguments, has_config = (
        next(index for index, cls in enumerate(classes) if method in vars(cls))
        for method in ("__init__", "get_config")
    )
    arguments = set(inspect.signature(type(metric)).parameters) - {"name", "dtype", "kwargs"}
    if has_arguments < has_config and arguments:
        raise ValueError(
            f"Each net needs its own {type(metric).__name__}, but its class has no get_config with "
            f"its arguments {sorted(arguments)} to make another. Add one, or pass a metric for "
            "each net, as in metrics={'light': [...], 'booster': [...]}"
        )
    return type(metric).from_config(metric.get_config())


def _names_by_keras(metrics, weighted_metrics):
    """The names that Keras gives to metrics in the logs, each prefixed with its head's name."""
    names, counts = [], {}
    for kind, by_head in (("", metrics), ("weighted_", weighted_metrics)):
        for head, head_metrics in (by_head or {}).items():
            for metric in map(keras_internals.name_in_logs, head_metrics):
                name = f"{head}_{metric}"
                if kind and name in counts:
                    name = f"{head}_{kind}{metric}"
                earlier = counts.setdefault(name, 0)
                counts[name] += 1
                names.append(f"{name}_{earlier}" if earlier else name)
    return names


def _ranks(metric):
    return getattr(metric, "ranks_all_examples", False)


def _ranking_by_name(metrics, weighted_metrics):
    by_name = {}
    for is_weighted, by_head in ((False, metrics), (True, weighted_metrics)):
        for head, head_metrics in (by_head or {}).items():
            for metric in head_metrics:
                if not _ranks(metric):
                    continue
                name = f"{head}_{metric.name}"
                if is_weighted and name in by_name:
                    name = f"{head}_weighted_{metric.name}"  # as Keras calls it
                if name in by_name:
                    raise ValueError(
                        f"Metrics need different names in the logs. Received: {name!r} twice; name "
                        "one, as in GroupAUC('item', name='gauc_by_item')"
                    )
                by_name[name] = head, metric, is_weighted
    return by_name
