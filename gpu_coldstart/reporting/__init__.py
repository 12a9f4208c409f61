"""Results for people: figures, the page about a run, and the comparison of runs.

Everything here works on the tables of :mod:`gpu_coldstart.evaluation.tables` and on what a run has
said of itself; nothing is measured here.
"""
