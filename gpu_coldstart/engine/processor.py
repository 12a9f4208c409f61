"""What an engine says of its processor, and how PyTorch trains fastest there.

All of it has a default; what an engine must do is in :mod:`gpu_coldstart.engine.base`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gpu_coldstart.engine.types import Step
from gpu_coldstart.errors import DeviceError, MemoryBudgetError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gpu_coldstart.errors import UserError

__all__ = ["Processor"]


class Processor(ABC):
    """The part of an engine that is about its processor alone."""

    name: str
    """``"cpu"``, ``"cuda"``, or what an installed package calls it."""

    label: str
    """As people read it."""

    threads: int
    """CPU threads, on whose number the last bits of sums depend; 0 where they do not."""

    xp: Any
    """Array namespace for elementwise work: the module ``numpy`` or ``cupy``."""

    resident_bytes: int
    """A matrix that is read over and over is kept whole up to this size, else made anew by parts.

    It changes how long a run takes, never what it finds.
    """

    users_at_once: int = 16
    """Users whom a network, or a blend of candidates, is given at once.

    So few keep the prediction for one alone short, and stay in a processor's cache.
    """

    device: str = ""
    """What the processor is, where results depend on it: a model of GPU."""

    @classmethod
    def make(cls, memory_budget: int | None = None, device: int | None = None) -> tuple[Self, str]:
        """The engine and one line that says which it is and why.

        Parameters
        ----------
        memory_budget : int or None
            Bytes of GPU memory to stay below.
        device : int or None
            Which GPU; None for the current one.

        Raises
        ------
        MemoryBudgetError, DeviceError
            For any budget or device, unless the engine is for a GPU and overrides this.
        EngineUnavailableError
            From an engine that cannot run here.
        """
        if memory_budget is not None:
            raise MemoryBudgetError(memory_budget, 0, 0)
        if device is not None:
            raise DeviceError(device, 0)
        return cls(), f"engine {cls.name}: asked for"

    def check_other(self, device: int) -> None:
        """Check a GPU on which another process is to do a part of a run of this engine's.

        Raises
        ------
        DeviceError
            For a number that is no GPU's.
        UserError
            For a GPU of another model, which would come to other results.
        """
        del device

    def compile(self) -> Iterator[str]:
        """Compile what can be compiled before there are data, and keep it for other processes.

        Yields
        ------
        str
            What is compiled, as people read it.
        """
        return iter(())

    def caches(self) -> tuple[Path, ...]:
        """Directories in which this process has kept compiled code, or has found it."""
        return ()

    def peak_mb(self) -> float:
        """Most device memory in use since this was last asked, in MB; 0 on the CPU."""
        return 0.0

    def reserved_mb(self) -> float:
        """Device memory now taken from the driver, in use or kept for later, in MB."""
        return 0.0

    def explain(self, error: BaseException) -> UserError | None:
        """What to raise for an error that tells a lack of the device's memory, else None."""
        del error
        return None

    def input_layer(self, inputs: int, outputs: int, block: int) -> nn.Linear:
        """The first layer of a network, as is fastest here while it trains.

        Weights, their names and their initial values are those of :class:`torch.nn.Linear`, and so
        is what it computes, but for last bits.

        Parameters
        ----------
        inputs, outputs : int
        block : int
            Width of the blocks of the input vector, many of which are null.
        """
        from torch import nn

        del block
        return nn.Linear(inputs, outputs)

    def multiplies_bfloat16(self) -> bool:
        """Whether there are instructions here for products of bfloat16, which then are faster."""
        return False

    def chained(
        self, model: nn.Module, parts: Sequence[nn.Module]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """What computes a network as is fastest here while it trains, the same but for last bits.

        Factors of products are rounded as :class:`torch.autocast` says where it is called.

        Parameters
        ----------
        model : torch.nn.Module
        parts : sequence of torch.nn.Module
            What it computes, one after the other.
        """
        del parts
        return model

    def repeated(self, step: Step, changed: Sequence[torch.Tensor]) -> Step:
        """A training step, as fast as it can be repeated here; it learns the same.

        Parameters
        ----------
        step : callable
            Trains on the users at some places. For a given number of them it does the same work
            each time, on tensors that stay where they are; there are few such numbers.
        changed : sequence of Tensor
            All that it changes from one time to the next, on one device.
        """
        del changed
        return step
