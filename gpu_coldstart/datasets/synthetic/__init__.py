"""A synthetic world with the difficulties of the real one."""

from __future__ import annotations

from typing import Any

__all__ = ["frames"]


def frames(preset: str = "tiny", seed: int = 0) -> dict[str, Any]:
    """The tables of a synthetic world, to try things on.

    Parameters
    ----------
    preset : {"tiny", "small", "paper"}
    seed : int
        0 or more.

    Returns
    -------
    dict of str to pyarrow.Table
        ``users``, ``tracks``, ``interactions`` and ``playlists``, by the data contract.

    Examples
    --------
    >>> frames("tiny")["tracks"].column_names
    ['track_id', 'artist_id', 'album_id', 'genre']
    """
    from gpu_coldstart.datasets.synthetic.generate import generate
    from gpu_coldstart.datasets.synthetic.world import PRESETS

    return generate(PRESETS[preset], seed)
