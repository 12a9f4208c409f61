"""What a rehearsal writes down: the calls made on stand-ins, and what crossed between memories."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple

__all__ = [
    "Call",
    "Stage",
    "Transfer",
    "UndefinedError",
    "cupy_card",
    "current",
    "enter",
    "lacking",
    "note",
    "recorded",
    "select_cupy_card",
    "transfer",
]


class UndefinedError(AssertionError):
    """What a real library would let pass without a word, to results that are wrong or change.

    No handler for the real library's exceptions catches it.
    """


class Call(NamedTuple):
    """One way in which a function was called."""

    name: str
    """The dotted name it has in the real library."""
    positional: int
    """Number of positional arguments, without ``self``."""
    keywords: tuple[str, ...]


class Transfer(NamedTuple):
    """Something that would have crossed between the host's memory and the device's."""

    kind: Literal["host-to-device", "device-to-host", "scalar"]
    nbytes: int
    where: str
    """File and function of the nearest caller inside gpu_coldstart; empty if there is none."""


@dataclass(eq=False)  # two rehearsals are never one, however alike
class Stage:
    """A rehearsal: the card it pretends to have, and its log.

    Attributes
    ----------
    compute_capability : str
        Two digits, as CuPy says it: ``"90"``.
    total_memory : int
        Bytes.
    largest_allocation : int or None
        An array of more bytes raises CuPy's out-of-memory error; None for ``total_memory``.
    cupy_cuda : int or None
        Major version of the CUDA that CuPy is built for; None for PyTorch's.
    cards : tuple of str
        Names of the cards of the machine.
    selected : dict of library to int
        The current card of PyTorch and of CuPy, which need not know of each other's.
    taken : int
        Bytes of each card's memory that others hold.
    empty_cluster : bool
        Whether k-means leaves a cluster without points, as cuML's may.
    launch_shape : (grid, block), or None
        Of every kernel's launch, in place of what the engine says.
    """

    compute_capability: str = "90"
    total_memory: int = 80 << 30
    rapids: bool = True
    cupy_cuda: int | None = None
    largest_allocation: int | None = None
    cards: tuple[str, ...] = ("rehearsed card",)
    selected: dict[str, int] = field(default_factory=lambda: {"torch": 0, "cupy": 0})
    taken: int = 1 << 30
    empty_cluster: bool = False
    launch_shape: tuple[int, int] | None = None
    transfers: list[Transfer] = field(default_factory=list)
    calls: set[Call] = field(default_factory=set)
    allocations: dict[int, int] = field(default_factory=dict)
    """Sizes of what PyTorch's allocator handed out and did not get back, by address."""
    allocator: Any = None
    """What CuPy was last told to take memory with; None for the driver."""
    resource: Any = None
    """What RMM was last told to take memory from."""

    def write_calls(self, path: Path | str) -> None:
        """Write the calls as JSON, for ``check_cuda_api.py``."""
        rows = [[call.name, call.positional, list(call.keywords)] for call in sorted(self.calls)]
        Path(path).write_text(json.dumps(rows, indent=0) + "\n")

    def moved(self, kind: str) -> list[Transfer]:
        """The transfers of one kind."""
        return [transfer for transfer in self.transfers if transfer.kind == kind]


_stages = [Stage()]


def current() -> Stage:
    """The stage that stand-ins write to."""
    return _stages[-1]


_of_thread = threading.local()
"""CuPy's current card of each thread but the main one, whose is the stage's; it begins with 0."""


def cupy_card() -> int:
    """CuPy's current card in this thread."""
    if threading.current_thread() is threading.main_thread():
        return current().selected["cupy"]
    return int(getattr(_of_thread, "card", 0))


def select_cupy_card(card: int) -> None:
    """Make a card CuPy's current one in this thread."""
    if threading.current_thread() is threading.main_thread():
        current().selected["cupy"] = card
    _of_thread.card = card


def enter(stage: Stage) -> Callable[[], None]:
    """Make ``stage`` the current one; returns what leaves it again."""
    _stages.append(stage)
    return lambda: _stages.remove(stage)


def note(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Write down a call."""
    current().calls.add(Call(name, len(arguments), tuple(sorted(keywords))))


def recorded(name: str, function: Callable[..., Any], *, method: bool = False) -> Any:
    """The function, writing down each call under the real library's name for it."""

    @wraps(function)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        note(name, arguments[1:] if method else arguments, keywords)
        return function(*arguments, **keywords)

    return wrapper


def lacking(name: str, allocate: Callable[[], object]) -> None:
    """Ask an allocator for more than there is; only MemoryError passes through C++ unharmed."""
    try:
        allocate()
    except MemoryError:
        return
    except Exception as error:
        raise UndefinedError(f"{name}: C++ code takes {type(error)} for another fault") from error
    raise UndefinedError(f"{name}: more than the card has was handed out")


def transfer(kind: Literal["host-to-device", "device-to-host", "scalar"], nbytes: int) -> None:
    """Write down that bytes crossed."""
    current().transfers.append(Transfer(kind, nbytes, _nearest_caller()))


def _nearest_caller() -> str:
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == "gpu_coldstart" or module.startswith("gpu_coldstart."):
            return f"{module.replace('.', '/')}.py:{frame.f_code.co_qualname}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""
