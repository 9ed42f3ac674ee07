# One image for both roles and for the demo site. BASE_IMAGE may be any image whose `python3` is 3.11 or newer, with venv.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
LABEL crawlfleet.stage=build
WORKDIR /src
RUN python3 -m venv /opt/crawlfleet
COPY . .
# `make wheels` fills .wheels on the host; without it everything comes from the package index. Either way the locks say which
# files are taken, by their hashes.
RUN set -e; pip=/opt/crawlfleet/bin/pip; from="--no-index --find-links .wheels"; \
    if ! ls .wheels/crawlfleet-*.whl >/dev/null 2>&1; then \
        from=; python3 -m venv /opt/build; \
        /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements-build.lock; \
        /opt/build/bin/pip wheel --no-build-isolation --no-index --no-deps --wheel-dir .wheels .; \
    fi; \
    $pip install --no-cache-dir $from --require-hashes --requirement requirements.lock; \
    $pip install --no-cache-dir --no-index --no-deps .wheels/crawlfleet-*.whl

FROM ${BASE_IMAGE}
# The coordinator's secret is the one that compose mounts, or one of its own where none is mounted.
RUN useradd --uid 10001 --create-home crawlfleet \
    && install -d -o crawlfleet -g crawlfleet /data /data/crawls /join \
    && install -d -o crawlfleet -g crawlfleet -m 700 /data/identity \
    && ln -s /run/secrets/fleet_secret /data/identity/secret
COPY --from=build /opt/crawlfleet /opt/crawlfleet
COPY config /data/config
ENV PATH=/opt/crawlfleet/bin:$PATH PYTHONUNBUFFERED=1
USER crawlfleet
WORKDIR /data
ENTRYPOINT ["crawlfleet"]
CMD ["--help"]
