"""Thousands of trials: ``python -m tests.fuzz`` (``make fuzz``)."""

from __future__ import annotations

import argparse
import logging
import sys

from tests.fuzz.families import FAMILIES
from tests.fuzz.runner import Failure, Tally, quick, run_trial, run_trials


def table(tallies: dict[str, Tally]) -> str:
    """Counts by family and outcome."""
    outcomes = sorted({name for tally in tallies.values() for name in tally.outcomes})
    lines = [["family", "trials", *outcomes, "seconds"]]
    for family, tally in tallies.items():
        counts = [str(tally.outcomes[name]) for name in outcomes]
        lines.append([family, str(tally.outcomes.total()), *counts, f"{tally.seconds:.0f}"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _tell(failure: Failure) -> None:
    sys.stdout.write(f"{failure}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the trials; returns 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=1000, help="of each family")
    parser.add_argument("--family", choices=sorted(FAMILIES), help="only this one")
    parser.add_argument("--replay", metavar="FAMILY:INDEX", help="one trial again")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with quick():
        if given.replay:
            name, _, index = given.replay.partition(":")
            outcome, failure = run_trial(FAMILIES[name], given.seed, int(index))
            sys.stdout.write(f"{failure or outcome}\n")
            return int(failure is not None)
        chosen = [given.family] if given.family else list(FAMILIES)
        tallies = {}
        for name in chosen:
            tallies[name] = run_trials(FAMILIES[name], given.seed, given.trials, _tell)
    sys.stdout.write(f"seed {given.seed}\n{table(tallies)}\n")
    return int(any(tally.failures for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
