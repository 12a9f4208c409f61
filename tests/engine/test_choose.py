"""Which engine is chosen, what it says for it, and one sentence where it cannot be.

Cards and libraries are those of a rehearsal (see ``tests/rehearsal``), with one thing missing.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import faiss
import pytest
import torch

from gpu_coldstart.cli import wording
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.errors import MemoryBudgetError, UserError
from tests.rehearsal.install import Stage, rehearsed
from tests.runs.helpers import command, refused, synthetic

CUDA = {"12": "12.9", "13": "13.0"}
BROKEN = """
================================================================
Failed to import CuPy.

Original error:
  ImportError: libcudf.so: cannot open shared object file
================================================================
"""
"""What CuPy says where it is installed and a library of NVIDIA's is not."""


@contextmanager
def card(
    capability: str = "90", *, cuda: str = "12", instead: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[Stage]:
    """A card with RAPIDS where RAPIDS runs on it, and a torch that was built for some CUDA.

    ``instead`` are modules in the place of others; None makes an import fail.
    """
    rapids = int(capability) >= 70
    with rehearsed(capability, rapids=rapids) as stage, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.version, "cuda", CUDA[cuda])
        for name, module in instead.items():
            patch.setitem(sys.modules, name, module)
        yield stage


def told(name: str) -> str:
    """The one sentence of a refusal."""
    with pytest.raises(UserError) as refusal:
        choose(name)
    sentence = wording.sentence(refusal.value)
    assert "\n" not in sentence
    return sentence


def on_cpu(chosen: tuple[Engine, str]) -> str:
    """The reason why it is the CPU engine."""
    assert type(chosen[0]) is CpuEngine
    assert "\n" not in chosen[1]
    return chosen[1]


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        raise error

    return function


# -- no card, or not one that will do ----------------------------------------------------------


def test_the_cpu_where_it_is_asked_for() -> None:
    with card():
        assert on_cpu(choose("cpu")) == "engine cpu: asked for"


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpu_build = AssertionError("Torch not compiled with CUDA enabled")
    monkeypatch.setattr(torch.cuda, "init", raising(cpu_build))
    assert on_cpu(choose("auto")) == "engine cpu: PyTorch finds no CUDA device here"
    assert told("cuda") == (
        "engine cuda cannot run: PyTorch finds no CUDA device here; mend that, or use --engine cpu"
    )


OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: "
    "http://www.nvidia.com/Download/index.aspx"
)


def test_an_old_driver_is_told_in_pytorchs_words(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def is_available() -> bool:
        warnings.warn(f"CUDA initialization: {OLD_DRIVER}", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "init", raising(RuntimeError(OLD_DRIVER)))
    why = f"PyTorch finds no CUDA device here ({OLD_DRIVER})"
    assert on_cpu(choose("auto")) == f"engine cpu: {why}"
    assert told("cuda") == f"engine cuda cannot run: {why}; mend that, or use --engine cpu"
    assert not recwarn.list


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("init", "CUDA unknown error - this may be due to an incorrectly set up environment."),
        ("mem_get_info", "CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
        ("mem_get_info", "CUDA error: out of memory"),
    ],
)
def test_a_context_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, call: str, text: str
) -> None:
    error = torch.AcceleratorError(f"{text}\nCUDA kernel errors might be reported later\n")
    with card():
        monkeypatch.setattr(torch.cuda, call, raising(error))
        why = f"the CUDA device cannot be used ({text.rstrip('.')})"
        assert on_cpu(choose("auto")) == f"engine cpu: {why}"
        assert told("cuda") == f"engine cuda cannot run: {why}; mend that, or use --engine cpu"


@pytest.mark.parametrize(("torchs", "cupys"), [("12", 13), ("13", 12)])
@pytest.mark.parametrize("capability", ["75", "90"])
def test_libraries_for_two_versions_of_cuda(torchs: str, cupys: int, capability: str) -> None:
    with card(capability, cuda=torchs) as stage:
        choose("cuda")
        stage.cupy_cuda = cupys
        assert told("cuda") == (
            f"engine cuda cannot run: PyTorch is built for CUDA {torchs} and CuPy for CUDA "
            f"{cupys}: pip install 'gpu-coldstart[cuda{torchs}]' into a new environment; mend "
            "that, or use --engine cpu"
        )


