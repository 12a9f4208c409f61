"""Two cards (``--device 0,1``): a space on each, in two processes, to the results of one.

Both processes work on stand-ins: the second one finds them through a ``sitecustomize``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.rehearsal.install import Stage, rehearsed
from tests.rehearsal.test_flow import one_thread
from tests.runs import helpers
from tests.runs.helpers import (
    command,
    differing,
    files_below,
    finished,
    lasting,
    listed,
    manifest,
    refused,
    results,
    synthetic,
)

CARDS = ("big card", "big card", "little card")
FEW = ("--engine", "cuda", "--strategies", "popularity,semi")
BOTH = ("--device", "0,1")
ENDLESS = ("--set", "mlp.epochs_ut_als=1000000", "--set", "mlp.patience=0")

# Imported by Python before anything else.
SITE = """
import atexit, os
from tests.rehearsal.install import rehearsed
rehearsal = rehearsed()
rehearsal.__enter__().cards = {cards!r}
atexit.register(rehearsal.__exit__, None, None, None)
"""


def enter(site: Path, cards: tuple[str, ...], more: str = "") -> None:
    """Let processes that are started from now on begin with a rehearsal."""
    (site / "sitecustomize.py").write_text(SITE.format(cards=cards) + more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("site")
    root = Path(__file__).parents[2]
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        for name, value in helpers.one_thread().items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (place, root))))
        yield place


@pytest.fixture
def two(site: Path) -> Iterator[Stage]:
    """A machine with two cards of one model, and a third."""
    enter(site, CARDS)
    with rehearsed() as stage:
        stage.cards = CARDS
        yield stage


@pytest.fixture(scope="module")
def one_card(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one card."""
    del site
    out = tmp_path_factory.mktemp("one") / "run"
    with rehearsed() as stage:
        stage.cards = CARDS
        assert command(*synthetic(), *FEW, "--device", "1", "--out", out).status == 0
    return out


def told(out: Path) -> dict[str, Any]:
    """The results, but for what a stage took."""
    content = results(out)
    content["stages"] = [stage["name"] for stage in content["stages"]]
    return content


