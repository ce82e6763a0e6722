"""Metrics that rank all examples of an evaluation: kept by step, told at its end."""

from rocket_tf.metrics.ranking import ExactAUC


class RankingEvaluation:
    """Mixed into a `RocketModel`, lets `evaluate`, and `fit`'s validation, tell ranking metrics.

    Keras asks for a metric's result after every step, and these sort all examples.
    """

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """As in Keras; `ExactAUC` and `GroupAUC` are added at the end, where all examples are."""
        logs = super().evaluate(
            x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict=True, **kwargs
        )
        logs |= {name: float(kept[1].result()) for name, kept in self._ranking_metrics.items()}
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def _update_ranking_metrics(self, x, y, logits, sample_weight):
        """Adds a batch to what is ranked."""
        for head, metric, is_weighted in self._ranking_metrics.values():
            group_by = getattr(metric, "group_by", None)
            metric.update_state(
                self.heads[head].label(y),
                logits[head],
                self.heads[head].weight(sample_weight) if is_weighted else None,
                # Where there are none, the metric says what it needs.
                groups=x.get(group_by) if isinstance(x, dict) else None,
            )


def ranking_metrics_by_name(metrics, weighted_metrics):
    """The metrics that evaluations end with.

    Args:
        metrics: dict from heads to lists of metrics, or `None`.
        weighted_metrics: likewise, of those that sample weights weigh.

    Returns:
        Dict from their names in the logs to `(head, metric, whether it is weighed)`.

    Raises:
        ValueError: if two have one name.
    """
    named = {}
    for is_weighted, by_head in ((False, metrics), (True, weighted_metrics)):
        for head, own in (by_head or {}).items():
            for metric in own:
                if not isinstance(metric, ExactAUC):
                    continue
                name = f"{head}_{metric.name}"
                if is_weighted and name in named:
                    name = f"{head}_weighted_{metric.name}"  # as Keras calls it
                if name in named:
                    raise ValueError(
                        f"Metrics need different names in the logs. Received: {name!r} twice; name "
                        "one, as in GroupAUC('item', name='gauc_by_item')"
                    )
                named[name] = head, metric, is_weighted
    return named


def without_ranking(metrics):
    """Metrics by head without those that Keras does not handle, or `None` if there are no others.

    A head without any has an empty list.
    """
    if metrics is None:
        return None
    others = {
        head: [metric for metric in own if not isinstance(metric, ExactAUC)]
        for head, own in metrics.items()
    }
    return others if any(others.values()) else None
