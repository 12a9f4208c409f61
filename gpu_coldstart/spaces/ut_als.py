"""UT-ALS (3.1.1): user-track affinities factorised by weighted alternating least squares."""

from __future__ import annotations

from gpu_coldstart.config.parameters import Config, UtAls
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import AlsOptions, Csr, Engine
from gpu_coldstart.spaces.base import Progress, Space, unit_rows

__all__ = ["affinity", "fit"]


def affinity(engine: Engine, logs: Logs, config: UtAls) -> Csr:
    """How much each warm user is drawn to each track [warm users, tracks].

    ``stream_weight * log(1 + streams)``, plus a weight for each favourite that is the track, its
    album or its artist. A favourite counts for the tracks it covers even where none was streamed.
    """
    xp = engine.xp
    n_artists = int(logs.artist_ids.shape[0])
    weights = xp.concatenate(
        [
            xp.full(logs.n_tracks, config.favorite_track_weight, dtype=xp.float32),
            xp.full(n_artists, config.favorite_artist_weight, dtype=xp.float32),
            xp.full(
                logs.members.shape[0] - logs.n_tracks - n_artists,
                config.favorite_album_weight,
                dtype=xp.float32,
            ),
        ]
    )
    liked = logs.favorites.with_data(weights[logs.favorites.indices])
    spread = engine.product(liked, logs.members)
    played = logs.history.with_data(xp.float32(config.stream_weight) * xp.log1p(logs.history.data))
    rows, columns, values = [], [], []
    for part in (played, spread):
        row, column = entries(engine, part)
        positive = part.data > 0
        rows.append(row[positive])
        columns.append(column[positive])
        values.append(part.data[positive])
    return engine.csr(
        xp.concatenate(rows), xp.concatenate(columns), xp.concatenate(values), logs.history.shape
    )


def fit(engine: Engine, logs: Logs, config: Config, progress: Progress) -> Space:
    """Learn the space; users are made unit afterwards, tracks are left as factorised.

    Unit users match the public release (whose users have norm 1), and make the targets of the
    network comparable between spaces.
    """
    options = config.ut_als
    losses: list[float] = []

    def report(iteration: int, loss: float) -> None:
        losses.append(loss)
        progress(iteration + 1, options.iterations, f"loss {loss:.6g}")

    users, tracks = engine.als(
        affinity(engine, logs, options),
        AlsOptions(
            factors=options.factors,
            iterations=options.iterations,
            regularization=options.regularization,
            confidence=options.confidence,
            cg_steps=options.cg_steps,
            seed=config.seed,
        ),
        report,
    )
    return Space("ut-als", tracks, unit_rows(users), tuple(losses))
