"""Other values of settings, and in which file of a run they must show."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gpu_coldstart.registry import section

LOGS = "artifacts/logs.safetensors"
SPACE = "artifacts/{space}/space.safetensors"
SEGMENTS = "artifacts/{space}/segments.safetensors"
NETWORK = "artifacts/{space}/network.safetensors"
LISTS = "recommendations/{space}/{strategy}.parquet"
BEST = "artifacts/{space}/best.state.safetensors"
CAROUSEL = "recommendations/{space}/carousel-full.parquet"
REPLAY = "tables/replay.csv"
HELD_OUT = "tables/new-releases.csv"
ROWS = "rows"
"""The rows of results.json."""


@dataclass(frozen=True)
class Case:
    """Another value of a key, and where it must show.

    Attributes
    ----------
    value : str
    shows : str
        The file that must change, or ``ROWS``.
    keeps : str
        A file before it in the flow that must not.
    under : dict
        Settings under which the key matters, in both runs.
    beside : dict
        Keys that other strategies alone read, changed in the same run, and this one.
    dated : bool
        On tables without a split rather than on the synthetic world.
    """

    value: str
    shows: str
    keeps: str = ""
    space: str = "tt-svd"
    strategy: str = "popularity"
    under: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    dated: bool = False


def only(strategy: str) -> dict[str, Any]:
    """Of a case that is about one strategy."""
    return {"strategy": strategy, "under": {"strategies.names": strategy}}


def learning(strategy: str, value: str, under: dict[str, str]) -> Case:
    """Of a strategy that trains a network; ``under`` are its own settings."""
    case = only(strategy)
    case["under"] |= {
        f"strategies.{section(strategy)}_{name}": other for name, other in under.items()
    }
    return Case(value, LISTS, NETWORK, **case)


def gate(value: str, **under: str) -> Case:
    return learning("gate", value, under)


def softmax(value: str, **under: str) -> Case:
    return learning("track-softmax", value, under)


def dropoutnet(value: str, **under: str) -> Case:
    return learning("dropoutnet-full", value, under)


def melu(value: str, **under: str) -> Case:
    return learning("melu-full", value, under)


OWN = {
    "heater": {"experts": "2", "randomised": "0.1", "similarity": "9.0"},
    "clcrec": {"temperature": "0.1", "alignment": "0.9", "hybrid": "0.9"},
    "gar": {"similarity": "0.1", "drawn": "0.1"},
    "aldi": {"rating": "9.0", "ranking": "9.0", "identification": "9.0", "trust": "0.1"},
}
ALIKE = {"hidden": "9", "dropout": "0.5", "tracks": "3", "learning_rate": "0.01"}
ALIKE |= {"weight_decay": "0.1", "batch_size": "32"}


def of_content() -> dict[str, Case]:
    """All settings of Heater and the like, one of each of them in a run."""

    def of_all(**values: str) -> dict[str, str]:
        return {f"strategies.{name}_{key}": value for name in OWN for key, value in values.items()}

    groups: list[tuple[dict[str, str], dict[str, str]]]
    groups = [({}, of_all(**{setting: value})) for setting, value in ALIKE.items()]
    groups.append((of_all(patience="0"), of_all(epochs="3")))
    groups.append((of_all(learning_rate="1.0", epochs="20"), of_all(patience="0")))
    for rank in range(max(map(len, OWN.values()))):
        mine = {name: list(own.items())[rank : rank + 1] for name, own in OWN.items()}
        group = {f"strategies.{name}_{key}": v for name in OWN for key, v in mine[name]}
        groups.append(({}, group))
    cases = {}
    for under, group in groups:
        under = {"strategies.names": ",".join(OWN)} | under
        for key, value in group.items():
            name = key.removeprefix("strategies.").partition("_")[0]
            cases[key] = Case(value, LISTS, NETWORK, strategy=name, under=under, beside=group)
    return cases


def als(value: str) -> Case:
    return Case(value, SPACE, LOGS, space="ut-als")


def svd(value: str) -> Case:
    return Case(value, SPACE, LOGS)


def cml(value: str, **under: str) -> Case:
    under = {f"cml.{key}": under[key] for key in under}
    return Case(value, SPACE, LOGS, space="cml", under=under)


def hlr(value: str, **under: str) -> Case:
    return replace(cml(value), space="hlr", under={f"hlr.{key}": under[key] for key in under})


def mlp(value: str, **under: str) -> Case:
    return Case(value, NETWORK, SEGMENTS, under={f"mlp.{key}": under[key] for key in under})
