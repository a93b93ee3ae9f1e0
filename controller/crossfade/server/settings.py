"""Settings: of the server's processes, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from crossfade.core.variables import refuse_unknown
from crossfade.errors import SetupError

LEAST_SECRET = 32


class Settings(BaseSettings):
    """What the controller and the scheduler need. Made by `load`; secrets do not show when it is printed."""

    model_config = SettingsConfigDict(env_prefix="CROSSFADE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_URL")
    secret: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(default=8321, ge=0, le=65535)
    data: Path | None = None
    """Folder of the embedded Postgres."""
    bucket_seconds: int = Field(default=10, ge=1, le=3600)
    retention_days: int = Field(default=30, ge=1, le=3650)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)


def load(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """The settings of this process; `given` wins over the environment. Raises `SetupError` in one line.

    `CROSSFADE_SECRET_FILE` names a file that holds the secret. An unknown CROSSFADE_* variable is refused: a
    misspelt one would be silently without effect.
    """
    environ = os.environ if environ is None else environ
    refuse_unknown(environ)
    values: dict[str, Any] = {
        name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable, "") != ""
    }
    if "secret" not in values and (path := environ.get("CROSSFADE_SECRET_FILE")):
        values["secret"] = _read_secret(Path(path))
    values |= given
    if "database_url" in values:
        values["DATABASE_URL"] = values.pop("database_url")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        raise SetupError(f"{VARIABLES.get(name, name)}: {problem['msg'].lower()}") from None
    return settings


def secret_of(settings: Settings) -> str:
    """The server's secret; raises `SetupError` if there is none or it is short."""
    secret = settings.secret.get_secret_value()
    if len(secret) < LEAST_SECRET:
        what = f"has {len(secret)} characters, at least {LEAST_SECRET} are needed" if secret else "is not set"
        raise SetupError(
            f"CROSSFADE_SECRET {what}: make one with"
            " `python3 -c 'import secrets; print(secrets.token_hex(32))'` and keep it,"
            " or name a file that holds it in CROSSFADE_SECRET_FILE"
        )
    return secret


def _variable(name: str) -> str:
    return "DATABASE_URL" if name == "database_url" else f"CROSSFADE_{name.upper()}"


VARIABLES = {name: _variable(name) for name in Settings.model_fields}
"""Each setting's environment variable."""


def _read_secret(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SetupError(f"CROSSFADE_SECRET_FILE: cannot read {path}: {error.strerror}") from None
