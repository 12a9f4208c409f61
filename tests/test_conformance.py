"""By the ``release`` protocol, the rows without a network are what the files say they must be.

Everything is computed again from the files in the release's layout alone, a user and a song at a
time in double precision, under the project's tie rule; of the baseline by clusters, the labels of
the warm users are taken as given.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose

from bench import tie_rules
from bench.tie_rules import MODEL_FREE, RULES, Bench, K, bench_of, measure, scored, table
from gpu_coldstart.cli.main import main
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from tests.strategies.contexts import counted_labels

SHORT = {"tt-svd": "svd", "ut-als": "mf"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world in the release's layout."""
    place = tmp_path_factory.mktemp("release") / "files"
    assert main(["data", "deezer-layout", "--preset", "tiny", "--out", str(place)]) == 0
    return place


def by_protocol(engine: Engine, files: Path, space: str) -> Bench:
    chosen = {"data": str(files), "evaluation.protocol": "release"}
    config = resolve(dataset="deezer", preset="tiny", settings=chosen)
    return bench_of(engine, config, space)


# -- from the files alone ----------------------------------------------------------------------


@dataclass
class Person:
    """A row of a file of features."""

    songs: set[int]
    streamed: HostArray  # block of the songs streamed on registration day
    vector: HostArray  # all blocks and scalars, made unit


def people(files: Path, part: str, short: str) -> dict[int, Person]:
    rows: list[dict[str, Any]] = pq.read_table(
        files / f"user_features_{part}_{short}.parquet"
    ).to_pylist()
    found = {}
    for row in rows:
        number = row.pop("user_index")
        songs = set(row.pop("d1d30_songs"))
        block = sorted(
            (name for name in row if name.startswith("streamed_songs_embedding")),
            key=lambda name: int(name.removeprefix("streamed_songs_embedding")),
        )
        vector = np.array([float(value or 0) for value in row.values()])
        length = math.sqrt(sum(value * value for value in vector)) or 1.0
        found[number] = Person(songs, np.array([row[name] for name in block]), vector / length)
    return found


@dataclass
class Oracle:
    """The release's rows of one space."""

    songs: dict[int, HostArray]
    warm: dict[int, Person]
    test: dict[int, Person]

    @classmethod
    def read(cls, files: Path, space: str) -> Oracle:
        short = SHORT[space]
        songs = pq.read_table(files / "song_embeddings.parquet").to_pylist()
        return cls(
            {row["song_index"]: np.array(row[f"features_{short}"]) for row in songs},
            people(files, "train", short),
            people(files, "test", short),
        )

    def listens(self, users: list[int]) -> dict[int, float]:
        """Each song's share of what some warm users streamed."""
        counts = Counter(song for user in users for song in self.warm[user].songs)
        return {song: counts[song] / counts.total() for song in self.songs}

    def popularity(self) -> dict[int, dict[int, float]]:
        """Scores of all songs for each test user."""
        chart = self.listens(list(self.warm))
        return dict.fromkeys(self.test, chart)

    def registration_day(self) -> dict[int, dict[int, float]]:
        return {
            user: {song: float(place @ person.streamed) for song, place in self.songs.items()}
            for user, person in self.test.items()
        }

    def input_features(self, labels: dict[int, int]) -> dict[int, dict[int, float]]:
        """Given the segment of each warm user."""
        segments = sorted(set(labels.values()))
        members = {s: [user for user in labels if labels[user] == s] for s in segments}
        middle = {
            s: np.mean([self.warm[user].vector for user in members[s]], axis=0) for s in segments
        }
        favourites = {s: self.listens(members[s]) for s in segments}
        return {
            user: favourites[
                min(segments, key=lambda s: float(((person.vector - middle[s]) ** 2).sum()))
            ]
            for user, person in self.test.items()
        }

    def scores(self, strategy: str, labels: dict[int, int]) -> dict[int, dict[int, float]]:
        if strategy == "input-features":
            return self.input_features(labels)
        return self.popularity() if strategy == "popularity" else self.registration_day()

    def ranked(self, scores: dict[int, float]) -> list[int]:
        """Higher score, then more popular, then smaller id."""
        counts = Counter(song for person in self.warm.values() for song in person.songs)
        return sorted(self.songs, key=lambda song: (-scores[song], -counts[song], song))[:K]


def judged(listed: list[int], truth: set[int]) -> tuple[float, float, float]:
    """Precision, recall and NDCG of a list."""
    hits = [song in truth for song in listed]
    most = min(K, len(truth))
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    ideal = sum(1 / math.log2(place + 2) for place in range(most))
    return sum(hits) / most, sum(hits) / len(truth), gain / ideal


# -- what the flow finds -----------------------------------------------------------------------


def by_user(bench: Bench, labels: Array) -> dict[int, int]:
    """The segment of each warm user."""
    engine, logs = bench.context.engine, bench.past.logs
    users = engine.to_host(logs.user_ids[logs.users("warm")]).tolist()
    return dict(zip(users, engine.to_host(labels).tolist(), strict=True))


@dataclass
class Found:
    """What the flow recommends to the test users, and how good it finds that."""

    users: list[int]
    songs: list[list[int]]  # [users, K]
    scores: HostArray  # [users, K]
    measures: HostArray  # [users, 3]


