"""Training a network on the warm users (3.2.3).

Batch normalisation stays in training mode while training and is frozen only to predict; the
public release froze it after eleven epochs by accident. Nothing here looks at test users: early
stopping reads the validation users' following days.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.components import Training
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.models.mlp import MlpModel
from gpu_coldstart.models.optimizers import SGD, Adam, Optimizer
from gpu_coldstart.models.steps import Steps
from gpu_coldstart.spaces import Progress, Space, unit_rows

__all__ = [
    "Checkpoint",
    "Network",
    "TrainingState",
    "check_batches",
    "copied",
    "go_on",
    "restore",
    "tensors_of",
    "train",
    "validation_targets",
]

_log = logging.getLogger(__name__)

_VALIDATION_BATCH = 2048

"""Users whose input vectors are made at once to be predicted."""


@dataclass(frozen=True)
class Network:
    """A trained network and its learning curves.

    Attributes
    ----------
    model : torch.nn.Module
    inputs, outputs : int
        Widths of the input vector and of the space.
    train_loss : tuple of float
        Mean squared error over each epoch, averaged over the users seen and dimensions.
    validation_cosine : tuple of float
        After each epoch, the mean cosine of validation users' predictions with their targets.
    best_epoch : int
        The epoch whose weights were kept, from 1.
    """

    model: nn.Module
    inputs: int
    outputs: int
    train_loss: tuple[float, ...]
    validation_cosine: tuple[float, ...]
    best_epoch: int


class TrainingState(NamedTuple):
    """All that the epochs to come depend on.

    Attributes
    ----------
    tensors : dict of name to Tensor
        The network's (batch normalisation included), the optimizer's, and the best network's so
        far.
    values : dict
        Curves and the best epoch, as JSON can hold them.
    """

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


class Checkpoint(Protocol):
    """Where training saves its state, so that it can resume after a kill with the same result."""

    @property
    def due(self) -> bool:
        """Whether the state should be saved now."""

    def load(self) -> TrainingState | None:
        """The last saved state, or None."""

    def save(self, state: TrainingState) -> None:
        """Save a state, replacing the previous one."""


def check_batches(options: Training, n_warm: int, section: str = "mlp") -> None:
    """Refuse to drop an incomplete batch where it is the only one.

    Parameters
    ----------
    section : str
        Configuration section of the options, for the error message.

    Raises
    ------
    UserError
        When there are fewer warm users than fill a batch and ``drop_last`` is set.
    """
    if options.drop_last and n_warm < options.batch_size:
        raise UserError(
            f"setting '{section}.drop_last' leaves nobody to train on: the {n_warm} warm users do "
            f"not fill a batch of {options.batch_size}; set it to false, or "
            f"{section}.batch_size lower"
        )


def validation_targets(engine: Engine, truth: Csr, space: Space) -> Array:
    """Where validation users should land [users, d] of float32.

    They have no embedding in the space; the mean of what they go on to stream is the closest
    substitute.

    Parameters
    ----------
    truth : Csr [validation users, tracks]
        What they go on to stream.
    """
    once = truth.with_data(engine.xp.ones(truth.nnz, dtype=engine.xp.float32))
    return engine.pool(once, unit_rows(space.tracks))


def train(
    engine: Engine,
    inputs: Inputs,
    *,
    warm: tuple[Array, Array],
    validation: tuple[Array, Array],
    options: Training,
    epochs: int,
    seed: int,
    progress: Progress,
    kind: Any = MlpModel,
    checkpoint: Checkpoint | None = None,
    after_epoch: Callable[[int, Array], None] = lambda epoch, places: None,
) -> Network:
    """Fit the network to warm users' embeddings.

    Parameters
    ----------
    warm, validation : (users, targets)
        Numbers of users [n], and where they should land [n, d] of float32. The targets of
        validation users are only measured against.
    epochs : int
        At most so many.
    seed : int
        Of the initial weights and of the order of the users in each epoch.
    kind : registered model
        Its ``build`` makes the network (see :data:`gpu_coldstart.registry.MODELS`), of the layers
        that :func:`gpu_coldstart.models.feedforward.feedforward` knows.
    checkpoint : Checkpoint, optional
        Where to go on from, if something was saved, and to save epochs to.
    after_epoch : callable
        Called with the number of an epoch, from 1, and where the network then puts the validation
        users [n, d]; it may raise, and so end the training.

    Raises
    ------
    UserError
        For a network of other layers.
    """
    device = engine.to_torch(warm[1][:1]).device
    dimension = int(warm[1].shape[1])
    _warn_of_precision(engine, kind, options)

    def built(*, training: bool) -> nn.Module:
        made: nn.Module = kind.build(engine, inputs.width, dimension, options, training=training)
        return made.to(device)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # What is kept does without the skipping of null blocks, which makes last bits depend on the
        # batch.
        model, kept = built(training=True), built(training=False)
        feedforward(engine, kept)  # refuses now what could not predict later
    optimizer = _optimizer(model, options)
    held_out = inputs.table(validation[0])
    losses: list[float] = []
    cosines: list[float] = []
    best, best_weights = 0, copied(model)
    saved = checkpoint.load() if checkpoint else None
    if saved is not None:
        best_weights = go_on(saved, model, optimizer)
        losses, cosines = saved.values["losses"], saved.values["cosines"]
        best = saved.values["best"]
    # After what was saved is in place: a graph goes on with the very tensors it was recorded with.
    steps = Steps(
        engine,
        inputs.table(warm[0]),  # which is not kept here: a rounded copy may take its place
        warm[1],
        model=model,
        optimizer=optimizer,
        precision=options.precision,
    )
    for epoch in range(len(losses), epochs):
        batches = _batches(engine, len(warm[0]), options, seed=seed, epoch=epoch)
        losses.append(steps.epoch(batches))
        places = _places(engine, held_out, model, len(validation[0]))
        cosines.append(_cosine(places, validation[1]))
        words = f"loss {losses[-1]:.5f}, validation cosine {cosines[-1]:.4f}"
        _log.info("epoch %d of %d: %s", epoch + 1, epochs, words)
        progress(epoch + 1, epochs, words)
        after_epoch(epoch + 1, places)
        if not options.patience:
            best = epoch
        elif epoch == 0 or cosines[-1] > cosines[best]:
            best, best_weights = epoch, copied(model)
        elif epoch - best >= options.patience:
            break
        if checkpoint and checkpoint.due:
            values = {"losses": losses, "cosines": cosines, "best": best}
            checkpoint.save(TrainingState(tensors_of(model, optimizer, best_weights), values))
    if options.patience:
        model.load_state_dict(best_weights)
    kept.load_state_dict(model.state_dict())
    return Network(kept.eval(), inputs.width, dimension, tuple(losses), tuple(cosines), best + 1)


def _warn_of_precision(engine: Engine, kind: Any, options: Training) -> None:
    if options.precision == "bfloat16" and not engine.multiplies_bfloat16():
        _log.warning(
            "setting '%s.precision' is bfloat16, for which this processor has no instructions: "
            "training takes longer than in float32",
            kind.name,
        )


def restore(
    engine: Engine,
    kind: Any,
    options: Training,
    weights: Mapping[str, torch.Tensor],
    *,
    inputs: int,
    outputs: int,
) -> nn.Module:
    """A trained network from its saved weights, ready to predict.

    Parameters
    ----------
    kind : registered model
    inputs, outputs : int
        Widths of the input vector and of the space.

    Raises
    ------
    ValueError
        When the weights do not fit such a network.
    """
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, though not kept
        model: nn.Module = kind.build(engine, inputs, outputs, options)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:  # what PyTorch says of other names and shapes
        raise ValueError("weights of another network") from error
    device = engine.to_torch(engine.xp.zeros(1, dtype=engine.xp.float32)).device
    return model.to(device).eval()


def tensors_of(
    model: nn.Module, optimizer: Optimizer, best: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors of a :class:`TrainingState`."""
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    return tensors | {f"optimizer/{name}": value for name, value in optimizer.tensors().items()}


