"""TT-SVD (3.1.2): PMI of tracks that share collections, factorised by truncated SVD."""

from __future__ import annotations

from gpu_coldstart.config.components import TtSvdConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine, PmiOptions, Svd, SvdOptions
from gpu_coldstart.errors import UserError
from gpu_coldstart.spaces.base import Progress, Space, unit_rows

__all__ = [
    "NOTHING",
    "NO_PLAYLISTS",
    "TtSvd",
    "capped",
    "check_dimension",
    "collections",
    "cooccurrence",
    "listed",
    "placed",
    "pmi_options",
    "svd_options",
    "users_at",
]

_FEW_SETS = 500
NO_PLAYLISTS = (
    "no playlists that count: TT-SVD counts tracks that share a listening history instead"
)
NOTHING = (
    "no two tracks co-occur more than by chance, so TT-SVD has nothing to factorise: give "
    "playlists or longer histories, or set tt_svd.min_count and tt_svd.shift lower"
)


def collections(engine: Engine, logs: Logs, parameters: TtSvdConfig) -> tuple[Csr, tuple[str, ...]]:
    """The sets of tracks that co-occur [collections, tracks]: playlists, else histories.

    Returns
    -------
    sets : Csr of ones
        As :func:`capped` leaves them.
    notes : tuple of str
    """
    sets = listed(engine, logs)
    if sets.nnz:
        return capped(engine, sets, parameters.max_tracks), ()
    return capped(engine, logs.history, parameters.max_tracks), (NO_PLAYLISTS,)


def listed(engine: Engine, logs: Logs) -> Csr:
    """The playlists that count [playlists, tracks]."""
    every = engine.xp.arange(logs.members.shape[0])
    return engine.take_rows(logs.members, every[logs.playlists])


def capped(engine: Engine, sets: Csr, max_tracks: int) -> Csr:
    """Ones where sets hold tracks, of a set longer than ``max_tracks`` only its most played tracks.

    Of a playlist, which has no play counts, these are its most popular ones.
    """
    xp = engine.xp
    long = xp.diff(sets.indptr) > max_tracks
    if bool(long.any()):
        sets = _shortened(engine, sets, long, max_tracks)
    return sets.with_data(xp.ones(sets.nnz, dtype=xp.float32))


def _shortened(engine: Engine, sets: Csr, long: object, limit: int) -> Csr:
    """Keep the ``limit`` largest entries of the long rows."""
    xp = engine.xp
    mask = xp.asarray(long)
    numbers = xp.arange(sets.shape[0])[mask]
    best, _ = engine.row_top(engine.take_rows(sets, numbers), limit)
    row, column = entries(engine, sets)
    short = ~mask[row]
    rows = xp.concatenate([row[short], xp.repeat(numbers, limit).astype(xp.int32)])
    columns = xp.concatenate([column[short], best.ravel()])
    return engine.csr(rows, columns, xp.ones(len(rows), dtype=xp.float32), sets.shape)


def cooccurrence(engine: Engine, sets: Csr) -> Csr:
    """Number of sets that two different tracks share [tracks, tracks], symmetric."""
    xp = engine.xp
    counts = engine.product(engine.transpose(sets), sets)
    rows, columns = entries(engine, counts)
    apart = rows != columns
    lengths = xp.bincount(rows[apart], minlength=counts.shape[0])
    indptr = xp.concatenate([xp.zeros(1, dtype=xp.int64), xp.cumsum(lengths)])
    return Csr(indptr, columns[apart], counts.data[apart], counts.shape)


def check_dimension(logs: Logs, parameters: TtSvdConfig) -> None:
    """Refuse more dimensions than there are tracks.

    Raises
    ------
    UserError
    """
    if parameters.dimension > logs.n_tracks:
        raise UserError(
            f"setting 'tt_svd.dimension' is {parameters.dimension}, more than the "
            f"{logs.n_tracks} tracks: set it lower"
        )


