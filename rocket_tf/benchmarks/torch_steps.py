"""Training steps of the rocket in PyTorch, eager."""

import os

import torch
from torch.nn import functional

from rocket_tf.benchmarks.torch_nets import RocketNets


def training_step(settings, autocast=False):
    """A training step of the rocket, with a thread for each processor.

    Args:
        settings: a `Settings`.
        autocast: whether the nets run under autocast to bfloat16; losses are float32 in any case.

    Returns:
        Function without arguments that takes one step and waits for its loss.
    """
    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)
    nets = RocketNets(settings.light_depth, settings.booster_depth)
    optimizer = make_optimizer(nets)
    images, labels = map(torch.from_numpy, settings.random_batch())
    return lambda: train_step(nets, optimizer, images, labels, autocast)


def make_optimizer(nets):
    """The equivalent of a default `SGDWithL2`, in one kernel: PyTorch's fastest on CPUs."""
    return torch.optim.SGD(nets.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)


def train_step(nets, optimizer, images, labels, autocast=False):
    """Takes one step and returns the objective before it, a float.

    Args:
        nets: a `RocketNets`.
        optimizer: its optimizer.
        images: shape (batch, height, width, 3), 0 to 255, any dtype.
        labels: int64, shape (batch,).
        autocast: as for `training_step`.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        light, booster = nets(images)
    loss = objective(light.float(), booster.float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def objective(light, booster, labels):
    """The sum of both label losses and the light net's hint with weight 0.03, a scalar.

    Args:
        light: logits, shape (batch, classes).
        booster: the same.
        labels: int64, shape (batch,).
    """
    hint = (light - booster.detach()).square().sum(-1).mean()
    return (
        functional.cross_entropy(light, labels)
        + functional.cross_entropy(booster, labels)
        + 0.03 * hint
    )
