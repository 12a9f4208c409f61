"""What crosses between the host's memory and the device's in a whole rehearsed run, and why.

A stand-in's tensors and arrays lie in the host's memory, so that what crosses is known by the calls
that make it cross. What a library does inside of itself does not show: CuPy brings the number of
places to the host where a mask picks elements, for instance.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from gpu_coldstart.config.metric import CmlConfig, HlrConfig
from gpu_coldstart.config.parameters import Config, SplitConfig
from gpu_coldstart.runs.checkpoint import FileCheckpoint
from gpu_coldstart.spaces import silent
from gpu_coldstart.spaces.cml import Cml
from gpu_coldstart.spaces.hlr import HlrSpace
from tests.rehearsal.install import rehearsed
from tests.rehearsal.record import Stage, Transfer
from tests.rehearsal.test_flow import one_thread, run
from tests.runs.helpers import synthetic
from tests.runs.on_tables import EVERY
from tests.worlds import some_world

TO_HOST = {
    "runs/artifacts.py:encode": "a stage's value, to be saved",
    "segments.py:describe": "the table of segments, to be saved",
    "segments.py:_commonest": "a column of it",
    "segments.py:favourites": "the segments' lists, to be saved",
    "runs/making.py:recommend": "the recommendations and each user's measures, to be saved",
    "runs/making.py:network_codec.<locals>.encoded": "the network's weights, to be saved",
    "strategies/carousels.py:columns": "the carousels, to be saved",
    "runs/examples.py:example_rows": "what some users are shown",
    "runs/examples.py:_known": "what is known of them",
    "runs/examples.py:_names": "what they streamed, by name",
    "data/first_day.py:on_host": "what they did",
    "serving/reasons.py:_parts": "the reasons for their lists",
    "runs/results.py:space_results": "what the evaluation looks at",
    "strategies/blending.py:Blending.on": "what a blend learned, for the tables of the evaluation",
    "evaluation/new_releases.py:new_releases": "how far held-out tracks are from where they were",
    "evaluation/new_releases.py:_units": "the album and artist of each track, to be drawn from",
    "evaluation/new_releases.py:_Trial.__init__": "which of the held-out tracks users wanted",
    "evaluation/new_releases.py:_Trial.by_space": "which of them are in the lists",
    "evaluation/observed.py:observe": "what the tables of the evaluation group by",
    "evaluation/observed.py:observe.<locals>.rows": "playlists and truth, for the same tables",
    "engine/cuda/read.py:_strings": "the distinct words of a column, which are names",
    "data/extent.py:extent": "how much there is on each day",
}
"""Who may bring arrays to the host, and what for."""

TO_DEVICE = {
    "engine/cuda/read.py:read": "the tables",
    "engine/cuda/read.py:_strings": "a code for each distinct word",
    "data/values.py:Check._choice": "a code for each distinct word",
    "evaluation/new_releases.py:new_releases": "an order of the held-out tracks, drawn likewise",
    "evaluation/new_releases.py:_Trial.__init__": "the held-out tracks, drawn from the seed",
    "runs/examples.py:example_rows": "which users are shown, and their lists",
    "models/training.py:_batches": "a permutation of the users, drawn from the seed",
    "models/dropoutnet.py:DropoutNetTraining._draws": "what each epoch draws from the seed",
    "models/melu.py:MeluTraining._draws": "what each epoch draws from the seed",
    "models/streams.py:StreamTraining._draws": "what each epoch draws from the seed",
    "strategies/best.py:Best.fit": "a sample drawn from the seed",
    "strategies/input_features.py:InputFeatures.fit": "a sample drawn from the seed",
    "strategies/melu.py:MeluFull.fit": "an order of the tracks, drawn from the seed",
    "strategies/ridge.py:_principal": "random directions drawn from the seed",
}
"""Who may bring arrays to the device, and what for."""

RESUMED = {"runs/artifacts.py:_build": "a value that an interrupted run saved"}

CONSTANTS = {
    "data/registrations.py:registration_matrix": "the signal of each action and kind of entity",
    "engine/cuda/ranking.py:rank_metrics": "the lengths of list that are measured",
    "engine/cuda/sparse.py:csr": "the number of entries, where the last sum ends",
    "features.py:age_classes": "the first age of each class",
    "features.py:Scaler._values": "the places of the counts among the signals",
}
"""Who may bring a few numbers to the device, as many for any data."""

FEW_BYTES = 160
LARGER = {"n_warm": 240, "n_validation": 60, "n_test": 60, "n_tracks": 300, "n_playlists": 240}
"""A world with twice as many users as ``synthetic()`` asks for."""

_INSIDE = "gpu_coldstart/"


def _place(frame: FrameType) -> str:
    """File and function."""
    return f"{frame.f_globals['__name__'].replace('.', '/')}.py:{frame.f_code.co_qualname}"


def _plain(place: str) -> str:
    """A place without the package, and without what Python 3.11 makes of comprehensions."""
    return re.sub(r"\.<locals>\.<\w+>$", "", place).removeprefix(_INSIDE)


class _Fetches(TorchFunctionMode):
    """Writes down where the code under test takes numbers out of tensors."""

    def __init__(self, stage: Stage):
        super().__init__()
        kind = torch.Tensor
        self._stage = stage
        self._scalars = {kind.item, kind.__float__, kind.__int__, kind.__bool__, kind.__index__}
        self._arrays = {kind.cpu, kind.numpy, kind.tolist}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        caller = sys._getframe(1)  # torch's own optimisers look at numbers of the host
        if caller.f_globals["__name__"].startswith("gpu_coldstart."):
            place = _place(caller)
            if function in self._scalars:
                self._stage.transfers.append(Transfer("scalar", args[0].nbytes, place))
            elif function in self._arrays:
                self._stage.transfers.append(Transfer("device-to-host", args[0].nbytes, place))
        return function(*args, **(kwargs or {}))


_ONE_TRIAL = {
    "strategies__best_experts": "popularity",
    "strategies__mixture_sharpnesses": "1.0",
    "strategies__neighbours_sharpnesses": "1.0",
    "strategies__item_item_shrinkages": "1.0",
    "strategies__ridge_routes": "places",
    "strategies__ridge_strengths": "1.0",
}
"""Others would move the same arrays again, or lead, of which examples are made."""


def world(**changes: str) -> list[str]:
    """A run with every strategy; Best has one expert, as it asks those alone that it kept."""
    return [*synthetic(**_ONE_TRIAL, **changes), *EVERY]


@contextmanager
def told(stage: Stage) -> Iterator[None]:
    """Note what crosses by way of tensors too, and who asked the engine to move an array."""

    def naming(move: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def moved(engine: Any, array: Any) -> Any:
            before = len(stage.transfers)
            found = move(engine, array)
            where = _place(sys._getframe(1))
            fresh = stage.transfers[before:]
            stage.transfers[before:] = [transfer._replace(where=where) for transfer in fresh]
            return found

        return moved

    kind = importlib.import_module("gpu_coldstart.engine.cuda.engine").CudaEngine
    with pytest.MonkeyPatch.context() as patch, _Fetches(stage):
        patch.setattr(FileCheckpoint, "SECONDS", 3600)  # on a busy machine one would come due
        for name in ("asarray", "to_host"):
            patch.setattr(kind, name, naming(getattr(kind, name)))
        yield


def arrays(transfers: Sequence[Transfer], kind: str) -> dict[str, int]:
    """The most bytes that moved at once, by place."""
    found: dict[str, int] = {}
    for moved in transfers:
        if moved.kind == kind:
            place = _plain(moved.where)
            found[place] = max(found.get(place, 0), moved.nbytes)
    return found


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stage]:
    """A whole run on the shrunken world."""
    with rehearsed() as stage, told(stage):
        return run(tmp_path_factory.mktemp("transfers") / "run", *world()), stage


def test_arrays_come_to_the_host_only_to_be_saved(rehearsal: tuple[Path, Stage]) -> None:
    assert arrays(rehearsal[1].transfers, "device-to-host").keys() == TO_HOST.keys()


def test_arrays_come_to_the_device_only_from_tables_and_seeds(
    rehearsal: tuple[Path, Stage],
) -> None:
    found = arrays(rehearsal[1].transfers, "host-to-device")
    assert found.keys() == (TO_DEVICE | CONSTANTS).keys()
    assert all(found[place] <= FEW_BYTES for place in CONSTANTS)


def test_what_was_saved_comes_back_once(rehearsal: tuple[Path, Stage]) -> None:
    with rehearsed() as stage, told(stage):
        run(rehearsal[0], *world(), "--resume")
    assert arrays(stage.transfers, "host-to-device").keys() == RESUMED.keys()
    assert not arrays(stage.transfers, "device-to-host")


def test_more_users_make_no_more_crossings(rehearsal: tuple[Path, Stage], tmp_path: Path) -> None:
    """Twice the users, and the batches of training: as many crossings, place by place.

    Two loops go by batches of users, and do not come round twice here: input vectors are made
    for 4096 at once, lists for 8192.
    """
    larger = {f"world__{key}": str(value) for key, value in LARGER.items()}
    with rehearsed() as stage, told(stage):
        run(tmp_path / "run", *world(**larger))
    one, other = (
        Counter((moved.kind, moved.where) for moved in found.transfers)
        for found in (rehearsal[1], stage)
    )
    for found in (one, other):  # once more where lists with new tracks tie at their end
        del found["scalar", "gpu_coldstart/engine/base.py:Engine.longest"]
    assert one == other
    assert max(moved.nbytes for moved in stage.moved("scalar")) <= 8
    most = [
        sum(arrays(found.transfers, "device-to-host").values()) for found in (rehearsal[1], stage)
    ]
    assert most[0] < most[1]  # the world is larger


def crossings(space: Any, options: Any) -> Counter[str]:
    """Where something crosses as a space is learned: however many steps an epoch has, the same."""
    with rehearsed() as stage:
        engine = importlib.import_module("gpu_coldstart.engine.cuda.engine").CudaEngine()
        logs = some_world(0).logs(engine, Config(split=SplitConfig(warm_until="all")))
        met = []
        for size in (4, 4096):
            stage.transfers.clear()
            with told(stage):
                space.fit(engine, logs, options.replace(batch_size=size, epochs=3), 0, silent)
            met.append(Counter((moved.kind, moved.where) for moved in stage.transfers))
    assert met[0] == met[1]
    return Counter(where for kind, where in met[0].elements() if "/models/" in where)


@pytest.mark.parametrize("sampler", ["uniform", "two-stage"])
def test_cml_learns_on_the_device(sampler: Any) -> None:
    inside = crossings(Cml, CmlConfig(sampler=sampler, dimension=4))
    methods = {"epoch", "_batches"} if sampler == "two-stage" else {"epoch"}
    assert {*inside} == {f"gpu_coldstart/models/cml.py:CmlTraining.{name}" for name in methods}


@pytest.mark.parametrize("relation", ["hlr++", "transcf"])
def test_relations_are_learned_on_the_device(relation: Any) -> None:
    inside = crossings(HlrSpace, HlrConfig(relation=relation, dimension=4))
    where = "gpu_coldstart/models/relations.py:"
    rows = 2 if relation == "transcf" else 1  # users', and tracks'
    assert inside == {
        f"{where}Neighbours.__init__": rows,
        f"{where}RelationTraining._mean_loss": 2 * 3,
    }
