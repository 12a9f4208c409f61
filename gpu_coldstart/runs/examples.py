"""Ten test users up close, out of what the stages of a space came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart import strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.catalogue import owners
from gpu_coldstart.data.first_day import on_host
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Engine, Feedforward
from gpu_coldstart.evaluation.examples import EntityNames, chosen, first_day
from gpu_coldstart.evaluation.exposure import ranks_of
from gpu_coldstart.evaluation.groups import interaction_groups
from gpu_coldstart.evaluation.measures import hits_of
from gpu_coldstart.evaluation.tables import Table, arrays, assemble
from gpu_coldstart.features import age_class_names, age_classes
from gpu_coldstart.models import Network
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import parquet_bytes, read_table
from gpu_coldstart.runs.making import Prepared, Recommendations, Tables
from gpu_coldstart.runs.stages import Codec, Given, Stage
from gpu_coldstart.serving.reasons import reasons_of
from gpu_coldstart.strategies import Context, Users

__all__ = ["Sources", "example_rows", "examples_stage"]

_REASONS = 4
"""Reasons of each kind, the strongest."""


@dataclass(frozen=True)
class Sources:
    """The stages that users are shown from: the data, and those of one space.

    Attributes
    ----------
    states, made : mapping of strategy to Stage
        What strategies learned of their own, and their lists.
    """

    data: Stage[tuple[Logs, GroundTruth]]
    prepared: Stage[Prepared]
    network: Stage[Network]
    described: Stage[Tables]
    states: Mapping[str, Stage[Any]]
    made: Mapping[str, Stage[Recommendations]]


def examples_stage(engine: Engine, config: Config, space: str, of: Sources) -> Stage[Table]:
    """Some test users up close, with the reasons for their lists."""
    path = paths.examples(space)

    def make(given: Given) -> Table:
        rows = example_rows(
            config,
            given[of.prepared],
            given[of.data][1],
            made={way: given[stage] for way, stage in of.made.items()},
            states={way: given[stage] for way, stage in of.states.items()},
            network=feedforward(engine, given[of.network].model),
            described=given[of.described][paths.descriptions(space)],
        )
        return assemble("examples", ({"space": space} | row for row in rows))

    return Stage(
        f"{space}/examples",
        make,
        Codec(
            lambda given, table: {path: parquet_bytes(arrays("examples", table))},
            lambda files: read_table(files[path]).to_pydict(),
        ),
        (of.data, of.prepared, of.network, of.described, *of.states.values(), *of.made.values()),
        ("seed", "evaluation.k", "features.age_classes"),
    )


def example_rows(
    config: Config,
    prepared: Prepared,
    truth: GroundTruth,
    *,
    made: Mapping[str, Recommendations],
    states: Mapping[str, Any],
    network: Feedforward,
    described: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``examples``, about the space's strategy with the highest NDCG.

    Parameters
    ----------
    made : mapping of strategy to Recommendations
    states : mapping of strategy to State
    network : Feedforward
        From input vectors to places in the space.
    described : mapping
        :func:`gpu_coldstart.segments.describe` of the segments.
    """
    context, logs, k = prepared.context, prepared.past.logs, max(config.evaluation.k)
    engine, host = context.engine, context.engine.to_host
    best = max(made, key=lambda name: made[name].measures[f"ndcg@{k}"].mean())
    places = chosen(interaction_groups(host(logs.signals[logs.users("test")])), config.seed)
    listed = pa.array(made[best].lists["track_id"])[: logs.n_test * k]
    ids = logs.ids.codes("track", listed).reshape(-1, k)[places]
    tracks = (ranks_of(ids, host(logs.track_ids)) - 1).astype(np.int32)
    users = prepared.users.take(engine.asarray(places))
    reasons = reasons_of(
        strategies.made(best, config, context, states),
        users,
        engine.asarray(tracks),
        network=network,
        described=described,
    ).to_pylist()
    wanted = on_host(engine, engine.take_rows(truth.of(engine, "test"), engine.asarray(places)))
    hits, names = hits_of(tracks, wanted), _names(engine, logs)
    for row, known in enumerate(_known(context, config, logs, users, names)):
        yield {
            "strategy": best,
            "user": row + 1,
            "k": k,
            "wanted": int(np.diff(wanted.indptr)[row]),
            **known,
            "track_ids": logs.ids.names("track", ids[row]).to_pylist(),
            "tracks": names.of("track", tracks[row]),
            "hits": (1 + np.flatnonzero(hits[row])).tolist(),
            **_strongest(reasons[row]),
        }


def _known(
    context: Context, config: Config, logs: Logs, users: Users, names: EntityNames
) -> Iterator[dict[str, Any]]:
    """What is known of each user by the end of the registration day, in words."""
    engine, first_ages = context.engine, config.features.age_classes
    ages = engine.to_host(age_classes(engine, logs.age[users.numbers], first_ages))
    countries = engine.to_host(logs.country[users.numbers])
    counts = engine.to_host(logs.signals[users.numbers])
    groups, n = interaction_groups(counts), len(SIGNALS)
    days = on_host(engine, users.day(context))
    for row, (age, country) in enumerate(zip(ages, countries, strict=True)):
        yield {
            "group": groups.labels[groups.codes[row]],
            "country": logs.countries[country] if country >= 0 else None,
            "age_class": age_class_names(first_ages)[age] if age >= 0 else None,
            "did": list(first_day(days[row * n : (row + 1) * n], counts[row], names)),
        }


def _strongest(reasons: dict[str, list[dict[str, Any]]]) -> dict[str, list[Any]]:
    """The strongest reasons of each kind, as columns."""
    said = {"segment": "description", "signal": "signal", "part": "name"}
    columns: dict[str, list[Any]] = {}
    for kind, name in said.items():
        some = reasons[f"{kind}s"][:_REASONS]
        columns[f"{kind}s"] = [each[name] for each in some]
        columns[f"{kind}_shares"] = [each["share"] for each in some]
    return columns


def _names(engine: Engine, logs: Logs) -> EntityNames:
    kinds = ("track", "artist", "album", "playlist")
    spans = {"artist": logs.artists, "album": logs.albums}
    return EntityNames(
        {kind: engine.to_host(getattr(logs, f"{kind}_ids")) for kind in kinds},
        {
            kind: engine.to_host(owners(engine, logs.members, span.start, span.stop))
            for kind, span in spans.items()
        },
        logs.ids,
        logs.titles,
    )
