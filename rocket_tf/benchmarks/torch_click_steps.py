"""The steps of `click_steps.py` in PyTorch: eager, with sparse gradients for the tables."""

import itertools
import os

import torch
from torch import nn

from rocket_tf.benchmarks.settings import CLICK_TOWERS, TABLE_WIDTH, random_clicks
from rocket_tf.benchmarks.torch_steps import objective


class ClickNets(nn.Module):
    """Light net and booster over two shared tables.

    Args:
        rows: rows of each table.
        history: as for `click_steps.training_step`.
    """

    def __init__(self, rows, history):
        super().__init__()
        self.user, self.item = (nn.Embedding(rows, TABLE_WIDTH, sparse=True) for _ in range(2))
        width = (2 + history) * TABLE_WIDTH
        self.light, self.booster = (
            _tower(width, net, widths) for net, widths in CLICK_TOWERS.items()
        )

    def forward(self, ids):
        """The logits of light net and booster for int64 ids of shape (batch, 2 or 22)."""
        vectors = [self.user(ids[:, 0]), self.item(ids[:, 1])]
        if ids.shape[1] > 2:
            vectors.append(self.item(ids[:, 2:]).mean(1))
        low = torch.cat(vectors, 1)
        return self.light(low), self.booster(low)


def training_step(settings, share=1.0, history=False):
    """A training step of the same nets: SparseAdam for the tables, Adam for the rest.

    Arguments and return value are as for `click_steps.training_step`. It uses a thread for each
    processor.
    """
    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)
    rows = settings.rows_of(share)
    nets = ClickNets(rows, history)
    tables = [nets.user.weight, nets.item.weight]
    rest = [*nets.light.parameters(), *nets.booster.parameters()]
    optimizers = torch.optim.SparseAdam(tables, 1e-3), torch.optim.Adam(rest, 1e-3)
    batches = map(torch.from_numpy, random_clicks(settings, rows, history))
    batches = itertools.cycle(list(zip(*batches, strict=True)))

    def step():
        ids, labels = next(batches)
        loss = objective(*nets(ids), labels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    return step


def _tower(width, net, widths):
    parts = []
    for hidden in widths:
        parts.append(nn.Linear(width, hidden))
        if net == "booster":
            parts.append(nn.BatchNorm1d(hidden))
        parts.append(nn.ReLU())
        width = hidden
    return nn.Sequential(*parts, nn.Linear(width, 2))
