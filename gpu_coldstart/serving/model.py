"""A fitted model in memory, and what of it goes into the files of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights
from torch import nn

from gpu_coldstart import strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.config.resolve import to_toml
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.features import FeatureBuilder
from gpu_coldstart.models import restore
from gpu_coldstart.registry import MODELS, STRATEGIES
from gpu_coldstart.runs.artifacts import decode, encode, parquet_bytes, read_table
from gpu_coldstart.strategies import Context, Strategy
from gpu_coldstart.strategies.carousels import Offer

__all__ = ["CONFIG", "Fitted", "Model", "decoded", "encoded"]

CONFIG = "config.toml"
_MODEL = "model.safetensors"
_NETWORK = "network.safetensors"
_SEGMENTS = "segments.parquet"


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
    """

    space: str
    builder: FeatureBuilder
    centroids: Array
    shares: Csr
    chart: Array
    entities: Entities
    offer: Offer

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
    network : Module
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
    network: nn.Module
    described: Mapping[str, Any]
    context: Context
    states: dict[str, Any]
    strategies: dict[str, Strategy]


def encoded(engine: Engine, fitted: Fitted, config: Config) -> dict[str, bytes]:
    """The files of a bundle, by name."""
    weights = {
        name: value.cpu().contiguous() for name, value in fitted.network.state_dict().items()
    }
    states = {_state(name): encode(engine, state) for name, state in fitted.states.items()}
    return {
        CONFIG: to_toml(config).encode(),
        _MODEL: encode(engine, fitted.model),
        _NETWORK: save_weights(weights),
        _SEGMENTS: parquet_bytes(dict(fitted.described)),
        **states,
    }


def decoded(
    engine: Engine, config: Config, about: dict[str, Any], files: Mapping[str, bytes]
) -> Fitted:
    """What the files of a bundle hold.

    Raises
    ------
    KeyError, ValueError, TypeError, OSError
        When they do not fit together.
    """
    model = decode(engine, files[_MODEL], Model)
    network = restore(
        engine,
        MODELS.get(config.model),
        config.of(config.model),
        load_weights(files[_NETWORK]),
        **about["network"],
    )
    context = Context(
        engine,
        model.tracks,
        model.centroids,
        model.shares,
        model.chart,
        config.strategies.similarity,
        config.seed,
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
    return Fitted(about, model, network, described, context, states, made)
