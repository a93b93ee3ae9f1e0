"""Sdk: OpenTelemetry's SDK in a worker, set up by the distro that is installed, as `opentelemetry-instrument` does."""

from __future__ import annotations

import logging
import os
from importlib.metadata import EntryPoint, entry_points

from crossfade.shim.telemetry import OFF, Telemetry, telemetry

log = logging.getLogger("crossfade")


def begin(on: bool) -> Telemetry:
    """What shows this worker's calls. Where nothing has set the SDK up yet, the distro does, by the OTEL_ variables."""
    found = telemetry(on)
    if found is OFF:
        return OFF
    try:
        from opentelemetry import trace

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _set_up()
    except Exception as error:  # a wrong variable, an exporter that is not installed
        log.warning(
            "telemetry is switched on but OpenTelemetry's SDK cannot be set up, so there is none (%s)",
            error,
            extra={"action": "telemetry_missing"},
        )
        return OFF
    return found


def _set_up() -> None:
    """The distro puts its defaults where the OTEL_ variables are silent; the configurator goes by them."""
    distro = _installed("opentelemetry_distro", "OTEL_PYTHON_DISTRO")
    configurator = _installed("opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR")
    if configurator is None:
        raise LookupError("no distro is installed: pip install 'opentelemetry-distro[otlp]'")
    if distro is not None:
        distro.load()().configure()
    configurator.load()().configure()


def _installed(group: str, variable: str) -> EntryPoint | None:
    """The one that the variable names, any if it is silent."""
    name = os.environ.get(variable)
    return next((found for found in entry_points(group=group) if name in (None, found.name)), None)
