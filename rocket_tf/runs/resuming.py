"""What may differ between a run and its continuation, such that what is done stays as it is."""

from rocket_tf import config as options
from rocket_tf.optimizers.drops import drop_steps
from rocket_tf.runs.progress import Progress

# These decide which learning rate a step has.
_OF_SCHEDULE = ("epochs", "learning_rate_drops")


def refused_changes(before, now, progress, card):
    """The fields in which a configuration differs from its run's and must not.

    What changes nothing that is computed may differ; so may the number of epochs upwards, and the
    fractions of them at which the learning rate drops, as long as no step that is done would have
    had another learning rate; the number of replicas, where batch statistics are those of the
    whole batch; how often is evaluated, where that chooses nothing; and functions of one's own, as
    long as no checkpoint is there.

    Args:
        before: the run's configuration.
        now: the one to go on with.
        progress: a `rocket_tf.runs.progress.Progress`: how far the run has come.
        card: of the data of both, a `rocket_tf.data.DatasetCard`.

    Returns:
        A list of texts, each with a field, its two values and, where there is one, the way out.
    """
    if not now["image_size"]:  # the nets decide it, as they did
        now = {**now, "image_size": before["image_size"]}
    allowed = list(options.fields_without_effect(now))
    if progress == Progress():  # so that a mistake that stopped the first epoch can be mended
        allowed += ["own_functions", "own_code_sha256"]
    if now["batch_normalization"] == "synchronized":
        allowed.append("replicas")
    if not now["validation_examples"]:
        allowed.append("evaluate_every_epochs")
    changed = options.differences(before, now, allowed)
    if now["epochs"] < before["epochs"]:
        return changed
    if options.differences(before, now, [*allowed, *_OF_SCHEDULE]):
        return changed
    steps = progress.epochs * options.steps_per_epoch(now, card) + progress.steps
    if changed and steps and now["learning_rate_schedule"] == "cosine":
        changed[-1] += ", which would bend the cosine of the learning rate, also where it is past"
        return changed
    seen, wanted = (_drops_within(config, steps, card) for config in (before, now))
    if changed and seen != wanted:
        scale = before["epochs"] / now["epochs"]
        kept = tuple(round(drop * scale, 6) for drop in before["learning_rate_drops"])
        changed[-1] += (
            f", which would move drops of the learning rate that are past: they were at steps "
            f"{seen}, and of the {steps} steps done would be at {wanted}; "
            f"--config.learning_rate_drops='{kept}' keeps them"
        )
        return changed
    return []


def _drops_within(config, steps, card):
    """The steps, of so many, from which on the learning rate is lower."""
    if config["learning_rate_schedule"] != "drops":
        return []
    drops = drop_steps(config["learning_rate_drops"], options.total_steps(config, card))
    return [step for step in drops if step < steps]
