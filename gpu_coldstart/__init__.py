"""gpu_coldstart: what a streaming service recommends on the day a new user signs up.

The package implements the semi-personalised system for user cold start of Briand et al.
(KDD 2021), end to end: embedding spaces of warm users, segments, the registration-day input
vector, the network that maps it into the space, the ways to recommend, and their evaluation.
Run ``python -m gpu_coldstart.run --help``.
"""

__version__ = "0.1.0"