def go_on(saved: TrainingState, model: nn.Module, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """Put a saved state into network and optimizer; returns the best weights so far."""
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    device = next(model.parameters()).device
    for place, tensor in saved.tensors.items():
        part, _, name = place.partition("/")
        parts[part][name] = tensor.to(device)
    model.load_state_dict(parts["model"])
    optimizer.go_on(parts["optimizer"])
    return parts["best"]


def _optimizer(model: nn.Module, options: Training) -> Optimizer:
    rates = {"learning_rate": options.learning_rate, "weight_decay": options.weight_decay}
    if options.optimizer == "sgd":
        return SGD(model.parameters(), momentum=options.momentum, **rates)
    return Adam(model.parameters(), **rates)


def _batches(engine: Engine, n: int, options: Training, *, seed: int, epoch: int) -> list[Array]:
    """Places of each batch's users in a fresh order; a last batch of one joins the one before.

    Batch normalisation has no variance to work with in a batch of one. With ``drop_last``, who is
    left out is another choice in each epoch.
    """
    size = options.batch_size
    order = np.random.default_rng((seed, epoch)).permutation(n)
    if options.drop_last:
        n -= n % size
    stops = list(range(size, n, size))
    if stops and n - stops[-1] == 1:
        stops.pop()
    on_device = engine.asarray(order)
    return [on_device[start:stop] for start, stop in zip([0, *stops], [*stops, n], strict=True)]


def copied(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a network as they are now, by name."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _places(engine: Engine, vectors: Callable[[Array], Array], model: nn.Module, n: int) -> Array:
    """Where a network in training puts users [n, d] of float32."""

    def placed(some: slice) -> tuple[Array]:
        return (engine.from_torch(model(engine.to_torch(vectors(some)))),)

    model.eval()
    with torch.inference_mode():
        (places,) = by_batches(engine.xp, n, placed, size=_VALIDATION_BATCH)
    return places


def _cosine(places: Array, targets: Array) -> float:
    """Mean cosine between predictions and targets."""
    return float((unit_rows(places) * unit_rows(targets)).sum(axis=1).mean())
