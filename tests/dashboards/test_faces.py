"""What the pages answer to those who do not click: strangers, forgers, and a database that is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from plane import SECRET, KnowsAll, Plane  # type: ignore[import-not-found]

from crossfade.server import auth, database
from crossfade.server.settings import load
from crossfade.server.usecases.apply import put_route
from crossfade.server.usecases.tokens import Role, create_token
from crossfade.server.web import create_app


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    engine = database.connect(database_url)
    app = create_app(load({}, secret=SECRET), engine, lookup=KnowsAll())
    yield app.test_client()
    engine.dispose()


def signed_in(client: FlaskClient, role: str = "operator") -> Plane:
    engine = client.application.extensions["crossfade"].engine
    body = {"name": role, "role": role}
    token, _ = create_token(engine, body, actor="test", now=datetime.now(UTC), secret=SECRET)
    assert client.get(auth.login_link(SECRET, token.id, role)).status_code == 302
    return Plane(engine)


@pytest.mark.parametrize(
    "path", ["/", "/rollouts/1", "/rollouts/1/live", "/rollouts/1/chart", "/routes/other", "/register"]
)
def test_a_stranger_is_sent_to_sign_in(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/login")


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil"])
def test_a_login_never_forwards_to_another_site(client: FlaskClient, wanted: str) -> None:
    engine = client.application.extensions["crossfade"].engine
    token, _ = create_token(engine, {"name": "v", "role": "viewer"}, actor="test", now=datetime.now(UTC), secret=SECRET)
    link = auth.login_link(SECRET, token.id, "viewer")
    assert client.get(link, query_string=None).status_code == 302
    assert client.get(f"{link}&next={wanted}").headers["Location"] == "/"


def test_a_login_link_gives_no_more_than_its_tokens_role_and_none_when_altered(client: FlaskClient) -> None:
    engine = client.application.extensions["crossfade"].engine
    token, _ = create_token(engine, {"name": "v", "role": "viewer"}, actor="test", now=datetime.now(UTC), secret=SECRET)
    assert client.get(auth.login_link(SECRET, token.id, Role.ADMIN)).status_code == 302
    assert client.get("/register").status_code == 403
    answer = client.get(auth.login_link("x" * 40, token.id, Role.ADMIN))
    assert answer.status_code == 401
    assert "not whole" in answer.text


def test_an_act_without_the_forms_token_is_refused(client: FlaskClient) -> None:
    plane = signed_in(client)
    rollout = plane.register().id
    answer = client.post(f"/rollouts/{rollout}/act/abort", data={"reason": "forged"})
    assert answer.status_code == 400
    assert plane.one("SELECT phase FROM rollouts WHERE id = :id", id=rollout) == "progressing"


@pytest.mark.parametrize(("role", "registers"), [("viewer", False), ("operator", True)])
def test_a_routes_page_offers_what_a_person_may_do_and_says_names_as_text(
    client: FlaskClient, role: str, registers: bool
) -> None:
    plane = signed_in(client, role)
    name, free = "<b>bold</b>", {"tiers": ["<i>free</i>"]}
    body = {"blue": "old", "rules": [{"when": free, "use": "other"}], "policy": {"unknown_share": 0}}
    put_route(plane.engine, name, body, actor="ann", now=plane.now)
    number = plane.one("SELECT id FROM routes WHERE name = :name", name=name)
    plane.now = datetime.now(UTC)
    plane.observe(plane.row(calls=1, route=number, attempts={"unknown": 1}, model="<u>old</u>"))
    for path in ("/routes/%3Cb%3Ebold%3C/b%3E", "/live/routes/%3Cb%3Ebold%3C/b%3E"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert ("/register?route=" in answer.text) is registers
        for text in (
            "&lt;b&gt;bold",
            "&lt;i&gt;free",
            "&lt;u&gt;old",
            "in a way that Crossfade does not know",
            ">1 call<",
        ):
            assert text in answer.text
        assert not re.search("<b>|<i>|<u>", answer.text)
    assert "/routes/%3Cb%3Ebold%3C/b%3E" in client.get("/").text


def test_guessing_tokens_is_slowed_down(client: FlaskClient) -> None:
    client.application.config["WTF_CSRF_ENABLED"] = False
    statuses = [client.post("/login", data={"token": f"cft_{guess}"}).status_code for guess in range(12)]
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429


def test_what_is_not_there_is_a_page_not_werkzeugs(client: FlaskClient) -> None:
    signed_in(client)
    for path in ("/nothing", "/rollouts/77", "/rollouts/99999999999"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "Nothing is here" in answer.text


def test_polling_costs_nothing_while_nothing_changes(client: FlaskClient) -> None:
    plane = signed_in(client)
    rollout = plane.register().id
    for path in ("/live", f"/rollouts/{rollout}/chart"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (first.status_code, again.status_code) == (200, 304)


@pytest.mark.parametrize(("unlike", "shown"), [(False, "<details"), (True, "small soft")])
def test_a_rollouts_page_says_how_equal_models_did_on_its_traffic(
    client: FlaskClient, unlike: bool, shown: str
) -> None:
    """Of users who fail alike, and of users of whom four fail at three calls of five and the others never."""
    plane = signed_in(client)
    plane.later(1000)
    for ago in range(1000, 0, -10):
        even = {user: (5, int((ago // 10 + user) % 4 == 0)) for user in range(40)}
        groups = {user: (5, 3 * (user < 4)) for user in range(40)} if unlike else even
        errors = sum(bad for _, bad in groups.values())
        plane.observe(plane.row(calls=200, errors=errors, ago=ago, keyed=200, groups=groups))
    checks = [{"metric": "error_rate", "margin": 5, "maturity": 20}]
    rollout = plane.register(plan={"steps": [{"weight": 50, "bake": 0}], "checks": checks}).id
    page = client.get(f"/rollouts/{rollout}").text
    assert shown in page.partition('id="calibration"')[0][-60:]
    assert ("of too few users, who differ from one another" in page) is unlike
    assert ("Holds on this traffic" in page) is not unlike


def test_pages_say_that_the_scheduler_does_not_run(client: FlaskClient) -> None:
    plane = signed_in(client)
    plane.register()
    assert "scheduler has not run yet" in client.get("/").text


def test_pages_say_that_the_database_is_away_instead_of_a_traceback(client: FlaskClient) -> None:
    signed_in(client)
    cookie = client.get_cookie(client.application.config["SESSION_COOKIE_NAME"])
    assert cookie is not None
    engine = database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    away = create_app(load({}, secret=SECRET), engine, lookup=KnowsAll()).test_client()
    away.set_cookie(cookie.key, cookie.value)
    answer = away.get("/")
    assert answer.status_code == 503
    assert "The database is away" in answer.text
    assert "Services go on" in answer.text
    assert "Traceback" not in answer.text
    engine.dispose()
