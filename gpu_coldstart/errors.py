"""What a mistake of the user's raises: :class:`UserError`, or a kind of it that tells more."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = [
    "DeviceError",
    "EngineError",
    "EngineLimitError",
    "EngineUnavailableError",
    "MemoryBudgetError",
    "OutOfDeviceMemoryError",
    "UserError",
    "first_line",
    "gigabytes",
    "nearest",
]


class UserError(Exception):
    """A mistake in the input, the options or the surroundings, told in one sentence.

    The message names the file, column and row where there is one, and what to do about it.
    The command prints it without a traceback and exits with status 2.

    Examples
    --------
    >>> raise UserError("users.parquet has no column 'user_id': add it (int64, unique)")
    Traceback (most recent call last):
    gpu_coldstart.errors.UserError: users.parquet has no column 'user_id': add it (int64, unique)
    """


def first_line(error: BaseException) -> str:
    r"""What an error says, to go into a sentence: its first line without the stop, or its kind.

    Examples
    --------
    >>> first_line(ValueError("no such column.\nfile x.cpp, line 7")), first_line(KeyError())
    ('no such column', 'KeyError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


def nearest(name: str, names: Iterable[str]) -> str:
    """What to give instead of a name that is none of some.

    Examples
    --------
    >>> nearest("semmi", ["popularity", "semi"]), nearest("best", ["popularity", "semi"])
    ('did you mean semi?', 'use one of popularity, semi')
    """
    names = tuple(names)
    near = difflib.get_close_matches(name, names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(names)}"


_IN_PYTHON = MappingProxyType(
    {
        "cpu": "engine='cpu'",
        "memory_budget": "memory_budget",
        "device": "device",
        "least_budget": "3 << 29",
        "factors": "'factors'",
        "k": "k",
        "exclude_seen": "exclude_seen=False",
    }
)
"""What parameters are called in Python."""


class EngineError(UserError):
    """A mistake that an engine sees.

    An engine knows its own parameters, not what a command calls them.

    Parameters
    ----------
    template : str
        The sentence with parameters by name in braces: ``cpu`` for the choice of the CPU engine,
        ``memory_budget``, ``least_budget``, ``device``, ``factors``, ``k``, ``exclude_seen``.
    """

    def __init__(self, template: str):
        self._template = template
        super().__init__(self.worded(_IN_PYTHON))

    def worded(self, names: Mapping[str, str]) -> str:
        """The sentence with other names of the parameters."""
        return self._template.format_map(names)


class EngineUnavailableError(EngineError):
    """An engine that cannot run here.

    Attributes
    ----------
    engine : str
    reason : str
        What stands in the way.
    """

    def __init__(self, engine: str, reason: str):
        self.engine, self.reason = engine, reason
        escaped = reason.replace("{", "{{").replace("}", "}}")
        super().__init__(f"engine {engine} cannot run: {escaped}; mend that, or use {{cpu}}")


class DeviceError(EngineError):
    """A number of a card that is none.

    Attributes
    ----------
    device : int
        The number.
    cards : int
        How many there are; 0 on an engine that is not for a GPU.
    """

    def __init__(self, device: int, cards: int):
        self.device, self.cards = device, cards
        if not cards:
            template = "{device} is about a GPU: leave it out on engine cpu"
        elif cards == 1:
            template = f"{{device}} is {device}, but the only GPU here is 0: leave it out"
        else:
            template = f"{{device}} is {device}, but the GPUs here are 0 to {cards - 1}"
        super().__init__(template)


class MemoryBudgetError(EngineError):
    """A memory budget that cannot be kept.

    Attributes
    ----------
    budget : int
        Bytes.
    free, total : int
        Bytes of the device; 0 where it has no memory of its own.
    """

    def __init__(self, budget: int, free: int, total: int):
        self.budget, self.free, self.total = budget, free, total
        if not total:
            template = "{memory_budget} is about a GPU's memory: leave it out on engine cpu"
        elif budget > free:
            template = (
                f"{{memory_budget}} asks for {gigabytes(budget)}, but {gigabytes(free)} of the "
                f"GPU's {gigabytes(total)} are free: set it lower, or end what else runs there"
            )
        else:
            template = (
                f"{gigabytes(budget)} of GPU memory are too little: give {{memory_budget}} "
                "{least_budget} or more, or use {cpu}"
            )
        super().__init__(template)


class OutOfDeviceMemoryError(EngineError):
    """Work that the memory budget does not suffice for.

    Attributes
    ----------
    budget : int
        Bytes.
    work : str
        Name of the work, such as ``ALS``.
    """

    def __init__(self, budget: int, work: str):
        self.budget, self.work = budget, work
        super().__init__(
            f"the GPU memory of {gigabytes(budget)} does not suffice for {work}: raise "
            "{memory_budget} where the card has more, choose smaller sizes, or use {cpu}"
        )


class EngineLimitError(EngineError):
    """A parameter beyond what an engine's kernels take.

    Attributes
    ----------
    parameter : {"factors", "k"}
    value, limit : int
    """

    def __init__(self, parameter: str, value: int, limit: int):
        self.parameter, self.value, self.limit = parameter, value, limit
        super().__init__(_LIMITS[parameter].format(value=value, limit=limit))


_LIMITS = {
    "factors": (
        "setting {{factors}} is {value}, more than the {limit} that engine cuda takes: set it "
        "lower, or use {{cpu}}"
    ),
    "k": (
        "soft allocation on engine cuda makes lists of at most {limit} tracks, not {value}: set "
        "{{k}} lower, or {{exclude_seen}}, or use {{cpu}}"
    ),
}


def gigabytes(size: int) -> str:
    """A number of bytes as sentences have it.

    Examples
    --------
    >>> gigabytes(3 << 29)
    '1.5 GB'
    """
    return f"{size / (1 << 30):.1f} GB"
