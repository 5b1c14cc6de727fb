"""The steps of `players_elsewhere.py` in PyTorch: plain, TorchJD's, Opacus's."""

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

# Parameters stay where they are, as in JAX, whose step returns new ones.
RATE = 1e-9


def mlp() -> nn.Module:
    sizes = (32, 128, 128)
    layers = [
        layer
        for i, o in itertools.pairwise(sizes)
        for layer in (nn.Linear(i, o), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def cnn() -> nn.Module:
    convolutions = [
        layer
        for i, o in ((3, 16), (16, 32))
        for layer in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    dense = [nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*convolutions, *dense)


WORKS = {
    "MLP 32-128-128-10, 128": (mlp, (128, 32)),
    "CNN 32 x 32 x 3, 128": (cnn, (128, 3, 32, 32)),
}


def make_plain(model: nn.Module, x: torch.Tensor, labels: torch.Tensor):
    """The step of the mean gradient."""
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def step():
        optimizer.zero_grad()
        cross_entropy(model(x), labels).backward()
        optimizer.step()

    return step


def make_autogram(model: nn.Module, x: torch.Tensor, labels: torch.Tensor):
    """UPGrad from TorchJD's Gramian, and a second backward pass."""
    from torchjd.aggregation import UPGradWeighting
    from torchjd.autogram import Engine

    optimizer = torch.optim.SGD(model.parameters(), RATE)
    engine, weighting = Engine(model, batch_dim=0), UPGradWeighting()

    def step():
        optimizer.zero_grad()
        losses = cross_entropy(model(x), labels, reduction="none")
        weights = weighting(engine.compute_gramian(losses))
        losses.backward(weights)
        optimizer.step()

    return step


def make_autojac(model: nn.Module, x: torch.Tensor, labels: torch.Tensor):
    """UPGrad from TorchJD's Jacobian."""
    from torchjd.aggregation import UPGrad
    from torchjd.autojac import backward, jac_to_grad

    optimizer, rule = torch.optim.SGD(model.parameters(), RATE), UPGrad()

    def step():
        optimizer.zero_grad()
        backward(cross_entropy(model(x), labels, reduction="none"))
        jac_to_grad(list(model.parameters()), rule)
        optimizer.step()

    return step


def make_ghost(model: nn.Module, x: torch.Tensor, labels: torch.Tensor):
    """Opacus's ghost clipping, without noise."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    clipped = GradSampleModuleFastGradientClipping(model, max_grad_norm=1.0)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(model.parameters(), RATE),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=len(x),
    )
    loss = DPLossFastGradientClipping(clipped, optimizer, nn.CrossEntropyLoss())

    def step():
        optimizer.zero_grad()
        loss(clipped(x), labels).backward()
        optimizer.step()

    return step


def make_calls(name: str) -> dict[str, Callable[[], Any]]:
    """Steps of a work by name, each with a model of its own."""
    makers = {"plain, PyTorch": make_plain}
    if importlib.util.find_spec("torchjd"):
        makers["UPGrad, TorchJD autogram"] = make_autogram
        makers["UPGrad, TorchJD autojac"] = make_autojac
    if importlib.util.find_spec("opacus"):
        makers["clipping, Opacus ghost"] = make_ghost
    build, shape = WORKS[name]
    torch.manual_seed(0)
    batch = torch.randn(shape), torch.randint(0, 10, (shape[0],))
    return {step: make(build(), *batch) for step, make in makers.items()}
