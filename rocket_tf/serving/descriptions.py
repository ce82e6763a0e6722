"""Descriptions of a model, for its provenance and its card."""

from rocket_tf.analysis.costs import count_multiply_adds, count_parameters
from rocket_tf.serving.model_card import Way


def costs_of(model):
    """The cost of each net of a model, as JSON values.

    Args:
        model: a `RocketModel`, or a functional `keras.Model`, which is called "net".

    Returns:
        Dict from nets to dicts with "parameters" and "multiply_adds"; the latter is `None` if it
        cannot be counted.
    """
    nets = {"net": model}
    if hasattr(model, "light"):
        nets = {"light": model.light, "booster": model.booster}
    return {
        role: {"parameters": count_parameters(net), "multiply_adds": count_multiply_adds(net)}
        for role, net in nets.items()
        if net is not None
    }


def hints_of(model):
    """The hints of a `RocketModel`, a list of dicts of JSON values; empty for other models."""
    return [
        {
            "name": hint.name,
            "loss": hint.loss.name,
            "weight": hint.weight if isinstance(hint.weight, float) else "by a schedule",
            "follows": hint.follows,
        }
        for hint in getattr(model, "hints", ())
    ]


def way(name, function, request):
    """One way to call a SavedModel.

    Args:
        name: the signature's name.
        function: its concrete function.
        request: a request, a dict from the inputs' names to arrays.
    """
    specifications = function.structured_input_signature[1]
    return Way(
        signature=name,
        inputs={
            key: (specifications[key].dtype.name, specifications[key].shape.as_list())
            for key in request
        },
        outputs=sorted(function.structured_outputs),
        request=request,
    )
