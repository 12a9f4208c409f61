"""TT-SVD (3.1.2): PMI of tracks that share collections, factorised by truncated SVD."""

from __future__ import annotations

from gpu_coldstart.config.components import TtSvdConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Csr, Engine, PmiOptions, SvdOptions
from gpu_coldstart.errors import UserError
from gpu_coldstart.spaces.base import Progress, Space, unit_rows

__all__ = ["TtSvd", "collections", "cooccurrence"]

_FEW_SETS = 500
_NOTHING = (
    "no two tracks co-occur more than by chance, so TT-SVD has nothing to factorise: give "
    "playlists or longer histories, or set tt_svd.min_count and tt_svd.shift lower"
)


def collections(engine: Engine, logs: Logs, parameters: TtSvdConfig) -> tuple[Csr, tuple[str, ...]]:
    """The sets of tracks that co-occur [collections, tracks]: playlists, else histories.

    A set longer than ``max_tracks`` keeps its most played tracks; a playlist, which has no play
    counts, its most popular ones.

    Returns
    -------
    sets : Csr of ones
    notes : tuple of str
    """
    xp = engine.xp
    notes: tuple[str, ...] = ()
    sets = engine.take_rows(logs.members, xp.arange(logs.members.shape[0])[logs.playlists])
    if not sets.nnz:
        sets = logs.history
        notes = (
            "no playlists that count: TT-SVD counts tracks that share a listening history instead",
        )
    long = xp.diff(sets.indptr) > parameters.max_tracks
    if bool(long.any()):
        sets = _shortened(engine, sets, long, parameters.max_tracks)
    return sets.with_data(xp.ones(sets.nnz, dtype=xp.float32)), notes


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


def _check_dimension(logs: Logs, parameters: TtSvdConfig) -> None:
    if parameters.dimension > logs.n_tracks:
        raise UserError(
            f"setting 'tt_svd.dimension' is {parameters.dimension}, more than the "
            f"{logs.n_tracks} tracks: set it lower"
        )


def _pmi_options(parameters: TtSvdConfig) -> PmiOptions:
    return PmiOptions(
        shift=parameters.shift, smoothing=parameters.smoothing, min_count=parameters.min_count
    )


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
    return engine.pmi(cooccurrence(engine, sets), _pmi_options(parameters)).nnz > 0


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
        _check_dimension(logs, parameters)
        if not _co_occur(engine, collections(engine, logs, parameters)[0], parameters):
            raise UserError(_NOTHING)

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
        _check_dimension(logs, parameters)
        sets, notes = collections(engine, logs, parameters)
        progress(1, 4, "counting co-occurrences")
        counts = cooccurrence(engine, sets)
        progress(2, 4, f"PMI of {counts.nnz} pairs")
        pmi = engine.pmi(counts, _pmi_options(parameters))
        if not pmi.nnz:
            raise UserError(_NOTHING)
        progress(3, 4, f"SVD of {pmi.nnz} entries")
        svd = engine.svd(
            pmi,
            SvdOptions(
                rank=parameters.dimension,
                oversamples=parameters.oversamples,
                power_iterations=parameters.power_iterations,
                seed=seed,
            ),
        )
        tracks = unit_rows(svd.u * svd.s**parameters.exponent)
        # Made unit, the rounding errors of a null row would be a direction like any other.
        tracks[engine.xp.diff(pmi.indptr) == 0] = 0
        weights = logs.history
        if parameters.history == "distinct":
            weights = weights.with_data(engine.xp.ones(weights.nnz, dtype=engine.xp.float32))
        users = unit_rows(engine.pool(weights, tracks))
        progress(4, 4, "done")
        return Space("tt-svd", tracks, users, notes=notes)
