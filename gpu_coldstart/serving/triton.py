"""A model's networks as a repository of models for NVIDIA's Triton Inference Server.

Each network has a folder with ``config.pbtxt`` and ``1/model.onnx``. What is around the networks,
from events to input vectors and from outputs to lists, is this package's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from gpu_coldstart.engine.base import Engine, Feedforward
from gpu_coldstart.runs.artifacts import write_atomically
from gpu_coldstart.serving.model import Fitted, networks_of
from gpu_coldstart.serving.onnx_form import INPUT, OUTPUT, onnx_form

__all__ = ["MOST", "model_names", "repository", "write"]

MOST = 512
"""Users in a batch, at most."""

_CONFIG = """\
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {most}
input [
  {{
    name: "{input}"
    data_type: TYPE_FP32
    dims: [ {inputs} ]
  }}
]
output [
  {{
    name: "{output}"
    data_type: TYPE_FP32
    dims: [ {outputs} ]
  }}
]
dynamic_batching {{ }}
"""


def repository(engine: Engine, fitted: Fitted) -> dict[str, bytes]:
    """The files of the repository, by name; ``network`` is the one that places users."""
    networks = {PurePosixPath(file).stem: each for file, each in networks_of(fitted).items()}
    files: dict[str, bytes] = {}
    for name, network in zip(model_names(networks), networks.values(), strict=True):
        files[f"{name}/1/model.onnx"] = onnx_form(engine, network)
        files[f"{name}/config.pbtxt"] = _config(name, network).encode()
    return files


def model_names(names: Iterable[str]) -> list[str]:
    """Names that Triton, its clients and its metrics all take: letters, digits and underscores.

    Examples
    --------
    >>> model_names(["network", "track-softmax", "track.softmax"])
    ['network', 'track_softmax', 'track_softmax_2']
    """
    made: list[str] = []
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
        taken, number = plain, 2
        while taken in made:
            taken, number = f"{plain}_{number}", number + 1
        made.append(taken)
    return made


def write(directory: Path, files: dict[str, bytes]) -> None:
    """Write the files into a repository, where other models may be, each file at once.

    Raises
    ------
    UserError
        When the disk is full or the place cannot be written.
    """
    for name, content in files.items():
        write_atomically(directory / name, content)


def _config(name: str, network: Feedforward) -> str:
    """What Triton must know of a model; its dimensions are those of one user."""
    return _CONFIG.format(
        name=name,
        most=MOST,
        input=INPUT,
        inputs=network.inputs,
        output=OUTPUT,
        outputs=network.outputs,
    )
