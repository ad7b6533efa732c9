# syntax=docker/dockerfile:1
# The image of every process but Postgres and Valkey; what a container does is its command.
#
#   docker build -t judgesmith:0.1.0-cpu .
#   docker build -t judgesmith:0.1.0-gpu --build-arg LOCK=gpu .
#
# There is no HEALTHCHECK: the processes differ, so docker-compose.yml and k8s/ say how to ask each one.

# To pin the base by digest, pass PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# cpu or gpu: which lock of requirements/ to install.
ARG LOCK=cpu

FROM ${PYTHON_IMAGE} AS builder
ARG LOCK
WORKDIR /build
# Without pip: the image has nothing to install later. The pip of the base image installs into it.
RUN python -m venv --without-pip /opt/judgesmith
COPY requirements/${LOCK}.lock requirements/
# Complete and hashed, so pip resolves nothing, and free of development tools. The CPU build of torch is on PyTorch's
# own index only; for gpu that index must stay out, or it would offer the same torch in another build.
RUN --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    case "${LOCK}" in \
        cpu) set -- --extra-index-url https://download.pytorch.org/whl/cpu ;; \
        *) set -- ;; \
    esac \
    && pip --python /opt/judgesmith install --no-deps --require-hashes --only-binary :all: "$@" \
        -r "requirements/${LOCK}.lock"
COPY pyproject.toml README.md LICENSE ./
COPY judge judge
COPY service service
COPY workers workers
COPY stack stack
COPY migrations migrations
RUN pip --python /opt/judgesmith install --no-cache-dir --no-deps --no-build-isolation .

# What the system must add for vLLM differs between the two builds.
FROM ${PYTHON_IMAGE} AS system-cpu
# libnuma: linked by vLLM's CPU kernels.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/*
# Even in eager mode vLLM compiles a few small functions when they are first called, such as the one that ranks
# logprobs. Without a C++ compiler that ends the engine at the first request for logprobs; run as plain torch, they need
# none.
ENV TORCH_COMPILE_DISABLE=1

FROM ${PYTHON_IMAGE} AS system-gpu
# g++: Triton and torch.compile build their kernels at run time. libnuma: as above.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/*

# hadolint ignore=DL3006
FROM system-${LOCK}
LABEL org.opencontainers.image.title="Judgesmith" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed id, so that a volume filled by one container can be read by all others. The volume is made here with that
# owner: Docker copies it to a new named volume.
RUN groupadd --gid 10001 judgesmith \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin judgesmith \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/judgesmith
COPY --from=builder /opt/judgesmith /opt/judgesmith
# HOME: libraries cache below it, and beside the volume /tmp is the only place that has to be writable.
ENV PATH=/opt/judgesmith/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    VLLM_NO_USAGE_STATS=1 \
    JUDGESMITH_HOST=0.0.0.0 \
    JUDGESMITH_HOME=/var/lib/judgesmith
# `python -m` looks for modules in the working directory first: it must not be one that the process can write to.
WORKDIR /opt/judgesmith
USER 10001:10001
EXPOSE 8080
CMD ["python", "-m", "service"]
