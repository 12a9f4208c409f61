"""The results as text and as JSON."""

from __future__ import annotations

import json

from gpu_coldstart.evaluation.protocol import Row, Summary
from gpu_coldstart.reporting.results import (
    below_popularity,
    not_measured,
    results_json,
    results_markdown,
    table,
)


def row(space: str, strategy: str, ndcg: float, k: int = 50, precision: float = 0.125) -> Row:
    return Row(
        space,
        strategy,
        k,
        7,
        Summary(precision, 0.01, 0.1, 0.2),
        Summary(0.04321, 0.00126, 0.0, 0.1),
        Summary(ndcg, 0.5, 0.0, 1.0),
    )


ROWS = [
    row("tt-svd", "popularity", 0.10),
    row("tt-svd", "semi", 0.2499949),
    row("ut-als", "popularity", 0.10),
    row("ut-als", "semi", 1.0, precision=1.0),
]


def test_table() -> None:
    lines = table(ROWS, 50).splitlines()
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = [f"{space} {measure}@50" for space in ("TT-SVD", "UT-ALS") for measure in "PRN"]
    assert cells[0] == ["Strategy", *heads]
    assert set(cells[1][0]) == {"-"}
    assert all(set(cell[:-1]) == {"-"} and cell[-1] == ":" for cell in cells[1][1:])
    chart = ["12.50 ± 1.00", "4.32 ± 0.13", "10.00 ± 50.00"]
    assert cells[2] == ["Popularity", *chart, *chart]
    assert cells[3] == [
        "Semi-Pers.",
        "12.50 ± 1.00",
        "4.32 ± 0.13",
        "25.00 ± 50.00",
        "100.00 ± 1.00",
        "4.32 ± 0.13",
        "100.00 ± 50.00",
    ]


def test_table_of_one_length() -> None:
    rows = [row("tt-svd", "semi", 0.1, k=10), row("tt-svd", "semi", 0.3, k=50)]
    assert "TT-SVD N@10" in table(rows, 10)
    assert "10.00 ± 50.00" in table(rows, 10)
    assert "30.00" not in table(rows, 10)
    assert "30.00 ± 50.00" in table(rows, 50)


def test_below_popularity() -> None:
    rows = [
        row("tt-svd", "popularity", 0.10, k=10),
        row("tt-svd", "popularity", 0.20),
        row("tt-svd", "semi", 0.15, k=10),  # above at 10
        row("tt-svd", "semi", 0.15),  # below at 50
        row("tt-svd", "full", 0.20),  # level
        row("tt-svd", "soft", 0.05, k=10),  # below at both
        row("tt-svd", "soft", 0.05),
        row("ut-als", "popularity", 0.05),
        row("ut-als", "full", 0.0499, precision=0.9),  # judged by NDCG, in its own space
    ]
    assert below_popularity(rows) == [
        "Semi-Pers. (TT-SVD) is below Popularity here: NDCG@50 15.00 against 20.00",
        "Soft Allocation (TT-SVD) is below Popularity here: "
        "NDCG@10 5.00 against 10.00, NDCG@50 5.00 against 20.00",
        "Full-Pers. (UT-ALS) is below Popularity here: NDCG@50 4.99 against 5.00",
    ]
    assert below_popularity([row("tt-svd", "semi", 0.0)]) == []


def test_markdown() -> None:
    text = results_markdown(ROWS, (50,), "Results", ["seed 0", "1 fact"], ["a note"])
    assert text.startswith("# Results\n")
    assert table(ROWS, 50) in text
    assert "(P, of min(50, truth))" in text
    assert "- seed 0\n- 1 fact\n" in text
    assert "- a note\n" in text
    assert "Notes" not in results_markdown(ROWS, (50,), "Results", ["seed 0"], [])


def test_json() -> None:
    text = results_json(ROWS, seed=3)
    found = json.loads(text)
    assert found["seed"] == 3
    assert found["rows"] == [one.flat() for one in ROWS]
    assert text.endswith("\n")


def test_targets_are_counted() -> None:
    assert not_measured(0) == []
    assert not_measured(1)[0].startswith("1 target user gets")
    assert not_measured(25)[0].startswith("25 target users get")
