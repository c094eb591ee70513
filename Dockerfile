# docker build -t hedgerow . && docker run --rm -p 8080:8080 hedgerow
# docker run --rm -p 8080:8080 -e HEDGEROW_UPSTREAM=https://example.org/api/work hedgerow
#
# Any image with Debian's layout and Python 3.11 to 3.13 will do as BASE, and as BUILD_BASE one with the same Python and a C compiler.
ARG BASE=python:3.13-slim
ARG BUILD_BASE=python:3.13

FROM ${BUILD_BASE} AS build
WORKDIR /source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# Dependencies come first: a change of the source alone does not install them again.
COPY requirements/ requirements/
RUN python3 -m venv /tools \
    && python3 -m venv --without-pip /opt/hedgerow \
    && /tools/bin/pip install --quiet --require-hashes -r requirements/build.txt -r requirements/compile.txt -r requirements/run.txt \
    && /tools/bin/pip --python /opt/hedgerow/bin/python install --quiet --require-hashes -r requirements/run.txt \
    && find /opt/hedgerow -name '*.so' -exec strip --strip-unneeded {} + # 16 MB of symbols in uvloop and httptools
COPY pyproject.toml README.md LICENSE THIRD-PARTY.md ./
COPY src/ src/
COPY deploy/compiled-wheel.sh deploy/
# The hot path is compiled: a quarter to two fifths less CPU for each request (docs/benchmarks.md).
RUN deploy/compiled-wheel.sh /tools/bin/python /wheels \
    && /tools/bin/pip --python /opt/hedgerow/bin/python install --quiet --no-index --no-deps /wheels/*.whl

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hedgerow" \
      org.opencontainers.image.description="A hedging HTTP gateway" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/hedgerow /opt/hedgerow
# Every flag of `hedgerow serve` is such a variable. Inside a container the loopback address is unreachable from outside.
ENV PATH=/opt/hedgerow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HEDGEROW_HOST=0.0.0.0 \
    HEDGEROW_ADMIN_HOST=0.0.0.0
# A number, so that Kubernetes can verify that it is not root's. The image writes nothing, and needs no account.
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Alive, not ready: Swarm replaces a container that is unhealthy, and one that only rejects requests for a while is not.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["hedgerow", "healthcheck", "--live"]
# The kernel drops what PID 1 is sent and does not handle, unless it is blocked: so also a signal while Python starts is
# received. hedgerow unblocks them.
ENTRYPOINT ["env", "--block-signal=TERM,INT,HUP", "hedgerow"]
CMD ["serve"]
