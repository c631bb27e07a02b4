# The pipeline's environment: docker build -t oncopixel .    How to run it: docs/container.md
# Made for the classic builder and for BuildKit: no RUN --mount, no COPY --link, no heredoc.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS dependencies
ARG LOCK=requirements.lock
COPY ${LOCK} /tmp/requirements.lock
# pip works from outside, so that the environment that ships has none. What builds a package that has
# no wheel is locked, too: so it is installed first, and not fetched by pip.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv && \
    awk '/^[^ ]/ {keep = /^(setuptools|wheel)==/} keep' /tmp/requirements.lock >/tmp/builders.lock && \
    for lock in builders requirements; do \
      /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-cache-dir \
        --disable-pip-version-check --no-deps --require-hashes --no-build-isolation \
        -r "/tmp/$lock.lock" || exit 1; \
    done && \
    # Needed to build against TensorFlow or to test the packages, never to run them: nearly 0.5 GB.
    rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include \
      /opt/venv/lib/python3*/site-packages/clang && \
    find /opt/venv -type d -name tests -prune -exec rm -rf {} +

FROM dependencies AS package
COPY pyproject.toml README.md LICENSE /tmp/oncopixel/
COPY src /tmp/oncopixel/src
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-cache-dir \
      --disable-pip-version-check --no-deps --no-build-isolation --no-index \
      --target /opt/oncopixel /tmp/oncopixel

FROM ${BASE}
# The base image's Debian release decides git's version.
# hadolint ignore=DL3008
RUN command -v git || { apt-get update && apt-get install -y --no-install-recommends git && \
    apt-get clean && rm -rf /var/lib/apt/lists/*; }
# The mount belongs to whoever started the container, not to the user inside.
RUN git config --system --add safe.directory '*'
COPY --from=dependencies /opt/venv /opt/venv

# Any uid runs it, listed in /etc/passwd or not: home, name and caches do not depend on one.
# Arithmetic on one thread each, whatever the machine has; the stages add processes of their own.
# A tree mounted on /app goes before the image's copy of the code.
ENV PATH=/opt/venv/bin:/opt/oncopixel/bin:$PATH \
    PYTHONPATH=/app/src:/opt/oncopixel \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp USER=oncopixel XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib \
    DVC_SITE_CACHE_DIR=/tmp/dvc DVC_NO_ANALYTICS=1 GX_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
    TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
    TF_ENABLE_ONEDNN_OPTS=0 TF_CPP_MIN_LOG_LEVEL=2

ARG UID=1000
ARG GID=1000
USER ${UID}:${GID}
WORKDIR /app
CMD ["dvc", "repro"]

COPY --from=package /opt/oncopixel /opt/oncopixel

ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="oncopixel" \
      org.opencontainers.image.description="Cancer biomarkers from gene images: a Keras CNN in a DVC pipeline" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