@pytest.mark.parametrize("capability", ["52", "60"])
def test_too_old_a_card(capability: str) -> None:
    why = f"rehearsed card has compute capability {'.'.join(capability)}, older than 6.1"
    with card(capability):
        assert on_cpu(choose("auto")) == f"engine cpu: {why}"
        assert told("cuda") == f"engine cuda cannot run: {why}; mend that, or use --engine cpu"


@pytest.mark.parametrize(
    ("capability", "cuda", "name"),
    [
        ("61", "12", "PascalEngine"),
        ("70", "12", "CudaEngine"),
        ("75", "13", "CudaEngine"),
        ("90", "12", "CudaEngine"),
        ("120", "13", "CudaEngine"),
    ],
)
@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_a_card_that_will_do(capability: str, cuda: str, name: str, asked: str) -> None:
    with card(capability, cuda=cuda):
        engine, reason = choose(asked)
        assert type(engine) is getattr(
            importlib.import_module("gpu_coldstart.engine.cuda.engine"), name
        )
    dotted = f"{capability[:-1]}.{capability[-1]}"
    assert reason.startswith(f"engine cuda: rehearsed card, compute capability {dotted}")
    assert ("reading runs on the CPU" in reason) == (name == "PascalEngine")
    assert "\n" not in reason


def test_a_card_too_old_for_cuda_13() -> None:
    with card("70", cuda="13"):
        for sentence in (told("cuda"), on_cpu(choose("auto"))):
            assert "rehearsed card has compute capability 7.0, and CUDA 13 needs 7.5" in sentence
            assert "pip install 'gpu-coldstart[cuda12]'" in sentence


def test_an_unknown_name() -> None:
    assert told("gpu") == "engine 'gpu' is not known: use auto, cpu or cuda"


# -- what is missing, and which extra has it ---------------------------------------------------


@pytest.mark.parametrize("cuda", CUDA)
@pytest.mark.parametrize("library", ["cupy", "cudf", "cuml", "rmm"])
def test_a_missing_library(library: str, cuda: str) -> None:
    with card(cuda=cuda, instead={library: None}):
        sentence = told("cuda")
        assert re.fullmatch(
            rf"engine cuda cannot run: {library} cannot be imported \(.*\): pip install "
            rf"'gpu-coldstart\[cuda{cuda}\]'; mend that, or use --engine cpu",
            sentence,
        )
        reason = on_cpu(choose("auto"))
    assert reason.startswith(f"engine cpu: {library} cannot be imported (")
    assert reason.endswith(f"pip install 'gpu-coldstart[cuda{cuda}]'")


def test_a_missing_library_of_an_old_card() -> None:
    with card("61", instead={"cupy": None}):
        assert "cupy cannot be imported (" in told("cuda")
        assert "pip install 'gpu-coldstart[cuda-pascal]'" in told("cuda")
        assert on_cpu(choose("auto")).endswith("pip install 'gpu-coldstart[cuda-pascal]'")


def test_an_old_card_needs_no_more_than_cupy() -> None:
    """Neither RAPIDS nor a faiss for GPUs, of which a rehearsal of such a card has none."""
    with card("61"):
        assert not hasattr(importlib.import_module("faiss"), "StandardGpuResources")
        assert choose("auto")[0].name == "cuda"


def test_faiss_for_cpus_on_a_card_of_today() -> None:
    with card(instead={"faiss": _without_gpu(faiss)}):
        sentence = told("cuda")
        assert "the installed faiss is a CPU build: docs/gpu.md" in sentence
        assert on_cpu(choose("auto")).startswith("engine cpu: the installed faiss is a CPU build")


def _without_gpu(module: Any) -> ModuleType:
    """faiss as its CPU build is, wherever the tests run."""
    found = ModuleType("faiss")
    vars(found).update({k: v for k, v in vars(module).items() if k != "StandardGpuResources"})
    return found


class Broken:
    """Finds a library whose import fails in some way, or in the library's own words for it."""

    def __init__(self, library: str, error: Exception):
        self._library, self._error = library, error

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == self._library == "cupy":
            raise ImportError(BROKEN) from self._error
        if name == self._library:
            raise self._error


@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("library", "error"),
    [
        ("cudf", OSError("libcudf.so: cannot open shared object file")),
        ("cuml", RuntimeError("the driver is too old for libcudf.so")),
        ("cupy", ImportError("libcudf.so: cannot open shared object file")),
    ],
    ids=["cudf", "cuml", "cupy"],
)
def test_a_library_that_is_there_but_broken(name: str, library: str, error: Exception) -> None:
    with card(), pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, library)
        patch.setattr(sys, "meta_path", [Broken(library, error), *sys.meta_path])
        sentence = told("cuda") if name == "cuda" else on_cpu(choose("auto"))
    assert f"{library} cannot be imported" in sentence
    assert "libcudf.so" in sentence


