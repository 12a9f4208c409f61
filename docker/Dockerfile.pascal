# The CUDA engine without RAPIDS, for cards of compute capability 6.1 such as the GTX 1080.
#   docker build --file docker/Dockerfile.pascal --tag gpu-coldstart:pascal .
#
# RAPIDS and faiss-gpu have no code for such cards, nor have later builds of torch. Reading runs on
# the CPU, the rest on the card. Dockerfile.rapids tells why the base is plain Python.
FROM python:3.11.14-slim-bookworm
# implicit is linked with the system's OpenMP, which slim images leave out.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends 'libgomp1=12.*' \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Packages first: this layer is made anew only when their versions change, not with the code.
COPY pyproject.toml docker/constraints-pascal.txt ./
COPY gpu_coldstart/__init__.py gpu_coldstart/
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN mkdir kernels && touch README.md LICENSE \
    && python -m pip install --constraint constraints-pascal.txt '.[cuda-pascal,test]'
COPY . .
RUN python -m pip install --no-deps --force-reinstall . && python -m pip check

# HOME may be written by any user, so that --user can be given; all caches are in it, compiled
# kernels among them.
RUN useradd --uid 1000 --home-dir /cache --no-create-home coldstart \
    && install --directory --owner coldstart --group coldstart /coldstart/runs /coldstart/data \
    && install --directory --mode 1777 /cache
ENV HOME=/cache USER=coldstart PYTHONUNBUFFERED=1
# The driver must offer this CUDA version; without one that does, the container does not start.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA="cuda>=12.0"
USER 1000:1000
WORKDIR /coldstart
VOLUME ["/coldstart/runs", "/coldstart/data", "/cache"]
ENTRYPOINT ["python", "-m", "gpu_coldstart.run"]
