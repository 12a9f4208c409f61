"""The rules of the other stand-ins, of the stage they stand on, and of the checker of calls."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.rehearsal.check_cuda_api import check, signature_of
from tests.rehearsal.helpers import refused
from tests.rehearsal.install import Stage, rehearsed
from tests.rehearsal.record import UndefinedError

# -- cuDF ------------------------------------------------------------------------------------------


def _frame(table: pa.Table) -> Any:
    return importlib.import_module("cudf").DataFrame.from_arrow(table)


def test_integers_with_nulls_need_filling(stage: Stage) -> None:
    series = _frame(pa.table({"a": pa.array([1, None], pa.int8())}))["a"]
    assert series.has_nulls
    assert series.notnull().to_cupy().tolist() == [True, False]
    refused((UndefinedError, "fillna"), series.to_cupy, lambda: series.values)
    assert series.astype("int64").fillna(0).to_cupy().tolist() == [1, 0]
    with pytest.raises(TypeError, match="safely"):
        series.fillna(1000)


def test_categories(stage: Stage) -> None:
    series = _frame(pa.table({"a": ["b", None, "a", "b"]}))["a"].astype("category")
    codes = series.cat.codes
    assert codes.dtype == np.uint8
    assert codes.null_count == 1
    assert codes.fillna(0).to_cupy().tolist() == [1, 0, 0, 1]
    assert series.cat.categories.to_arrow().to_pylist() == ["a", "b"]
    with pytest.raises(TypeError, match="safely"):
        codes.fillna(-1)


def test_dictionaries_that_cudf_would_mix_up(stage: Stage) -> None:
    chunks = [pa.array(words).dictionary_encode() for words in (["a"], ["b"])]
    with pytest.raises(UndefinedError, match="unify"):
        _frame(pa.table({"a": pa.chunked_array(chunks)}))
    whole = pa.chunked_array(chunks).unify_dictionaries()
    assert _frame(pa.table({"a": whole}))["a"].cat.codes.to_cupy().tolist() == [0, 1]


def test_times(stage: Stage, tmp_path: Path) -> None:
    table = pa.table(
        {
            "zoned": pa.array([1_000_000], pa.timestamp("us", "Europe/Paris")),
            "day": pa.array([1], pa.date32()),
        }
    )
    frame = _frame(table)
    assert str(frame["day"].dtype) == "datetime64[s]"
    with pytest.raises(TypeError, match="timezone-aware"):
        frame["zoned"].astype("datetime64[us]")
    with pytest.raises(ValueError, match="datetime64"):
        _frame(pa.table({"a": pa.array([1], pa.date64())}))
    pq.write_table(table, tmp_path / "a.parquet")
    read = importlib.import_module("cudf").read_parquet(tmp_path / "a.parquet", columns=["zoned"])
    assert str(read["zoned"].dtype) == "datetime64[us]"
    with pytest.raises(TypeError, match="cupy does not support"):
        read["zoned"].to_cupy()


def test_damaged_and_missing_files_and_columns(stage: Stage, tmp_path: Path) -> None:
    cudf = importlib.import_module("cudf")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RuntimeError, match="CUDF failure"):
        cudf.read_parquet(tmp_path / "bad.parquet", columns=["a"])
    with pytest.raises(FileNotFoundError):
        cudf.read_parquet(tmp_path / "none.parquet", columns=["a"])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "good.parquet")
    found = cudf.read_parquet(tmp_path / "good.parquet", columns=["a", "b"])
    assert found.columns == ["a"]
    metadata = {"pandas": json.dumps({"index_columns": ["a"]})}
    table = pa.table({"a": [1], "b": [2]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "index.parquet")
    path = tmp_path / "index.parquet"
    assert cudf.read_parquet(path, columns=["a", "b"]).columns == ["b"]
    assert len(cudf.read_parquet(path, columns=["a"], use_pandas_metadata=False).columns) == 1


# -- cuML and faiss --------------------------------------------------------------------------------


def test_kmeans(stage: Stage, cp: Any) -> None:
    kind = importlib.import_module("cuml.cluster").KMeans
    points = cp.asarray(np.random.default_rng(0).random((30, 2), np.float32))
    found = kind(n_clusters=3, random_state=0, output_type="cupy").fit(points)
    assert found.labels_.dtype == np.int32
    assert sorted(set(found.labels_.tolist())) == [0, 1, 2]
    stage.empty_cluster = True
    found = kind(n_clusters=3, random_state=0, output_type="cupy").fit(points)
    assert sorted(set(found.labels_.tolist())) == [0, 1]
    with pytest.raises(TypeError):
        kind(3)
    with pytest.raises(TypeError):
        kind(n_init=cp.int32(3))
    for wrong in (points.astype(cp.float64), points.T, points.get()):
        with pytest.raises(UndefinedError):
            kind(n_clusters=1).fit(wrong)


def test_faiss_takes_tensors_once_told(stage: Stage) -> None:
    faiss: Any = importlib.import_module("faiss")
    resources = faiss.StandardGpuResources()
    points = torch.tensor([[0.0], [1.0], [1.0]])
    with pytest.raises(AttributeError):
        faiss.knn_gpu(resources, points, points, 1)
    importlib.import_module("faiss.contrib.torch_utils")
    distances, labels = faiss.knn_gpu(resources, points, points, 2)
    assert labels.tolist() == [[0, 2], [2, 1], [2, 1]]
    assert distances[0].tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="2048"):
        faiss.knn_gpu(resources, points, points, 2049)
    with pytest.raises(TypeError):
        faiss.knn_gpu(resources, points, points, 1, vectorsMemoryLimit=1)
    assert faiss.knn_gpu(resources, points[:1], points, 4)[1].tolist()[0][-1] == -1
    assert faiss.get_num_gpus() == 1


# -- the stage itself ------------------------------------------------------------------------------


def test_everything_is_put_back() -> None:
    before = {name: sys.modules.get(name) for name in ("cupy", "cudf", "faiss", "rmm")}
    available = torch.cuda.is_available
    with rehearsed():
        assert torch.cuda.is_available()
        module = importlib.import_module("gpu_coldstart.engine.cuda.memory")
        assert module.cp is sys.modules["cupy"]
    assert {name: sys.modules.get(name) for name in before} == before
    assert torch.cuda.is_available is available
    assert sys.modules.get("gpu_coldstart.engine.cuda.memory") is not module


def test_pytorch_for_cuda_trains_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a build has an accelerator, with no driver here, which Adam asks whether it captures."""
    monkeypatch.setattr(torch._C, "_accelerator_getAccelerator", lambda: torch.device("cuda"))
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    with rehearsed():
        torch.optim.Adam([weight], lr=0.1, fused=True).step()
    assert weight.tolist() == pytest.approx([0.9, 0.9])
    assert torch.accelerator.current_accelerator() == torch.device("cuda")


