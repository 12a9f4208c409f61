"""Artists told apart by sound (Royo-Letelier et al., ISMIR 2018): homonyms in a table of tracks.

A network places tracks so that those of an artist are near each other, learned from artists who
are known; the tracks of one who may be several are then clustered. How the paper's network is made
is not public in detail: what was chosen is in ``docs/artists.md``.
"""
