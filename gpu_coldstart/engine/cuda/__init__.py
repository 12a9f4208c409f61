"""The engine on CuPy, RAPIDS, faiss-gpu and our own kernels."""
