"""Settings of the sidecar, from the environment and the command line. What would open it to strangers is refused."""

from __future__ import annotations

import ipaddress
import os
import socket as sockets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from crossfade.core.variables import refuse_unknown
from crossfade.errors import SetupError
from crossfade.sidecar import channel
from crossfade.sidecar.app import MOST_BODY, Limits
from crossfade.sidecar.callers import Callers

LEAST_TOKEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`host` is an address. `socket` is the path of a Unix socket to listen on instead of `host` and `port`.
    `head_seconds` is how long a request's head may take, and how long a connection may be idle."""

    host: str
    port: int
    socket: Path | None
    workers: int
    drain_seconds: int
    head_seconds: int
    callers: Callers
    limits: Limits
    upstream: str | None


def load(
    environ: Mapping[str, str] | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    socket: str | None = None,
    workers: int | None = None,
) -> Settings:
    """The settings; arguments come before the environment. Raises `SetupError`, for a misspelt variable too."""
    env = os.environ if environ is None else environ
    refuse_unknown(name for name in env if name != channel.VARIABLE)
    path = socket or env.get("CROSSFADE_SIDECAR_SOCKET")
    settings = Settings(
        host=host or env.get("CROSSFADE_SIDECAR_HOST") or "127.0.0.1",
        port=_number(env, "CROSSFADE_SIDECAR_PORT", port, 8322, least=0, most=65535),
        socket=Path(path) if path else None,
        workers=_number(env, "CROSSFADE_SIDECAR_WORKERS", workers, 1, least=1, most=256),
        drain_seconds=_number(env, "CROSSFADE_SIDECAR_DRAIN_SECONDS", None, 30, least=1, most=3600),
        head_seconds=_number(env, "CROSSFADE_SIDECAR_HEAD_SECONDS", None, 60, least=1, most=3600),
        callers=Callers(tokens=_tokens(env), keys=_keys(env), pages=not path),
        limits=Limits(
            body=_number(env, "CROSSFADE_SIDECAR_MOST_BODY", None, MOST_BODY, least=1024, most=1024**3),
            body_seconds=_number(env, "CROSSFADE_SIDECAR_BODY_SECONDS", None, 30, least=1, most=3600),
        ),
        upstream=env.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME") or None,
    )
    _refuse_strangers(settings)
    if settings.socket is None:
        settings = replace(settings, host=_address(settings.host))
        _refuse_strangers(settings)  # a name may stand for any address
    _refuse_itself(settings)
    return settings


def _address(host: str) -> str:
    """The address that a name stands for, of the older family where it has both; an address as it is."""
    try:
        found = sockets.getaddrinfo(host, None, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a host"
        raise SetupError(f"cannot listen on {host}: {why}") from None
    found.sort(key=lambda one: one[0] != sockets.AF_INET)
    return str(found[0][4][0])


def _refuse_strangers(settings: Settings) -> None:
    if settings.socket is None and settings.callers.open and not _is_loopback(settings.host):
        raise SetupError(
            f"on {settings.host} anybody who reaches the port could spend this machine's AWS credentials: set "
            "CROSSFADE_SIDECAR_TOKEN (or _TOKEN_FILE), or CROSSFADE_SIDECAR_KEYS_FILE, or listen on 127.0.0.1"
        )


def _refuse_itself(settings: Settings) -> None:
    place = urlsplit(settings.upstream or "")
    if settings.socket is None and place.hostname and _is_loopback(place.hostname) and place.port == settings.port:
        raise SetupError(
            f"AWS_ENDPOINT_URL_BEDROCK_RUNTIME is {settings.upstream}, the sidecar itself: "
            "it is for the services beside it, unset it here"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number(env: Mapping[str, str], name: str, given: int | None, default: int, *, least: int, most: int) -> int:
    text = env.get(name) or default
    try:
        value = int(text) if given is None else given
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise SetupError(f"{name} is {text!r}; it must be a whole number from {least} to {most}")
    return value


def _tokens(env: Mapping[str, str]) -> tuple[str, ...]:
    """From the variable one; from the file one a line, so that one can be replaced while both hold."""
    found = [env["CROSSFADE_SIDECAR_TOKEN"].strip()] if env.get("CROSSFADE_SIDECAR_TOKEN") else []
    found += [line for line in _lines(env, "CROSSFADE_SIDECAR_TOKEN_FILE") if line]
    for token in found:
        if len(token) < LEAST_TOKEN:
            raise SetupError(f"a token of the sidecar has {len(token)} characters; at least {LEAST_TOKEN} are needed")
    return tuple(found)


def _keys(env: Mapping[str, str]) -> dict[str, str]:
    """Access keys and secrets, one pair a line, a blank between them: of the sidecar's own, not of AWS."""
    keys: dict[str, str] = {}
    for number, line in enumerate(_lines(env, "CROSSFADE_SIDECAR_KEYS_FILE"), 1):
        match line.split():
            case []:
                continue
            case [key, secret] if len(secret) >= LEAST_TOKEN:
                keys[key] = secret
            case _:
                raise SetupError(
                    f"CROSSFADE_SIDECAR_KEYS_FILE, line {number}: must be an access key, a blank, and a secret of at "
                    f"least {LEAST_TOKEN} characters"
                )
    return keys


def _lines(env: Mapping[str, str], name: str) -> list[str]:
    path = env.get(name)
    if not path:
        return []
    try:
        lines = [line.strip() for line in Path(path).read_text().splitlines()]
    except OSError as error:
        raise SetupError(f"{name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SetupError(f"{name}: {path} is no text") from None
    if not any(lines):
        raise SetupError(f"{name}: {path} is empty")
    return lines
