"""UT-ALS (3.1.1): user-track affinities factorised by weighted alternating least squares."""

from __future__ import annotations

from gpu_coldstart.config.components import UtAlsConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import AlsOptions, Csr, Engine
from gpu_coldstart.spaces.base import Progress, Space, unit_rows

__all__ = ["UtAls", "affinity", "affinity_of", "als_options", "covers"]


def affinity(engine: Engine, logs: Logs, parameters: UtAlsConfig) -> Csr:
    """How much each warm user is drawn to each track [warm users, tracks].

    ``stream_weight * log(1 + streams)``, plus a weight for each favourite that is the track, its
    album or its artist. A favourite counts for the tracks it covers even where none was streamed.
    """
    return affinity_of(
        engine,
        logs.history,
        logs.favorites,
        covers(engine, logs, parameters),
        parameters.stream_weight,
    )


def covers(engine: Engine, logs: Logs, parameters: UtAlsConfig) -> Csr:
    """What a favourite adds to the affinity of each track that it covers [entities, tracks]."""
    xp = engine.xp
    n_artists = int(logs.artist_ids.shape[0])
    weights = xp.concatenate(
        [
            xp.full(logs.n_tracks, parameters.favorite_track_weight, dtype=xp.float32),
            xp.full(n_artists, parameters.favorite_artist_weight, dtype=xp.float32),
            xp.full(
                logs.members.shape[0] - logs.n_tracks - n_artists,
                parameters.favorite_album_weight,
                dtype=xp.float32,
            ),
        ]
    )
    entity, _ = entries(engine, logs.members)
    return logs.members.with_data(weights[entity])


def affinity_of(
    engine: Engine, history: Csr, favorites: Csr, covered: Csr, stream_weight: float
) -> Csr:
    """The :func:`affinity` of some users, by row.

    Parameters
    ----------
    history : Csr [users, tracks]
    favorites : Csr [users, entities]
    covered : Csr [entities, tracks]
        What :func:`covers` returns.
    """
    xp = engine.xp
    liked = favorites.with_data(xp.ones(favorites.nnz, dtype=xp.float32))
    spread = engine.product(liked, covered)
    played = history.with_data(xp.float32(stream_weight) * xp.log1p(history.data))
    rows, columns, values = [], [], []
    for part in (played, spread):
        row, column = entries(engine, part)
        positive = part.data > 0
        rows.append(row[positive])
        columns.append(column[positive])
        values.append(part.data[positive])
    return engine.csr(
        xp.concatenate(rows), xp.concatenate(columns), xp.concatenate(values), history.shape
    )


def als_options(parameters: UtAlsConfig, seed: int) -> AlsOptions:
    """What the configured factorisation is."""
    return AlsOptions(
        factors=parameters.factors,
        iterations=parameters.iterations,
        regularization=parameters.regularization,
        confidence=parameters.confidence,
        cg_steps=parameters.cg_steps,
        seed=seed,
    )


class UtAls:
    """Users and tracks from factorising who streamed what, by alternating least squares.

    Tracks are as factorised; users are made unit afterwards.
    """

    name = "ut-als"
    label = "UT-ALS"
    Parameters = UtAlsConfig

    @staticmethod
    def fit(
        engine: Engine,
        logs: Logs,
        parameters: UtAlsConfig,
        seed: int,
        progress: Progress,
    ) -> Space:
        """Learn the space; users are made unit afterwards, tracks are left as factorised.

        A track without affinity has a null row.

        Unit users match the public release (whose users have norm 1), and make the targets of the
        network comparable between spaces.
        """
        losses: list[float] = []

        def report(iteration: int, loss: float) -> None:
            losses.append(loss)
            progress(iteration + 1, parameters.iterations, f"loss {loss:.6g}")

        drawn = affinity(engine, logs, parameters)
        users, tracks = engine.als(drawn, als_options(parameters, seed), report)
        # Nobody is drawn to these: what is left of their random start would be a direction, too.
        tracks[engine.xp.bincount(drawn.indices, minlength=logs.n_tracks) == 0] = 0
        return Space("ut-als", tracks, unit_rows(users), tuple(losses))
