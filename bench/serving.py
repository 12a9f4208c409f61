"""How long a saved model takes to load, and to recommend to new users, as JSON.

``python bench/serving.py`` fits a model on the synthetic world, saves it, and serves it in a fresh
process, once for each space; ``--bundle DIR`` serves a model of your own. The users are those of
the world after the warm ones, each with the events of the first day, called one at a time and all
at once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MOST_USERS = 500


def fit(space: str, preset: str, bundle: Path) -> None:
    """Fit on the synthetic world and save."""
    from gpu_coldstart import ColdStart, Dataset
    from gpu_coldstart.datasets.synthetic import frames

    dataset = Dataset.from_frames(**frames(preset))
    ColdStart(space=space, preset=preset).fit(dataset).save(bundle)


def serve(bundle: Path, preset: str, engine: str) -> dict[str, Any]:
    """Seconds to import and load, then milliseconds to recommend, in this process."""
    started = time.perf_counter()
    from gpu_coldstart import ColdStart

    imported = time.perf_counter()
    model = ColdStart.load(bundle, engine=engine)
    loaded = time.perf_counter()

    import numpy as np

    users, days = newcomers(preset)
    everybody = _together(users), _together(days)
    answer: dict[str, Any] = {
        "import_s": round(imported - started, 3),
        "load_s": round(loaded - imported, 3),
        "bytes": sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
        "users": len(users),
        "strategies": {},
    }
    for name in model.config.strategies.names:
        model.recommend(users[0], days[0], strategy=name)  # what is made once is made here
        times = []
        for user, day in zip(users, days, strict=True):
            begun = time.perf_counter()
            model.recommend(user, day, strategy=name)
            times.append(1000 * (time.perf_counter() - begun))
        begun = time.perf_counter()
        model.recommend(*everybody, strategy=name)
        answer["strategies"][name] = {
            "one_user_ms": {
                f"p{percent}": round(float(np.percentile(times, percent)), 2)
                for percent in (50, 95, 99)
            },
            "users_per_s_at_once": round(len(users) / (time.perf_counter() - begun)),
        }
    return answer


def newcomers(preset: str) -> tuple[list[Any], list[Any]]:
    """Users of the synthetic world, at most 500, and of their first day: a table for each user."""
    import pyarrow.compute as pc

    from gpu_coldstart.datasets.synthetic import frames

    tables = frames(preset)
    users, interactions = tables["users"], tables["interactions"]
    cold = users.filter(pc.not_equal(users["split"], "warm"))[:MOST_USERS]
    days = interactions.join(
        cold.select(["user_id", "registered_at"]), "user_id", join_type="inner"
    )
    early = pc.less(pc.days_between(days["registered_at"], days["timestamp"]), 1)
    days = days.filter(early).drop_columns("registered_at")
    of = {
        user: days.filter(pc.equal(days["user_id"], user)) for user in cold["user_id"].to_pylist()
    }
    return [cold[i : i + 1] for i in range(len(cold))], list(of.values())


def _together(tables: list[Any]) -> Any:
    import pyarrow as pa

    return pa.concat_tables(tables)


def main() -> None:
    """Parse options, and measure in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--preset", default="small", choices=("tiny", "small", "paper"))
    parser.add_argument("--space", nargs="+", default=["tt-svd", "ut-als"])
    parser.add_argument("--engine", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bundle", type=Path, help="a saved model; its users are the preset's")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        sys.stdout.write(json.dumps(serve(options.bundle, options.preset, options.engine)))
        return
    answer: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for space in [str(options.bundle)] if options.bundle else options.space:
            bundle = options.bundle or Path(place, space)
            if options.bundle is None:
                fit(space, options.preset, bundle)
            words = [sys.executable, __file__, "--here", "--bundle", str(bundle)]
            words += ["--preset", options.preset, "--engine", options.engine]
            threads = {"OMP_NUM_THREADS": str(options.threads)}
            done = subprocess.run(
                words, env=os.environ | threads, stdout=subprocess.PIPE, check=True
            )
            answer[space] = json.loads(done.stdout)
    sys.stdout.write(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
