"""``gpu-coldstart data``: data sets to try the flow on, as Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Annotated

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.memory import with_room
from gpu_coldstart.datasets.published import NAMES
from gpu_coldstart.datasets.synthetic.world import PRESETS

__all__ = ["app"]

app = typer.Typer(
    help="Write a data set as Parquet files: made up, or published by others.",
    rich_markup_mode=None,
)

_Preset = Annotated[
    str,
    options.choice(
        "--preset",
        tuple(PRESETS),
        "tiny: a few hundred users, for tests; small (default): 9000 users; paper: 100000 users "
        "and 50000 tracks, the size of the paper's data (2 GB of memory).",
    ),
]
_Out = Annotated[Path, options.path("--out", "DIR", "Output folder.")]
_Seed = Annotated[int, options.integer("--seed", "N", "0 or more (default: 0).")]
_Force = Annotated[bool, options.flag("--force", "Replace files in DIR.")]


@app.callback()
def _group() -> None: ...


@app.command("synthetic", short_help="A made-up streaming service.")
@with_room
def synthetic(
    *, out: _Out, preset: _Preset = "small", seed: _Seed = 0, force: _Force = False
) -> None:
    """Write users, tracks, interactions and playlists of a made-up streaming service.

    The same preset and seed give the same tables.
    """
    from gpu_coldstart.datasets.files import table_writers
    from gpu_coldstart.datasets.synthetic.generate import generate

    with interruption.work():
        _write(table_writers(generate(PRESETS[preset], seed)), out, force=force)


@app.command("deezer-layout", short_help="The same in the files of the paper's public release.")
@with_room
def deezer_layout(
    *,
    out: _Out,
    preset: _Preset = "small",
    seed: _Seed = 0,
    force: _Force = False,
    strings: Annotated[
        bool,
        options.flag(
            "--strings",
            "Write lists as text ('[0.1, 0.2]'), as some copies of the release have them.",
        ),
    ] = False,
) -> None:
    """Write the made-up service in the layout of the public release of the paper's data.

    Embedding spaces, input vectors and truth, ready made, in eight Parquet files. Fitting the
    spaces takes seconds; with --preset paper, some minutes.
    """
    from gpu_coldstart.datasets.deezer.layout import FILES, make
    from gpu_coldstart.datasets.files import targets

    targets(FILES, out, force=force)
    with interruption.work():
        _write(make(preset, seed, as_text=strings), out, force=force)


@app.command("convert", short_help="A data set that others have published.")
@with_room
def convert(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", parser=options.one_of(NAMES), help=f"One of {', '.join(NAMES)}."
        ),
    ],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", parser=options.expanded, help="Its folder or archive, as downloaded."
        ),
    ],
    out: _Out,
    force: _Force = False,
) -> None:
    """Write users, tracks and interactions of a published data set, for --dataset events.

    What stands for what: docs/data.md.
    """
    from gpu_coldstart.datasets.files import targets
    from gpu_coldstart.datasets.published import reader

    targets(("users", "tracks", "interactions"), out, force=force)
    with interruption.work():
        _write(reader(name)(path), out, force=force)


def _write(writers: Mapping[str, Callable[[IO[bytes]], None]], out: Path, *, force: bool) -> None:
    import pyarrow.parquet as pq

    from gpu_coldstart.datasets.files import write_files
    from gpu_coldstart.regular import open_arrow

    write_files(writers, out, force=force)
    for name in writers:
        path = out / f"{name}.parquet"
        console.write(f"{path}: {pq.read_metadata(open_arrow(path)).num_rows} rows")