def test_an_old_card_has_no_rapids() -> None:
    with rehearsed("61", rapids=False):
        assert torch.cuda.get_device_capability() == (6, 1)
        assert importlib.import_module("cupy").cuda.Device().compute_capability == "61"
        for name in ("cudf", "cuml", "rmm"):
            with pytest.raises(ImportError):
                importlib.import_module(name)
        assert not hasattr(importlib.import_module("faiss"), "StandardGpuResources")


def test_memory_is_tried_out(stage: Stage, cp: Any) -> None:
    rmm: Any = importlib.import_module("rmm")
    taken: list[int] = []

    def allocate(size: int, device: int) -> int:
        taken.append(size)
        if size > stage.total_memory:
            raise MemoryError
        return int(torch.cuda.caching_allocator_alloc(size, device, 0))

    free: Any = torch.cuda.caching_allocator_delete
    cp.cuda.set_allocator(cp.cuda.PythonFunctionAllocator(allocate, lambda at, _: free(at)).malloc)
    much = stage.total_memory + 1
    assert taken == [512, 0, much]
    callbacks = (lambda size, _: allocate(size, 0), lambda at, *_: free(at))
    rmm.mr.set_current_device_resource(rmm.mr.CallbackMemoryResource(*callbacks))
    assert taken == [512, 0, much, 256, 0, 512, much]
    assert not stage.allocations
    torchs_own: Any = torch.cuda.caching_allocator_alloc
    with pytest.raises(torch.OutOfMemoryError):
        torchs_own(much)
    with pytest.raises(UndefinedError, match="OutOfMemoryError"):
        rmm.mr.set_current_device_resource(
            rmm.mr.CallbackMemoryResource(lambda size, _: torchs_own(size), callbacks[1])
        )


def test_calls_are_written_for_the_checker(stage: Stage, cp: Any, tmp_path: Path) -> None:
    cp.sort(cp.arange(3), axis=0).sum(keepdims=True)
    stage.write_calls(tmp_path / "calls.json")
    calls = json.loads((tmp_path / "calls.json").read_text())
    wanted = [["cupy.arange", 1, []], ["cupy.ndarray.sum", 0, ["keepdims"]]]
    assert all(call in calls for call in [*wanted, ["cupy.sort", 1, ["axis"]]])


def test_the_checker() -> None:
    assert check("shutil.copyfile", 2, ["follow_symlinks"]) is None
    assert "keyword" in str(check("shutil.copyfile", 2, ["follow"]))
    assert "not there" in str(check("json.dumpz", 1, []))
    assert "not there" in str(check("no_such_library.sort", 1, []))
    assert check("json.JSONEncoder.encode", 1, []) is None
    assert check("json.JSONEncoder.encode", 2, []) is not None

    class Compiled:
        """Base.sum(self, int axis=-1, *shape, bool keepdims=False) -> Base"""

        __signature__ = "none"

        def __call__(self) -> None: ...

    assert str(signature_of(Compiled())) == "(self, axis=None, *shape, keepdims=None)"
