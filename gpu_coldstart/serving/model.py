"""A fitted model in memory, and what of it goes into the files of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gpu_coldstart import strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.config.resolve import resolve, to_toml
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.features import FeatureBuilder
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.runs.artifacts import decode, encode, parquet_bytes, read_table
from gpu_coldstart.spaces.relations.scoring import Relations
from gpu_coldstart.spaces.similarity import similarity_in
from gpu_coldstart.strategies import Context, Strategy
from gpu_coldstart.strategies.carousels import Offer

__all__ = ["CONFIG", "Fitted", "Model", "encoded", "loaded", "networks_of", "onnx_file"]

CONFIG = "config.toml"
_MODEL = "model.safetensors"
_NETWORK = "network.safetensors"
_SEGMENTS = "segments.parquet"


def onnx_file(name: str) -> str:
    """The ONNX form of the users' network, or of a strategy's own."""
    return f"onnx/{name}.onnx"


def _state(strategy: str) -> str:
    """The file of a strategy's state."""
    return f"strategies/{strategy}.safetensors"


@dataclass(frozen=True)
class Model:
    """What was learned in one space, except the network and the strategies' states.

    Attributes
    ----------
    space : str
    builder : FeatureBuilder
        Its first entities are the tracks.
    centroids : Array [k, d] of float32
    shares : Csr [k, tracks]
        Popularity of each track in each segment.
    chart : Array [tracks] of float32
        Popularity among all warm users.
    entities : Entities
    offer : Offer
        Playlists for carousels.
    relations : Relations or None
        What scores tracks for a user, where the space has it.
    """

    space: str
    builder: FeatureBuilder
    centroids: Array
    shares: Csr
    chart: Array
    entities: Entities
    offer: Offer
    relations: Relations | None = None

    @property
    def tracks(self) -> Array:
        """Embeddings of the tracks [tracks, d]: each the mean of its only member, itself."""
        return self.builder.entities[: self.entities.track_ids.shape[0]]


@dataclass(frozen=True)
class Fitted:
    """A fitted model in memory.

    Attributes
    ----------
    about : dict
        What it was fitted on, for human readers: dates, sizes, versions, notes.
    model : Model
    network : Feedforward
        From input vectors to places in the space.
    described : mapping
        :func:`gpu_coldstart.segments.describe` of the segments.
    context : Context
        What all strategies recommend from.
    states : dict of name to State
        Of the strategies that learned something, and of those that they are made of.
    strategies : dict of name to Strategy
    """

    about: dict[str, Any]
    model: Model
    network: Feedforward
    described: Mapping[str, Any]
    context: Context
    states: dict[str, Any]
    strategies: dict[str, Strategy]


def networks_of(fitted: Fitted) -> dict[str, Feedforward]:
    """The networks of a model by the names of their ONNX files, the users' first.

    The ``network`` of a strategy's state has the strategy's name, any other that of its field too.
    """
    found = {"network": fitted.network}
    for name, state in fitted.states.items():
        for field in fields(state):
            if isinstance(network := getattr(state, field.name), Feedforward):
                found[name if field.name == "network" else f"{name}-{field.name}"] = network
    return {onnx_file(name): network for name, network in found.items()}


def encoded(engine: Engine, fitted: Fitted, config: Config) -> dict[str, bytes]:
    """The files of a bundle, by name."""
    from gpu_coldstart.serving.onnx_form import onnx_form  # loading needs none of it

    states = {_state(name): encode(engine, state) for name, state in fitted.states.items()}
    return {
        CONFIG: to_toml(config).encode(),
        _MODEL: encode(engine, fitted.model),
        _NETWORK: encode(engine, fitted.network),
        _SEGMENTS: parquet_bytes(dict(fitted.described)),
        **states,
        **{name: onnx_form(engine, network) for name, network in networks_of(fitted).items()},
    }


def loaded(
    engine: Engine, directory: Path, about: dict[str, Any], files: Mapping[str, bytes]
) -> tuple[Config, Fitted]:
    """What a bundle holds, of which index and files were read.

    Raises
    ------
    KeyError, ValueError, TypeError, OSError
        When they do not fit together.
    """
    config = resolve(files=[directory / CONFIG])
    model = decode(engine, files[_MODEL], Model)
    network = decode(engine, files[_NETWORK], Feedforward)
    context = Context(
        engine,
        model.tracks,
        model.centroids,
        model.shares,
        model.chart,
        similarity_in(model.space, config.strategies.similarity),
        config.seed,
        model.relations,
    )
    kinds = {name: STRATEGIES.get(name).State for name in strategies.with_experts(config)}
    states = {
        name: decode(engine, files[_state(name)], kind)
        for name, kind in kinds.items()
        if kind is not None
    }
    made = {
        name: strategies.made(name, config, context, states) for name in config.strategies.names
    }
    described = read_table(files[_SEGMENTS]).to_pydict()
    return config, Fitted(about, model, network, described, context, states, made)
