"""Made-up names for a made-up catalogue, so that people can tell its artists and tracks apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from gpu_coldstart.engine.types import HostArray

__all__ = ["named"]

_BAND_FIRST = (
    "Amber Arctic Autumn Blind Brass Burning Chrome Copper Crimson Crystal Distant Electric "
    "Empty Fallen Feral Foreign Frozen Gentle Gilded Golden Hidden Hollow Idle Ivory Jade "
    "Kindred Last Little Lonely Lunar Midnight Modern Neon Northern Pale Paper Quiet Radio "
    "Restless Royal Rusty Satin Scarlet Second Secret Silent Silver Solar Southern Static "
    "Stolen Sudden Tender Tidal Twin Velvet Violet Wandering Western Wild Winter Wooden Young"
)
_BAND_LAST = (
    "Anchors Arcade Atlas Avenue Balloons Bandits Birds Brigade Cabinet Cameras Canyon Cartel "
    "Cathedral Choir Circus Club Comets Company Curtains Dancers Diaries Divers Echoes Engines "
    "Escapes Ferries Foxes Gardens Ghosts Giants Harbours Hearts Horses Islands Keys Kites "
    "Lanterns Letters Lights Lions Machines Mirrors Motel Mountains Oceans Orchard Owls Parade "
    "Pilots Planets Postcards Rebels Riders Rivers Rooms Sailors Satellites Seasons Shadows "
    "Signals Sisters Society Sparrows Stations Strangers Swimmers Theatre Thieves Tigers Towers "
    "Trains Travellers Union Valley Voices Waves Windows Wolves"
)
_TITLE_FIRST = (
    "After Against All Almost Another Before Behind Below Beyond Blue Bright Broken By Call "
    "Carry Catch Closer Cold Count Dear Deep Drive Every Far Fast Find Follow For Forget From "
    "Give Hold Home House In Inside Into Keep Leave Lose Love Make More My Never New No Old On "
    "One Only Open Over Past Red Remember Run Same Send Shallow Slow Some Still Take Talk Tell "
    "The This Three Through Too Two Under Until Wait Walk Warm Watch When White Why With "
    "Without Your"
)
_TITLE_LAST = (
    "Again Alarm Alone Animal Answer Apart April August Autumn Avalanche Away Beach Bones "
    "Borders Bridge Brother Candle Ceiling Circles City Clouds Colours Corner Crossing Crowd "
    "Dancing Dark Dawn Daylight Desert Distance Doors Dreams Dust Earth Evening Everything Eyes "
    "Faces Falling Feeling Fever Fields Fire Flowers Forever Friday Friends Future Glass Gold "
    "Gravity Ground Hands Heaven Heroes Hours Hurricane January July Kingdom Ladder Language "
    "Leaving Lines London Lovers Magic Maps Memory Midnight Mind Mirror Miracle Moment Monday "
    "Money Moon Morning Mother Motion Mountain Names Night Nothing November Numbers October "
    "Paradise Paris Patience People Pictures Places Rain Reason River Roads Rome Saturday Sea "
    "Secrets Shelter Signs Silence Sister Skies Sleep Smoke Snow Somebody Something Sorrow "
    "Stars Stones Stories Storm Strangers Streets Summer Sunday Talking Thunder Time Tomorrow "
    "Tonight Trouble Truth Tuesday Walls Water Weather Winter Wonder Words World Yesterday"
)


def named(tables: Mapping[str, pa.Table], seed: int = 0) -> dict[str, pa.Table]:
    """The tables of a synthetic world with titles of tracks and playlists, and names of artists.

    The same tables and seed give the same names. Artists have different ones as far as there are
    enough; as in life, some tracks share a title.
    """
    random = np.random.default_rng([seed, 6])
    tracks, playlists = tables["tracks"], tables["playlists"]
    _, artist = np.unique(tracks["artist_id"], return_inverse=True)
    ids, playlist = np.unique(playlists["playlist_id"], return_inverse=True)
    bands = _pairs(random, _BAND_FIRST, _BAND_LAST, int(artist.max()) + 1)
    titles = _pairs(random, _TITLE_FIRST, _TITLE_LAST, len(tracks))
    themes = _pairs(random, _BAND_FIRST, _TITLE_LAST, len(ids))
    return {
        **tables,
        "tracks": tracks.append_column("title", pa.array(titles)).append_column(
            "artist_name", pa.array([bands[place] for place in artist])
        ),
        "playlists": playlists.append_column(
            "title", pa.array([themes[place] for place in playlist])
        ),
    }


def _pairs(random: np.random.Generator, firsts: str, lasts: str, n: int) -> list[str]:
    """``n`` pairs of words, different ones until all are taken."""
    first, last = firsts.split(), lasts.split()
    all_pairs = len(first) * len(last)
    order: HostArray = np.resize(random.permutation(all_pairs), n)
    return [f"{first[place // len(last)]} {last[place % len(last)]}" for place in order]
