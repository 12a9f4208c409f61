"""How time and memory grow with users, events and tracks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bench.benchmarks.flow import preset_for, seconds_of, whole_flow
from bench.cases import Benchmark, Case, Contender, Setting, Work
from bench.data import world_of
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import World

_EPOCHS = 2
_TIMES = (2, 4)
_KNOBS = {
    "users": ("n_warm", "n_validation", "n_test"),
    "events": ("warm_tracks_mean", "cold_tracks_mean", "day_streams"),
    "tracks": ("n_tracks", "n_playlists"),
}


def _grown(world: World, what: str, times: int) -> World:
    """The world with several times as many users, events of each user, or tracks and playlists."""
    return replace(world, **{name: times * getattr(world, name) for name in _KNOBS[what]})


def _prepare(setting: Setting) -> Case:
    base = world_of(setting.scale / max(_TIMES))
    worlds = {"1x": base} | {
        f"{times}x {what}": _grown(base, what, times) for what in _KNOBS for times in _TIMES
    }
    settings = {
        "spaces": ["tt-svd"],
        "seed": setting.seed,
        "mlp.epochs_tt_svd": _EPOCHS,
        # Else their number would grow with the users.
        "segments.k": max(2, base.n_warm // 70),
        "evaluation.analysis": False,
    }

    def start(world: World) -> Work:
        tables = generate(world, setting.seed)
        return whole_flow(setting.engine, tables, preset_for(base), settings)

    return Case(
        contenders=[
            Contender(name, partial(start, world), ours=name == "1x")
            for name, world in worlds.items()
        ],
        sizes={"users": base.n_warm + base.n_validation + base.n_test, "tracks": base.n_tracks},
        versus=False,
        parts=seconds_of,
    )


BENCHMARKS = (
    Benchmark(
        "growth",
        f"the flow in the TT-SVD space, {_EPOCHS} epochs of training, no analysis; from a quarter "
        "of the scale up to four times as many users, events of each user, or tracks and "
        "playlists",
        _prepare,
        slow=True,
        most_rounds=2,
    ),
)
"""What this file measures."""
