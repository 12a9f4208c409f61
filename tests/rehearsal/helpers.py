"""What the tests of the stand-ins share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

__all__ = ["refused"]


def refused(how: tuple[type[BaseException], str], *attempts: Callable[[], object]) -> None:
    """Each of the attempts raises an error of this kind, with this in its message."""
    for attempt in attempts:
        with pytest.raises(how[0], match=how[1]):
            attempt()
