"""``gpu-coldstart artists``: homonyms in a table of tracks, told apart by sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.memory import with_room
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    from gpu_coldstart.artists.model import ArtistModel
    from gpu_coldstart.artists.tables import Catalogue
    from gpu_coldstart.engine import Engine

__all__ = ["app"]

app = typer.Typer(
    help="Tell artists apart by sound: learn to, split homonyms, place tracks.",
    rich_markup_mode=None,
)

_Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", parser=options.expanded, help="What 'artists train' has written."
    ),
]
_Data = Annotated[
    Path, options.path("--data", "DIR", "Tables, of which tracks is read: track_id, artist_id.")
]
_Audio = Annotated[
    Path,
    options.path(
        "--audio", "PLACE", "Sound files TRACK_ID.ogg and the like, or a table track_id, path."
    ),
]
_Seed = Annotated[int, options.integer("--seed", "N", "0 or more (default: 0).")]
_Engine = Annotated[str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")]
_Device = Annotated[int | None, options.device]
_Least = Annotated[
    int,
    options.integer("--least", "N", "Tracks that make an artist of their own (default: 2)."),
]
_Force = Annotated[bool, options.flag("--force", "Replace what is there.")]


@app.callback()
def _group() -> None: ...


@app.command("train", short_help="Learn to tell artists apart, from those who are known.")
@with_room
def train(
    *,
    data: _Data,
    audio: _Audio,
    out: Annotated[Path, options.path("--out", "FILE", "Where to write the model.")],
    test: Annotated[
        int,
        options.integer("--test", "N", "Artists to leave out, for 'evaluate' (default: 0)."),
    ] = 0,
    assignments: Annotated[
        list[str] | None,
        options.text("--set", "KEY=VALUE", "One setting, such as epochs=80; may be repeated."),
    ] = None,
    seed: _Seed = 0,
    engine: _Engine = "auto",
    device: _Device = None,
    force: _Force = False,
) -> None:
    """Learn a network that places tracks by sound, those of an artist near each other.

    Artists with one track take no part. Some of the others find the threshold at which the tracks
    of one are cut into several.
    """
    import numpy as np

    from gpu_coldstart.artists.model import ArtistModel
    from gpu_coldstart.config.artists import ArtistsConfig
    from gpu_coldstart.config.resolve import part

    if out.exists() and not force:
        raise UserError(f"{out} is there already: name another file or add --force")
    settings = part(ArtistsConfig, options.assigned(assignments or []))
    with _working(engine, device) as chosen:
        catalogue, files = _opened(data, audio)
        several = [artist for artist, rows in catalogue.by_artist(files) if len(rows) > 1]
        order = np.random.default_rng((seed, 1)).permutation(len(several))
        learned = {several[number] for number in order[test:]}
        rows = catalogue.rows(files, learned.__contains__)
        tracks = catalogue.hear(rows, files, settings, _told("tracks heard", len(rows)))
        told = _told("epochs", settings.epochs)
        model = ArtistModel.fit(
            chosen, tracks, settings, seed, lambda epoch, loss: told(epoch, f"loss {loss:.4f}")
        )
        model.save(out)
    console.write(
        f"learned from {len(rows)} tracks of {len(tracks.names)} artists; threshold "
        f"{model.threshold:.3f}: written to {out}"
    )


@app.command("split", short_help="Give homonyms ids of their own.")
@with_room
def split(
    *,
    model: _Model,
    data: _Data,
    audio: _Audio,
    out: Annotated[Path, options.path("--out", "DIR", "Where to write tracks.parquet.")],
    artists: Annotated[
        list[str] | None,
        options.text("--artist", "ID", "Look at this artist only; may be repeated."),
    ] = None,
    least: _Least = 2,
    engine: _Engine = "auto",
    device: _Device = None,
    force: _Force = False,
) -> None:
    """Write a table of tracks in which an artist who sounds like several is several.

    The largest part keeps the id, and so do tracks without sound. Nothing else changes.
    """
    from gpu_coldstart.artists.clustering import clusters
    from gpu_coldstart.artists.tables import with_artists
    from gpu_coldstart.datasets.files import table_writers, targets, write_files

    targets(("tracks",), out, force=force)
    with _working(engine, device) as chosen:
        learned = _loaded(chosen, model)
        catalogue, files = _opened(data, audio)
        wanted = set(artists or [])
        for artist in sorted(wanted.difference(catalogue.artists)):
            raise UserError(f"--artist {artist!r} is no artist of {data}: mend the id")
        parts: dict[int, int] = {}
        for artist, mine in catalogue.by_artist(files):
            if wanted and artist not in wanted:
                continue
            heard = catalogue.hear(mine, files, learned.options)
            places = learned.place(chosen, heard.heard)
            found = clusters(places, learned.threshold, least)
            if found.max() > 0:
                parts |= dict(zip(mine.tolist(), found.tolist(), strict=True))
                sizes = ", ".join(
                    str(int((found == part).sum())) for part in range(found.max() + 1)
                )
                console.write(f"{artist}: {found.max() + 1} artists, of {sizes} tracks")
        changed = {row: part for row, part in parts.items() if part}
        write_files(table_writers({"tracks": with_artists(catalogue, changed)}), out, force=force)
    silent = len(catalogue.rows(set(catalogue.tracks) - files.keys(), lambda _: True))
    if silent:
        console.write(f"note: {silent} tracks have no sound, and stay as they are")
    split_artists = len({catalogue.artists[row] for row in changed})
    console.write(f"{split_artists} artists split: written to {out / 'tracks.parquet'}")


@app.command("embed", short_help="Place tracks by sound.")
@with_room
def embed(
    *,
    model: _Model,
    data: _Data,
    audio: _Audio,
    out: Annotated[Path, options.path("--out", "FILE", "Output file: .parquet.")],
    engine: _Engine = "auto",
    device: _Device = None,
    force: _Force = False,
) -> None:
    """Write the embedding of every track with sound: track_id, embedding (unit vectors)."""
    import pyarrow as pa

    from gpu_coldstart.datasets.files import table_writers, targets, write_files

    if out.suffix != ".parquet":
        raise UserError(f"--out {out} does not end in .parquet: name such a file")
    targets((out.stem,), out.parent, force=force)
    with _working(engine, device) as chosen:
        learned = _loaded(chosen, model)
        catalogue, files = _opened(data, audio)
        rows = catalogue.rows(files, lambda _: True)
        told = _told("tracks placed", len(rows))
        places = []
        for place in range(len(rows)):
            heard = catalogue.hear(rows[place : place + 1], files, learned.options)
            places.append(learned.place(chosen, heard.heard)[0])
            told(place + 1)
        table = pa.table(
            {
                "track_id": catalogue.table["track_id"].take(pa.array(rows)),
                "embedding": pa.array(places, pa.list_(pa.float32())),
            }
        )
        write_files(table_writers({out.stem: table}), out.parent, force=force)
    console.write(f"{len(rows)} tracks: written to {out}")


@app.command("evaluate", short_help="Measure it on artists that it has not learned from.")
@with_room
def evaluate(
    *,
    model: _Model,
    audio: _Audio,
    data: Annotated[
        Path | None, options.path("--data", "DIR", "Tables; their artists are made homonyms.")
    ] = None,
    homonyms: Annotated[
        Path | None,
        options.path("--homonyms", "FILE", "In place of --data: the paper's homonym_dataset.csv."),
    ] = None,
    groups: Annotated[
        int, options.integer("--groups", "N", "How many to make of --data (default: 300).")
    ] = 300,
    least: _Least = 2,
    seed: _Seed = 0,
    engine: _Engine = "auto",
    device: _Device = None,
) -> None:
    """Cluster the tracks of homonyms, and compare with who made them.

    Homonyms are made of --data by taking two or three artists for one; every third group is one
    artist alone. Artists that the model has learned from take no part.
    """
    import numpy as np

    from gpu_coldstart.artists import homonyms as lists
    from gpu_coldstart.artists.audio import find
    from gpu_coldstart.artists.clustering import merged
    from gpu_coldstart.artists.evaluation import evaluate as measured
    from gpu_coldstart.artists.tables import read

    if data is not None and homonyms is not None:
        raise UserError("--data and --homonyms are both there: give one of them")
    if not groups:
        raise UserError("--groups is 0: make at least 1")
    with _working(engine, device) as chosen:
        learned = _loaded(chosen, model)
        files = find(audio)
        if homonyms is not None:
            catalogue, names = lists.read(homonyms)
        elif data is not None:
            catalogue, names = read(data), None
        else:
            raise UserError("there is nothing to evaluate on: give --data or --homonyms")
        left_out = {None, *learned.known}
        rows = catalogue.rows(files, lambda artist: artist not in left_out)
        if len({catalogue.artists[row] for row in rows}) < 2:
            raise UserError(
                f"{audio} has the sound of fewer than two artists that {model} has not learned "
                "from: train with --test, or add sound"
            )
        tracks = catalogue.hear(rows, files, learned.options, _told("tracks heard", len(rows)))
        if names is None:
            some = merged(tracks.artists, groups, np.random.default_rng(seed))
        else:
            of = np.array([names[row] for row in rows])
            some = [np.flatnonzero(of == name) for name in np.unique(of)]
        console.write(f"{len(rows)} tracks of {len(tracks.names)} artists, {len(some)} groups")
        console.write(f"{'':14}{'ARI':>9}{'AMI':>9}{'ARI of n':>9}{'whole':>9}{'EER':>9}")
        for each in measured(chosen, learned, tracks, some, least):
            numbers = (each.ari, each.ami, each.divided, each.whole, each.eer)
            console.write(f"{each.way:14}" + "".join(f"{number:9.3f}" for number in numbers))


# -- what they share -------------------------------------------------------------------------------


@contextmanager
def _working(engine: str, device: int | None) -> Iterator[Engine]:
    """The engine, with what a command needs around its work."""
    from gpu_coldstart.engine import choose

    chosen, reason = choose(engine, device=device)
    console.write(reason)
    remedy = "give fewer tracks, or train with fewer excerpts"
    with enough_memory(chosen, remedy), interruption.work():
        yield chosen


def _opened(data: Path, audio: Path) -> tuple[Catalogue, dict[str, Path]]:
    from gpu_coldstart.artists.audio import find
    from gpu_coldstart.artists.tables import read

    return read(data), find(audio)


def _loaded(engine: Engine, path: Path) -> ArtistModel:
    from gpu_coldstart.artists.model import ArtistModel

    return ArtistModel.load(engine, path)


def _told(what: str, total: int) -> Callable[..., None]:
    """Says about ten times how far something is."""
    step = max(1, -(-total // 10))

    def tell(done: int, detail: str = "") -> None:
        interruption.check()
        if done % step == 0 or done == total:
            console.write(f"{done} of {total} {what}" + (f", {detail}" if detail else ""))

    return tell
