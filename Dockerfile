# One image for migrate, controller, scheduler, sidecar and demo; docker-compose.yml says which command runs where.
FROM python:3.12-slim

WORKDIR /opt/crossfade
COPY requirements.lock .
# The very versions the tests ran with, checked by hash; what only a developer needs goes again in the same layer.
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
    && pip uninstall --yes httpx hypothesis import-linter grimp mypy playwright pytest pytest-timeout ruff

COPY pyproject.toml README.md LICENSE ./
COPY controller controller
COPY migrations migrations
COPY dashboards dashboards
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home --uid 10001 crossfade

USER crossfade
WORKDIR /home/crossfade
ENV PYTHONUNBUFFERED=1
EXPOSE 8321 8322
CMD ["crossfade", "--help"]