def helping(site: Path) -> list[int]:
    """Second processes that run now."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            environment = (place / "environ").read_bytes()
        except OSError:
            continue
        if b"gpu_coldstart.cli.beside" in words and str(site).encode() in environment:
            found.append(int(place.name))
    return found


def test_two_cards_come_to_what_one_does(
    two: Stage, site: Path, one_card: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = command(*synthetic(), *FEW, *BOTH, "--out", out)
    assert result.status == 0, result.err
    assert "\nut-als is learned at the same time, on GPU 1\n" in result.out
    assert not differing(lasting(one_card), lasting(out))
    assert files_below(one_card) == files_below(out)
    assert told(one_card) == told(out)
    stages = {stage["name"]: stage for stage in results(out)["stages"]}
    assert stages["ut-als/network"]["seconds"] > 0 < stages["ut-als/network"]["peak_rss_mb"]
    for name in stages.keys() - {"evaluation"}:
        assert result.out.count(f"] {name} ") == 1
    numbers = [line[1:3] for line in result.out.splitlines() if line.startswith("[")]
    assert list(map(int, numbers)) == list(range(1, len(stages) + 1))
    log = (out / "run.log").read_text()
    assert " ut-als: epoch 2 of 2" in log
    assert log.count("] ut-als/space ") == 1
    assert not helping(site)
    assert two.selected == {"torch": 0, "cupy": 0}
    assert "nothing to do" in command(*synthetic(), *FEW, *BOTH, "--out", out).out


def test_a_run_goes_on_on_any_number_of_cards(two: Stage, one_card: Path, tmp_path: Path) -> None:
    """What is left of both spaces is done; a space that is done needs no second process."""
    out = shutil.copytree(one_card, tmp_path / "run")
    other = ("--set", "mlp.epochs_ut_als=3", "--out", out, "--resume")
    result = command(*synthetic(), *FEW, *BOTH, *other)
    assert result.status == 0, result.err
    assert "ut-als/space                       kept from before" in result.out
    assert "on GPU 1\n" in result.out
    again = command(*synthetic(), *FEW, *BOTH, "--set", "evaluation.folds=5", *other)
    assert again.status == 0, again.err
    assert "on GPU 1\n" not in again.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_ends_one_process_ends_both(
    two: Stage, site: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, which a terminal sends to all processes of a command, and the end without a word."""
    out = tmp_path / "run"
    options = [*synthetic(), *FEW, *BOTH, "--out", str(out), *ENDLESS]
    process = subprocess.Popen(
        [sys.executable, "-m", "gpu_coldstart.run", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until(lambda: said(out, "] ut-als/segments "))
        assert len(helping(site)) == 1
        os.killpg(process.pid, number)
        with finished(process) as result:
            killed = number == signal.SIGKILL
            assert result.status == (-number if killed else 128 + number)
            assert len(result.err.splitlines()) == (0 if killed else 1), result.err
    finally:
        process.kill()
    until(lambda: not helping(site))
    assert killed or not list(out.rglob("*.part"))
    assert "ut-als/segments" in manifest(out)["stages"]


def said(out: Path, *words: str) -> bool:
    """Whether the log of a run has all the words."""
    log = out / "run.log"
    text = log.read_text() if log.exists() else ""
    return all(word in text for word in words)


@pytest.mark.parametrize(
    ("cards", "more", "sentence"),
    [
        (CARDS[:1], "", "--device is 1, but the only GPU here is 0: leave it out"),
        (CARDS[2:] * 2, "", "was begun with other data, settings or another engine"),
        (
            CARDS,
            "if os.sys.orig_argv[2] == 'gpu_coldstart.cli.beside': os.kill(os.getpid(), 9)",
            "the process for ut-als on GPU 1 has ended (by signal 9): the same command with "
            "--resume goes on",
        ),
    ],
    ids=["no such card", "another model", "killed"],
)
def test_what_stops_the_other_process_stops_the_run(
    two: Stage, site: Path, tmp_path: Path, cards: tuple[str, ...], more: str, sentence: str
) -> None:
    enter(site, cards, more)
    out = tmp_path / "run"
    refused(command(*synthetic(), *FEW, *BOTH, "--out", out), sentence)
    assert not helping(site)
    assert said(out, sentence)
    assert manifest(out)["stages"].keys() >= {"logs", "tt-svd/space"}
    assert files_below(out) == {*listed(out), "manifest.json", "run.log", "times.json"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--device", "0,1", "--space", "ut-als"),
            "--device names 2 GPUs, more than there are spaces to learn (ut-als): name one "
            "for each at most",
        ),
        (("--device", "0,3"), "--device is 3, but the GPUs here are 0 to 2"),
        (("--device", "3,0"), "--device is 3, but the GPUs here are 0 to 2"),
        (("--device", "1,1"), "Invalid value for '--device': 1,1 has a number twice"),
        (("--device", "0,"), "Invalid value for '--device':  is not a whole number from 0"),
        (
            ("--device", "0,2"),
            "GPU 2 is a little card, and GPU 0 a big card, which would come to other results: name "
            "GPUs of one model",
        ),
        (("--engine", "cpu", "--device", "0,1"), "--device is about a GPU: leave it out"),
    ],
)
def test_cards_that_will_not_do(
    two: Stage, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    refused(command(*synthetic(), *FEW, *options, "--out", tmp_path / "run"), sentence)
    assert not list(tmp_path.iterdir())


def test_where_there_is_no_card_at_all_the_cpu_does_both(
    site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = command(*synthetic(), *BOTH, "--strategies", "popularity", "--out", tmp_path / "run")
    assert result.status == 0, result.err
    assert "the device has no effect" in result.out
    assert "on GPU 1" not in result.out


def until(true: Callable[[], bool]) -> None:
    """Wait for something; a minute is enough for all of it."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
