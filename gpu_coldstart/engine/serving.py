"""The engine of a service: the CPU's, with networks on ONNX Runtime, and without PyTorch."""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

# Before ONNX Runtime is loaded, which would report to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from gpu_coldstart.engine import networks
from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.engine.cpu.engine import CpuEngine

__all__ = ["ServingEngine"]

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class ServingEngine(CpuEngine):
    """Recommends as the CPU engine does; for batches of a few users, and not to fit.

    Parameters
    ----------
    threads : int
        That ONNX Runtime may take for a batch.

    Attributes
    ----------
    providers : tuple of str
        What ONNX Runtime computes on, CUDA first if it can.
    """

    label = "CPU, ONNX Runtime"

    def __init__(self, threads: int = 1) -> None:
        super().__init__()
        there = onnxruntime.get_available_providers()
        self.providers = tuple(name for name in _PROVIDERS if name in there)
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        self._options.log_severity_level = 3
        self._sessions: WeakKeyDictionary[Feedforward, onnxruntime.InferenceSession] = (
            WeakKeyDictionary()
        )

    def adopt(self, network: Feedforward, model: bytes) -> None:
        """Compute a network by its ONNX form from now on.

        Raises
        ------
        ValueError
            When ONNX Runtime cannot load it, or it has other inputs or outputs.
        """
        try:
            session = onnxruntime.InferenceSession(
                model, self._options, providers=list(self.providers)
            )
        except Exception as error:
            # ONNX Runtime's errors have no common class but this.
            raise ValueError(f"no ONNX model: {error}") from error
        ends = (*session.get_inputs(), *session.get_outputs())
        if [end.shape[1:] for end in ends] != [[network.inputs], [network.outputs]]:
            raise ValueError("an ONNX model of another network")
        self._sessions[network] = session

    def feed_forward(self, network: Feedforward, vectors: Array) -> Array:
        """See :meth:`Engine.feed_forward`; of a network that was adopted.

        A row's bits may depend on the others where a number lies between two of float32.
        """
        session = self._sessions[network]
        if len(vectors) == 1:  # ONNX Runtime takes two to three times as long as NumPy here
            return networks.fed_forward(self.xp, network, vectors, 1)
        (made,) = session.run(None, {session.get_inputs()[0].name: vectors})
        return made
