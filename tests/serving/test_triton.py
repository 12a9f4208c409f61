"""A repository for Triton: its configuration, and its models in ONNX Runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart import ColdStart
from gpu_coldstart.engine.base import Feedforward
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.serving.model import networks_of
from gpu_coldstart.serving.triton import MOST
from tests.runs.helpers import refused
from tests.serving.test_export import contents, exporting

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')


def parsed(text: str) -> dict[str, Any]:
    """A protocol buffer in its text form: messages as dicts, lists as lists, numbers as int."""
    tokens = _TOKEN.findall(text)
    message = _message(tokens, "")
    assert not tokens
    return message


def _message(tokens: list[str], end: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    while tokens and tokens[0] != end:
        name = tokens.pop(0)
        assert re.fullmatch(r"[a-z_]+", name), name
        assert name not in fields
        if tokens[0] == ":":
            tokens.pop(0)
        else:
            assert tokens[0] in "[{"
        fields[name] = _value(tokens)
    if end:
        assert tokens.pop(0) == end
    return fields


def _value(tokens: list[str]) -> Any:
    token = tokens.pop(0)
    if token == "{":
        return _message(tokens, "}")
    if token == "[":
        values = [_value(tokens)]
        while tokens[0] == ",":
            tokens.pop(0)
            values.append(_value(tokens))
        assert tokens.pop(0) == "]"
        return values
    if token.startswith('"'):
        return token[1:-1]
    return int(token) if token.isdecimal() else token


@pytest.fixture(scope="module")
def place(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("triton") / "models"
    result = exporting(plain, "--space", "tt-svd", "--format", "triton", "--out", out)
    assert result.status == 0, result.err
    return out


@pytest.fixture(scope="module")
def networks(exported: Path) -> dict[str, Feedforward]:
    """The model's networks by the names that the repository should have for them."""
    found = networks_of(ColdStart.load(exported, engine="cpu").fitted)
    return {Path(name).stem.replace("-", "_"): each for name, each in found.items()}


def test_there_is_a_folder_for_each_network(place: Path, networks: dict[str, Feedforward]) -> None:
    assert {"network", "gate", "track_softmax"} <= set(networks)
    files = {f"{name}/{file}" for name in networks for file in ("config.pbtxt", "1/model.onnx")}
    assert set(contents(place)) == files


def test_the_configuration_is_that_of_the_model(
    place: Path, networks: dict[str, Feedforward]
) -> None:
    for name, network in networks.items():
        config = parsed((place / name / "config.pbtxt").read_text())
        session = onnxruntime.InferenceSession(place / name / "1/model.onnx")
        ends = {"input": session.get_inputs(), "output": session.get_outputs()}
        widths = {"input": network.inputs, "output": network.outputs}
        assert config == {
            "name": name,
            "platform": "onnxruntime_onnx",
            "max_batch_size": 512,
            "dynamic_batching": {},
            **{
                end: [{"name": one.name, "data_type": "TYPE_FP32", "dims": [widths[end]]}]
                for end, (one,) in ends.items()
            },
        }
        for one in (*ends["input"], *ends["output"]):
            assert one.type == "tensor(float)"
            assert isinstance(one.shape[0], str)  # any number of users


@pytest.mark.parametrize("n", [1, 7, MOST])
def test_the_models_compute_what_the_engine_does(
    place: Path, networks: dict[str, Feedforward], n: int
) -> None:
    engine = CpuEngine()
    for name, network in networks.items():
        random = np.random.default_rng(n)
        vectors = random.normal(size=(n, network.inputs)).astype(np.float32)
        session = onnxruntime.InferenceSession(place / name / "1/model.onnx")
        (made,) = session.run(["outputs"], {"vectors": vectors})
        assert made.shape == (n, network.outputs)
        assert_allclose(made, engine.feed_forward(network, vectors), atol=1e-5)


def test_other_models_in_the_repository_are_left_alone(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "models/other/1").mkdir(parents=True)
    (tmp_path / "models/other/1/model.onnx").touch()
    for _ in range(2):
        result = exporting(plain, "--format", "triton", "--out", tmp_path / "models")
        assert result.status == 0, result.err
    assert {"other", "network", "gate", "track_softmax"} <= {
        path.name for path in (tmp_path / "models").iterdir()
    }
    assert (tmp_path / "models/other/1/model.onnx").read_bytes() == b""


def test_mistakes(plain: Path, tmp_path: Path) -> None:
    refused(exporting(plain, "--format", "trition", "--out", tmp_path), "did you mean triton?")
    (tmp_path / "file").touch()
    sentence = refused(exporting(plain, "--format", "triton", "--out", tmp_path / "file"))
    assert "cannot be written" in sentence