def recommended(bench: Bench, strategy: Any) -> Found:
    engine, logs = bench.context.engine, bench.past.logs
    users = bench.users.numbers
    ranking = strategy.recommend(bench.users, K)
    metrics = engine.rank_metrics(ranking.tracks, bench.truth.of(engine, "test"), (K,))
    each = (metrics.precision[0], metrics.recall[0], metrics.ndcg[0])
    return Found(
        engine.to_host(logs.user_ids[users]).tolist(),
        engine.to_host(logs.track_ids[ranking.tracks]).tolist(),
        engine.to_host(ranking.scores),
        np.stack([engine.to_host(values) for values in each], axis=1),
    )


def is_close_call(scores: dict[int, float]) -> bool:
    """Whether songs at the top are apart, but by less than single precision tells apart."""
    best = np.sort(list(scores.values()))[::-1][: K + 1]
    return any(0 < apart < 1e-6 for apart in best[:-1] - best[1:])


@pytest.mark.parametrize("space", SHORT)
def test_rows_without_a_network_are_what_the_files_say(
    engine: Engine, files: Path, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, oracle = by_protocol(engine, files, space), Oracle.read(files, space)
    counted = counted_labels(monkeypatch)
    assert any(not person.streamed.any() for person in oracle.test.values()), "nobody is silent"
    for name in MODEL_FREE:
        strategy = bench.strategy(name)
        found = recommended(bench, strategy)
        assert sorted(found.users) == sorted(oracle.test)
        labels = by_user(bench, counted[0]) if name == "input-features" else {}
        scores = oracle.scores(name, labels)
        close = 0
        for row, user in enumerate(found.users):
            best = oracle.ranked(scores[user])
            given = [scores[user][song] for song in found.songs[row]]
            assert_allclose(found.scores[row], given, rtol=1e-5, atol=1e-6)
            if is_close_call(scores[user]):
                close += 1
                assert_allclose(given, [scores[user][song] for song in best], atol=1e-6)
                best = found.songs[row]  # as good, by what its numbers can tell
            wanted = judged(best, oracle.test[user].songs)
            assert_allclose(found.measures[row], wanted, atol=1e-6)
        assert close <= (len(found.users) // 10 if name == "registration-day" else 0)


def test_the_labels_are_a_clustering_of_all_warm_users(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = by_protocol(CpuEngine(), files, "tt-svd")
    counted = counted_labels(monkeypatch)
    bench.strategy("input-features")
    labels = by_user(bench, counted[0])
    assert set(labels) == set(people(files, "train", "svd"))
    assert set(labels.values()) == set(range(10))


# -- other orders of equal scores --------------------------------------------------------------


def test_tie_rules_are_those_they_are_called() -> None:
    scores = np.zeros(120, np.float32)
    scores[[7, 90]] = [1.0, 2.0]
    place = np.arange(120)[::-1].copy()  # song 119 is the most popular
    others = [song for song in range(120) if song not in {7, 90}]
    listed = {rule: list(first(scores, place)) for rule, first in RULES.items()}
    assert all(songs[:2] == [90, 7] for songs in listed.values())
    assert all(len(set(songs)) == K for songs in listed.values())
    assert listed["more popular (ours)"][2:] == others[::-1][: K - 2]
    assert listed["larger index"][2:] == others[::-1][: K - 2]
    assert listed["smaller index"][2:] == others[: K - 2]


def test_the_effect_of_the_tie_rule(files: Path) -> None:
    bench = by_protocol(CpuEngine(), files, "tt-svd")
    rows = {("tt-svd", name): measure(bench, name) for name in MODEL_FREE}
    for (_, name), row in rows.items():
        found = recommended(bench, bench.strategy(name)).measures.mean(axis=0)
        assert_allclose(row.by_rule["more popular (ours)"], found[[0, 2]], atol=1e-6)
        ndcgs = [both[1] for both in row.by_rule.values()]
        assert min(ndcgs) - 1e-3 < row.averaged < max(ndcgs) + 1e-3
    # Of users without a stream all songs are equal, and there the chart is the best of orders.
    day_one = rows["tt-svd", "registration-day"]
    assert day_one.tied > 0
    assert day_one.by_rule["more popular (ours)"][0] > day_one.by_rule["smaller index"][0]
    text = table(rows)
    assert text.count("\n") == 1 + len(rows)
    assert f"{100 * day_one.averaged:.2f}" in text


def test_the_script_prints_the_table(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tie_rules, "SPACES", ("ut-als",))
    monkeypatch.setattr(tie_rules, "MODEL_FREE", ("popularity",))
    assert tie_rules.main(["--data", str(files), "--preset", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(rule in lines[0] for rule in RULES)
    assert lines[2].startswith("| ut-als | popularity | ")
    assert tie_rules.main(["--data", str(files / "nowhere")]) == 2
    assert "nowhere is not a directory" in capsys.readouterr().err


def test_scores_and_truth_come_by_song(files: Path) -> None:
    bench = by_protocol(CpuEngine(), files, "tt-svd")
    oracle = Oracle.read(files, "tt-svd")
    wanted = oracle.registration_day()
    songs = sorted(oracle.songs)
    rows = list(scored(bench, "registration-day"))
    assert len(rows) == len(oracle.test)
    for (scores, truth), user in zip(rows, sorted(oracle.test), strict=True):
        assert_allclose(scores, [wanted[user][song] for song in songs], atol=1e-5)
        assert truth.tolist() == [float(song in oracle.test[user].songs) for song in songs]
