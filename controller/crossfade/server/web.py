"""Web: the Flask app of API and pages."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf import CSRFProtect
from sqlalchemy import Engine
from werkzeug.exceptions import NotFound as NoSuchPage
from werkzeug.routing import IntegerConverter

from crossfade import __version__
from crossfade.server import api, faults, keys, pages
from crossfade.server.database import connect
from crossfade.server.lookup import BedrockLookup, TargetLookup
from crossfade.server.resources import dashboards_dir
from crossfade.server.settings import Settings, secret_of
from crossfade.server.state import State
from crossfade.server.usecases.snapshot import current_version
from crossfade.server.watcher import Watcher

MOST_BODY = 1024 * 1024
SESSION = timedelta(hours=12)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def create_app(
    settings: Settings,
    engine: Engine | None = None,
    *,
    lookup: TargetLookup | None = None,
    waiters: int = 16,
) -> Flask:
    """The app. `waiters` bounds how many snapshot requests may wait at a time; keep it below the threads.

    Nothing is asked of Postgres before the first request. Raises `SetupError` for a missing or short secret.
    """
    secret = secret_of(settings)
    engine = connect(settings.database_url.get_secret_value()) if engine is None else engine
    folder = dashboards_dir()
    app = Flask(
        "crossfade",
        root_path=str(folder),
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    key = keys.session_key(secret)
    app.config.update(
        SECRET_KEY=key,
        MAX_CONTENT_LENGTH=MOST_BODY,
        PERMANENT_SESSION_LIFETIME=SESSION,
        # Browsers tell cookies apart by host, not by port: two controllers on one host must not share a name.
        SESSION_COOKIE_NAME=f"crossfade_{hashlib.sha256(key).hexdigest()[:8]}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = _Sessions()
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["id"] = _Id
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["crossfade"] = State(
        engine=engine,
        secret=secret,
        watcher=Watcher(lambda: current_version(engine), waiters),
        lookup=BedrockLookup() if lookup is None else lookup,
        retention=settings.retention,
    )
    interface = api.blueprint()
    CSRFProtect(app).exempt(interface)
    app.register_blueprint(interface)
    app.register_blueprint(pages.blueprint())
    limiter = Limiter(get_remote_address, app=app, storage_uri="memory://")
    for name in ("pages.login", "pages.login_link"):
        # Only failures count: a person may sign in as often as they like, nobody may guess.
        limit = limiter.limit("10 per minute", deduct_when=lambda answer: answer.status_code >= 400)
        app.view_functions[name] = limit(app.view_functions[name])  # type: ignore[assignment]
    faults.handle(app)
    app.jinja_env.globals["version"] = __version__
    app.jinja_env.globals["asset"] = _assets(app)
    app.before_request(_refuse_nul)
    app.after_request(_finish)
    return app


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        return request.is_secure


class _Id(IntegerConverter):
    """A number Postgres can hold; anything larger names nothing."""

    def __init__(self, map: object) -> None:  # noqa: A002
        super().__init__(map, min=1, max=2**31 - 1)  # type: ignore[arg-type]


def _refuse_nul() -> None:
    """A NUL is legal in an address and impossible in Postgres."""
    if "\0" in request.path or any("\0" in value for values in request.args.listvalues() for value in values):
        raise NoSuchPage


def _finish(answer: Response) -> Response:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    if request.endpoint == "static" and answer.status_code in (200, 206, 304):
        answer.cache_control.public = True
        answer.cache_control.max_age = 31_536_000 if "v" in request.args else 3600
        answer.cache_control.no_cache = None
    else:
        answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def _assets(app: Flask) -> object:
    """A function from a static file's name to its address, which changes when its content does."""
    known: dict[str, str] = {}

    def asset(name: str) -> str:
        if name not in known:
            path = f"{app.static_folder}/{name}"
            with open(path, "rb") as file:
                known[name] = f"/static/{name}?v={hashlib.sha256(file.read()).hexdigest()[:12]}"
        return known[name]

    return asset
