"""Which net of a rocket has which parameters (shared, light only, booster only), and its cost."""

import dataclasses
import math
from typing import TYPE_CHECKING

from rocket_tf.analysis.costs import count_multiply_adds, is_parameter
from rocket_tf.core.graph import leaf_layers
from rocket_tf.core.objective import PARTS, parts

if TYPE_CHECKING:
    from rocket_tf.core.rocket_model import RocketModel


@dataclasses.dataclass(frozen=True)
class Ownership:
    """What the nets of a model share, and what only one of them has.

    Printed, it is a table.

    Attributes:
        parameters: dict from parts ("shared", "light only", "booster only") to numbers of
            parameters, including batch normalization's moving statistics.
        layers: dict from parts to lists of the names of the layers that have them.
        multiply_adds: dict from nets ("light", "booster" if there is one) to the multiply-adds of
            one inference, shared layers included; `None` if `count_multiply_adds` does not know.

    Example:
        >>> owned = Ownership({"shared": 24}, {"shared": ["low"]}, {"light": 32})
        >>> owned.parameters["shared"]
        24
    """

    parameters: dict[str, int]
    layers: dict[str, list[str]]
    multiply_adds: dict[str, int | None]

    def __str__(self):
        lines = [f"{'':13} {'parameters':>12}  layers"]
        lines += [
            f"{part:13} {count:12,}  {len(self.layers[part]):6}"
            for part, count in self.parameters.items()
        ]
        lines.append(f"{'':13} {'multiply-adds':>13}")
        lines += [
            f"{net:13} {'not known' if count is None else format(count, ','):>13}"
            for net, count in self.multiply_adds.items()
        ]
        return "\n".join(lines)


def ownership(model: "RocketModel") -> Ownership:
    """Reports which net of a model has which parameters, and what the nets cost.

    Args:
        model: a `RocketModel`.

    Returns:
        `Ownership`. Projections of hints belong to neither net, and do not count.

    Raises:
        ValueError: if the model is not a `RocketModel`.

    Example:
        >>> import keras, rocket_tf
        >>> inputs = keras.Input((5,))
        >>> low = keras.layers.Dense(4, activation="relu", name="low")(inputs)
        >>> light = keras.Model(inputs, keras.layers.Dense(3)(low), name="light")
        >>> high = keras.layers.Dense(8, activation="relu", name="high")(low)
        >>> booster = keras.Model(inputs, keras.layers.Dense(3)(high), name="booster")
        >>> print(rocket_tf.ownership(rocket_tf.RocketModel(light, booster)))
                      parameters  layers
        shared                24       1
        light only            15       1
        booster only          67       2
                      multiply-adds
        light                    32
        booster                  76
    """
    if not hasattr(model, "light"):
        raise ValueError(f"ownership needs a RocketModel. Received: model={model!r}")
    nets = {"light": model.light} | ({} if model.booster is None else {"booster": model.booster})
    by_part = parts(model.light, model.booster, lambda net: net.variables)
    ids = {part: set(map(id, variables)) for part, variables in by_part.items()}
    layers = {id(layer): layer for net in nets.values() for layer in leaf_layers(net)}
    return Ownership(
        parameters={
            part: sum(math.prod(variable.shape) for variable in variables if is_parameter(variable))
            for part, variables in by_part.items()
        },
        layers={
            part: [
                layer.name
                for layer in layers.values()
                if any(id(variable) in ids[part] for variable in layer.weights)
            ]
            for part in PARTS
        },
        multiply_adds={name: count_multiply_adds(net) for name, net in nets.items()},
    )
