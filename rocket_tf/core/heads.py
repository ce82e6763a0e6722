"""The heads of a model's nets: one output each, or several by name, as one flat dict.

A net with one output has one head with the net's name ("light"). A net with several, a dict, has a
head for each, named "light_<output>".
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Head:
    """One output of one net.

    Attributes:
        net: "light" or "booster".
        output: name of the output; `None` if it is the only one.

    Example:
        >>> Head("light").name, Head("light", "click").name
        ('light', 'light_click')
    """

    net: str
    output: str | None = None

    @property
    def name(self):
        """Its name in logs, losses and outputs."""
        return self.net if self.output is None else f"{self.net}_{self.output}"


def heads_of(outputs):
    """The heads of nets.

    Args:
        outputs: dict from nets to their outputs, each a tensor or a dict of tensors.

    Returns:
        Dict from the heads' names to `Head`s.

    Example:
        >>> list(heads_of({"light": "logits", "booster": "logits"}))  # tensors, in practice
        ['light', 'booster']
        >>> list(heads_of({"light": {"click": "logits", "like": "logits"}}))
        ['light_click', 'light_like']
    """
    heads = [Head(net, name) for net, output in outputs.items() for name in by_output(output)]
    return {head.name: head for head in heads}


def by_output(outputs):
    """A net's outputs as a dict by name, which is `None` for the only one.

    Example:
        >>> by_output("logits"), by_output({"click": "logits"})
        ({None: 'logits'}, {'click': 'logits'})
    """
    return outputs if isinstance(outputs, dict) else {None: outputs}


def flat(outputs):
    """The outputs of nets, a dict as `heads_of` takes it, as a dict by the heads' names.

    Example:
        >>> flat({"light": {"click": 1, "like": 2}})
        {'light_click': 1, 'light_like': 2}
    """
    return {
        Head(net, name).name: tensor
        for net, output in outputs.items()
        for name, tensor in by_output(output).items()
    }


def spread(argument, value, heads):
    """A value for each head.

    Args:
        argument: name of the value in messages.
        value: one for all; or a dict by net, by output, by net and then output, or by head. Heads
            that a dict does not name get `None`.
        heads: as `heads_of` gives them.

    Raises:
        ValueError: if a dict has other keys.

    Example:
        >>> heads = heads_of({"light": 0, "booster": 0})
        >>> spread("loss", "mse", heads), spread("loss", {"light": "mse"}, heads)
        ({'light': 'mse', 'booster': 'mse'}, {'light': 'mse', 'booster': None})
    """
    if not isinstance(value, dict):
        return dict.fromkeys(heads, value)
    nets = list(dict.fromkeys(head.net for head in heads.values()))
    outputs = [head.output for head in heads.values() if head.output is not None]
    outputs = list(dict.fromkeys(outputs))
    if set(value) <= set(nets):
        spread_values = {}
        for net in nets:
            heads_of_net = {name: head for name, head in heads.items() if head.net == net}
            is_by_output = isinstance(value.get(net), dict)
            if is_by_output and not set(value[net]) <= set(outputs):
                raise ValueError(_message(argument, value, outputs))
            spread_values |= {
                name: value[net].get(head.output) if is_by_output else value.get(net)
                for name, head in heads_of_net.items()
            }
        return spread_values
    if set(value) <= set(heads):
        return {name: value.get(name) for name in heads}
    if set(value) <= set(outputs):
        return {name: value.get(head.output) for name, head in heads.items()}
    raise ValueError(_message(argument, value, [*nets, *outputs]))


def _message(argument, value, keys):
    return f"{argument}, as a dict, has keys among {keys}. Received: {argument}={value}"