def pmi_options(parameters: TtSvdConfig) -> PmiOptions:
    """What the configured PMI is."""
    return PmiOptions(
        shift=parameters.shift, smoothing=parameters.smoothing, min_count=parameters.min_count
    )


def svd_options(parameters: TtSvdConfig, seed: int) -> SvdOptions:
    """What the configured SVD is."""
    return SvdOptions(
        rank=parameters.dimension,
        oversamples=parameters.oversamples,
        power_iterations=parameters.power_iterations,
        seed=seed,
    )


def placed(
    engine: Engine, logs: Logs, parameters: TtSvdConfig, svd: Svd, entries: Array
) -> tuple[Array, Array]:
    """Places of tracks and warm users in the space.

    Parameters
    ----------
    svd : Svd
        Of the PMI of all tracks.
    entries : Array [tracks] of integers
        Of each track's row.
    """
    tracks = unit_rows(svd.u * svd.s**parameters.exponent)
    # Made unit, the rounding errors of a null row would be a direction like any other.
    tracks[entries == 0] = 0
    return tracks, users_at(engine, logs.history, tracks, parameters)


def users_at(engine: Engine, history: Csr, tracks: Array, parameters: TtSvdConfig) -> Array:
    """Places [users, d] of users with some history [users, tracks], given those of tracks."""
    if parameters.history == "distinct":
        history = history.with_data(engine.xp.ones(history.nnz, dtype=engine.xp.float32))
    return unit_rows(engine.pool(history, tracks))


def _co_occur(engine: Engine, sets: Csr, parameters: TtSvdConfig) -> bool:
    """Whether any two tracks have a positive PMI.

    Without a shift, a pair that is counted is enough: the mean PMI of the counted pairs is the
    divergence of their distribution from one that also pairs tracks with themselves, and so above
    0. Mostly a few sets have one.
    """
    few = engine.take_rows(sets, engine.xp.arange(min(_FEW_SETS, sets.shape[0])))
    counted = cooccurrence(engine, few).data >= parameters.min_count
    if parameters.shift <= 1 and bool(counted.any()):
        return True
    return engine.pmi(cooccurrence(engine, sets), pmi_options(parameters)).nnz > 0


class TtSvd:
    """Tracks are near each other that share playlists more often than by chance.

    Their vectors are unit ones; warm users are the unit mean of their history's.
    """

    name = "tt-svd"
    label = "TT-SVD"
    Parameters = TtSvdConfig

    @staticmethod
    def check(engine: Engine, logs: Logs, parameters: TtSvdConfig) -> None:
        """Refuse more dimensions than there are tracks, and tracks that never co-occur.

        Raises
        ------
        UserError
        """
        check_dimension(logs, parameters)
        if not _co_occur(engine, collections(engine, logs, parameters)[0], parameters):
            raise UserError(NOTHING)

    @staticmethod
    def fit(
        engine: Engine,
        logs: Logs,
        parameters: TtSvdConfig,
        seed: int,
        progress: Progress,
    ) -> Space:
        """Learn the space: unit track vectors, and warm users as the unit mean of their history.

        Raises
        ------
        UserError
            What :meth:`check` refuses.
        """
        check_dimension(logs, parameters)
        sets, notes = collections(engine, logs, parameters)
        progress(1, 4, "counting co-occurrences")
        counts = cooccurrence(engine, sets)
        progress(2, 4, f"PMI of {counts.nnz} pairs")
        pmi = engine.pmi(counts, pmi_options(parameters))
        if not pmi.nnz:
            raise UserError(NOTHING)
        progress(3, 4, f"SVD of {pmi.nnz} entries")
        svd = engine.svd(pmi, svd_options(parameters, seed))
        tracks, users = placed(engine, logs, parameters, svd, engine.xp.diff(pmi.indptr))
        progress(4, 4, "done")
        return Space("tt-svd", tracks, users, notes=notes)
