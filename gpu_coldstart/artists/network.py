"""The network from a mel-spectrogram to a place, and what it makes of tracks."""

from __future__ import annotations

import torch
from torch import nn

from gpu_coldstart.batches import batches
from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.engine.base import Engine, HostArray

__all__ = ["ArtistNetwork", "placed"]

_LAYERS = 4
_AT_ONCE = 8  # tracks


class ArtistNetwork(nn.Module):
    """Convolutions over time, with the mel bands as their first channels.

    Each of four layers is a convolution over three frames, batch normalisation, ReLU and the
    largest of three frames; what the last one makes is averaged over time, and its largest too.

    Parameters
    ----------
    options : ArtistsConfig

    Examples
    --------
    >>> network = ArtistNetwork(ArtistsConfig(mel_bands=16, dimension=8))
    >>> network(torch.zeros(2, 16, 130)).shape
    torch.Size([2, 8])
    """

    def __init__(self, options: ArtistsConfig):
        super().__init__()
        bands, channels = options.mel_bands, options.channels
        layers: list[nn.Module] = [nn.BatchNorm1d(bands)]
        for inputs in (bands, *[channels] * (_LAYERS - 1)):
            layers += [
                nn.Conv1d(inputs, channels, 3, padding=1, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
                nn.MaxPool1d(3, ceil_mode=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(2 * channels, options.dimension)

    def forward(self, spectrograms: torch.Tensor) -> torch.Tensor:
        """Map excerpts [n, mel bands, frames] to unit vectors [n, dimension]."""
        heard = self.layers(spectrograms)
        pooled = torch.cat([heard.mean(dim=2), heard.amax(dim=2)], dim=1)
        return nn.functional.normalize(self.last(pooled), dim=1)


def placed(engine: Engine, network: nn.Module, heard: HostArray) -> HostArray:
    """Embeddings of tracks: the mean of their excerpts', of length 1.

    Parameters
    ----------
    heard : HostArray [tracks, excerpts, mel bands, frames] of float16

    Returns
    -------
    HostArray [tracks, dimension] of float32
    """
    network.eval()
    rows = []
    with torch.no_grad():
        for some in batches(len(heard), _AT_ONCE):
            excerpts = engine.to_torch(engine.asarray(heard[some])).float()
            each = network(excerpts.flatten(0, 1)).unflatten(0, excerpts.shape[:2])
            rows.append(nn.functional.normalize(each.mean(dim=1), dim=1))
    return engine.to_host(engine.from_torch(torch.cat(rows)))