def test_without_any_faiss() -> None:
    with card(instead={"faiss": None}):
        assert "faiss cannot be imported" in told("cuda")
        assert on_cpu(choose("auto")).startswith("engine cpu: faiss cannot be imported")
        assert choose("cpu")[0].name == "cpu"


# -- the command, and how much memory it may take ----------------------------------------------


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("8", "is not a size: write, for instance, 8GB or 6000MB"),
        ("much", "is not a size"),
        ("GB", "is not a size"),
        ("8XB", "is not a size"),
        ("-8GB", "is not a size"),
        ("8GB of it", "is not a size"),
        ("", "is not a size"),
        ("0GB", "0.0 GB of GPU memory are too little: give --memory-budget 1.5GB or more"),
        ("900MB", "0.9 GB of GPU memory are too little"),
        ("16GB", "asks for 16.0 GB, but 11.0 GB of the GPU's 12.0 GB are free: set it lower"),
        ("99999TB", "of the GPU's 12.0 GB are free: set it lower"),
    ],
)
def test_a_memory_budget_that_cannot_be(tmp_path: Path, size: str, words: str) -> None:
    with rehearsed(total_memory=12 << 30):
        options = ("--engine", "cuda", f"--memory-budget={size}", "--out", tmp_path / "run")
        refused(command(*synthetic(), *options), words)
    assert not list(tmp_path.iterdir())


def test_a_memory_budget_on_the_cpu(tmp_path: Path) -> None:
    options = ("--engine", "cpu", "--memory-budget", "8GB", "--out", tmp_path / "run")
    refused(command(*synthetic(), *options), "--memory-budget is about a GPU's memory: leave it")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "wanted"),
    [("8GB", 8 << 30), ("1.5 gib", 3 << 29), ("11G", 11 << 30)],
)
def test_a_memory_budget_is_kept(size: str, wanted: int) -> None:
    run = importlib.import_module("gpu_coldstart.cli.run")
    with rehearsed(total_memory=12 << 30):
        engine: Any = choose("cuda", run.size_in_bytes(size))[0]
        assert engine._memory.budget == wanted
        assert 0 < engine._memory.pool < wanted


def test_without_a_budget_it_takes_nine_tenths_of_what_is_free() -> None:
    with rehearsed(total_memory=11 << 30):  # a gigabyte of it is taken
        engine: Any = choose("cuda")[0]
    assert engine._memory.budget == int(0.9 * (10 << 30))


@pytest.mark.parametrize("free", [0, 1 << 29, 3 << 29, (15 << 30) // 9])
@pytest.mark.parametrize("budget", [None, 2 << 30])
def test_a_card_that_others_have_filled(free: int, budget: int | None) -> None:
    """A budget of its own may be all of what is free; else nine tenths have to be 1.5 gigabytes."""
    with rehearsed(total_memory=80 << 30) as stage:
        stage.taken = (80 << 30) - free
        if budget is not None and free >= 3 << 29:
            with pytest.raises(MemoryBudgetError, match=r"asks for 2\.0 GB"):
                choose("auto", budget)
            return
        why = f"{free / 2**30:.1f} GB of the GPU's 80.0 GB are free, and 1.7 GB are the least"
        reason = on_cpu(choose("auto", budget))
        assert reason.startswith(f"engine cpu: {why} that it needs")
        assert reason.endswith("the memory budget has no effect") == (budget is not None)
        assert told("cuda").startswith(f"engine cuda cannot run: {why}")
        stage.taken = 80 << 30 >> 1
        assert choose("auto")[0].name == "cuda"


def test_the_command_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = command(*synthetic(), "--engine", "cuda", "--out", tmp_path / "run")
    refused(result, "engine cuda cannot run: PyTorch finds no CUDA device here", "--engine cpu")
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_chose(tmp_path: Path) -> None:
    few = ("--space", "tt-svd", "--strategies", "popularity", "--out", tmp_path / "run")
    with card(instead={"cudf": None}):
        result = command(*synthetic(), *few, "--engine", "auto")
    assert result.status == 0, result.err
    assert "engine cpu: cudf cannot be imported (" in result.out.splitlines()[0]
