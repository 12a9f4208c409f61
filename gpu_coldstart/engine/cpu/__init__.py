"""The engine on NumPy, SciPy, faiss-cpu and loops compiled by Numba."""
