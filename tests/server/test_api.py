"""The API answers in JSON, and refuses in problem+json: all problems at once, never HTML, never a traceback."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from plane import DECLARED, PLAN, ROUTE, SECRET, KnowsAll  # type: ignore[import-not-found]
from werkzeug.test import TestResponse

from crossfade.core.snapshot import is_signed, read_snapshot
from crossfade.server import database
from crossfade.server.settings import load
from crossfade.server.usecases.tokens import create_token
from crossfade.server.web import create_app

ROLES = ("viewer", "operator", "admin", "shim")
DOCS = Path(__file__).parents[2] / "docs" / "api.md"


class Api:
    """The app over its test client, with a token of each role."""

    def __init__(self, app: Flask, tokens: dict[str, str]) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()
        self.tokens = tokens

    def ask(self, method: str, path: str, body: Any = None, *, role: str | None = "operator", **more: Any) -> Any:
        headers = dict(more.pop("headers", {}))
        if role:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        if body is not None:
            more["json"] = body
        return self.client.open(path, method=method, headers=headers, **more)

    def declare(self) -> None:
        answer = self.ask("POST", "/v1/apply", DECLARED)
        assert answer.status_code == 200, answer.text

    def register(self, **more: Any) -> TestResponse:
        body = {"green": "new", "plan": PLAN, "reason": "cheaper", **more}
        answer: TestResponse = self.ask("POST", f"/v1/routes/{ROUTE}/rollouts", body)
        return answer


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    engine = database.connect(database_url)
    now = datetime.now(UTC)
    tokens = {
        role: create_token(engine, {"name": role, "role": role}, actor="test", now=now, secret=SECRET)[1]
        for role in ROLES
    }
    app = create_app(load({}, secret=SECRET), engine, lookup=KnowsAll(), waiters=1)
    yield Api(app, tokens)
    engine.dispose()


def refused(answer: TestResponse, status: int) -> dict[str, Any]:
    """The problem of a refusal, checked to be one."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    document: dict[str, Any] = answer.get_json(force=True)
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert "<" not in document["title"]
    return document


def paths(document: dict[str, Any]) -> list[str]:
    return [problem["path"] for problem in document["problems"]]


def test_health_needs_no_token(api: Api) -> None:
    answer = api.ask("GET", "/v1/health", role=None)
    assert answer.status_code == 200
    assert answer.json["database"] == "ok"


def test_every_endpoint_but_health_needs_a_token(api: Api) -> None:
    for rule in api.app.url_map.iter_rules():
        if not rule.rule.startswith("/v1/") or rule.rule == "/v1/health":
            continue
        path = re.sub(r"<[^>]*:?(rollout_id|token_id|decision)>", "1", rule.rule)
        path = re.sub(r"<[^>]*>", "x", path)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            problem = refused(api.ask(method, path, role=None), 401)
            assert "Bearer" in problem["detail"]


def test_an_unknown_or_revoked_token_is_refused(api: Api) -> None:
    answer = api.client.get("/v1/routes", headers={"Authorization": "Bearer cft_nobody"})
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    refused(answer, 401)
    made = api.ask("POST", "/v1/tokens", {"name": "ann", "role": "viewer"}, role="admin")
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json['token']}"}
    assert api.client.get("/v1/models", headers=headers).status_code == 200
    assert api.ask("DELETE", f"/v1/tokens/{made.json['id']}", role="admin").status_code == 200
    refused(api.client.get("/v1/models", headers=headers), 401)


@pytest.mark.parametrize(
    ("role", "method", "path"),
    [
        ("viewer", "POST", "/v1/apply"),
        ("viewer", "POST", "/v1/rollouts/1/abort"),
        ("viewer", "POST", "/v1/rollouts/1/checks"),
        ("operator", "GET", "/v1/tokens"),
        ("operator", "POST", "/v1/observations"),
        ("operator", "GET", "/v1/snapshot"),
        ("shim", "GET", "/v1/routes"),
        ("shim", "POST", "/v1/apply"),
    ],
)
def test_a_role_may_not_do_what_is_above_it(api: Api, role: str, method: str, path: str) -> None:
    problem = refused(api.ask(method, path, {} if method == "POST" else None, role=role), 403)
    assert role in problem["detail"]


def test_applying_says_what_changes_and_a_dry_run_changes_nothing(api: Api) -> None:
    dry = api.ask("POST", "/v1/apply?dry_run=1", DECLARED).json
    assert dry["applied"] is False
    assert {change["change"] for change in dry["changes"]} == {"create"}
    assert api.ask("GET", "/v1/routes").json["routes"] == []
    api.declare()
    again = api.ask("POST", "/v1/apply", DECLARED).json
    assert {change["change"] for change in again["changes"]} == {"unchanged"}


def test_models_and_routes_are_saved_read_and_deleted_by_name(api: Api) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.vendor.model-v1:0"
    api.declare()
    assert api.ask("PUT", f"/v1/routes/{arn}", {"blue": "old"}).status_code == 201
    assert api.ask("PUT", f"/v1/routes/{arn}", {"blue": "old"}).status_code == 200
    assert api.ask("GET", f"/v1/routes/{arn}", role="viewer").json["blue"] == "old"
    assert api.ask("DELETE", f"/v1/routes/{arn}").status_code == 204
    refused(api.ask("GET", f"/v1/routes/{arn}"), 404)
    refused(api.ask("DELETE", "/v1/models/old"), 409)


def test_all_problems_of_a_plan_are_listed_with_their_paths(api: Api) -> None:
    api.declare()
    plan = {
        "steps": [{"weight": 50}, {"weight": 10}, {"weight": 120}],
        "checks": [{"metric": "speed", "margin": 0}, {"metric": "error_rate", "margin": -1, "colour": "red"}],
    }
    problem = refused(api.register(plan=plan, green="nobody"), 422)
    assert {
        "green",
        "plan.steps[1].weight",
        "plan.steps[2].weight",
        "plan.checks[0].metric",
        "plan.checks[0].margin",
        "plan.checks[1].margin",
        "plan.checks[1].colour",
    } <= set(paths(problem))
    assert api.ask("GET", "/v1/rollouts").json["rollouts"] == []


def test_a_plan_is_forecast_for_whoever_may_look(api: Api) -> None:
    api.declare()
    base = {"error_rate": 0.01, "score.accuracy": 0.9}
    body = {"route": ROUTE, "plan": PLAN, "traffic": 50, "base": base}
    answer = api.ask("POST", "/v1/plan", body, role="viewer")
    assert answer.status_code == 200, answer.text
    forecast = answer.json["forecast"]
    assert forecast["seconds"]["median"] <= forecast["seconds"]["p90"]
    assert len(forecast["steps"]) == 2
    assert forecast["sentences"]
    assert "traffic" in paths(refused(api.ask("POST", "/v1/plan", body | {"traffic": "much"}, role="viewer"), 422))
    refused(api.ask("POST", "/v1/plan", body | {"route": "nowhere"}, role="viewer"), 404)
    refused(api.ask("POST", "/v1/plan", body, role="shim"), 403)


def test_a_plan_is_calibrated_for_whoever_may_register(api: Api) -> None:
    api.declare()
    answer = api.ask("POST", "/v1/calibrate", {"route": ROUTE, "plan": PLAN})
    assert answer.status_code == 200, answer.text
    assert answer.json["calibration"]["finding"] == "too_little_history"
    assert set(answer.json["overdispersion"]) == {check["metric"] for check in PLAN["checks"]}
    assert "seed" in paths(refused(api.ask("POST", "/v1/calibrate", {"route": ROUTE, "plan": PLAN, "seed": -1}), 422))
    for role in ("viewer", "shim"):
        refused(api.ask("POST", "/v1/calibrate", {"route": ROUTE, "plan": PLAN}, role=role), 403)
    assert api.register().json["calibration"]["finding"] == "too_little_history"


def test_a_rollout_is_registered_acted_on_and_refused_when_out_of_date(api: Api) -> None:
    api.declare()
    made = api.register()
    assert made.status_code == 201, made.text
    rollout = made.json
    assert rollout["phase"] == "progressing"
    assert rollout["expect"]["text"]
    assert {lookup["found"] for lookup in rollout["lookups"]} == {"yes"}
    here = made.headers["Location"]
    assert str(rollout["id"]) in refused(api.register(), 409)["detail"]
    assert paths(refused(api.ask("POST", f"{here}/pause", {}), 422)) == ["reason"]
    paused = api.ask("POST", f"{here}/pause", {"reason": "lunch", "version": rollout["version"]})
    assert paused.status_code == 200, paused.text
    assert paused.json["phase"] == "paused"
    old = refused(api.ask("POST", f"{here}/resume", {"reason": "back", "version": rollout["version"]}), 409)
    assert f"version {paused.json['version']}" in old["detail"]
    assert "paused" in refused(api.ask("POST", f"{here}/pause", {"reason": "again"}), 409)["detail"]
    assert api.ask("POST", f"{here}/abort", {"reason": "enough"}).json["phase"] == "aborted"
    listed = api.ask("GET", f"/v1/rollouts?route={ROUTE}&phase=aborted", role="viewer").json["rollouts"]
    assert [one["id"] for one in listed] == [rollout["id"]]


def test_the_journal_is_json_and_csv(api: Api) -> None:
    api.declare()
    here = api.register(reason="=1+1").headers["Location"]
    entries = api.ask("GET", f"{here}/journal", role="viewer").json["journal"]
    assert "start" in {entry["act"] for entry in entries}
    answer = api.ask("GET", f"{here}/journal?format=csv", role="viewer")
    assert answer.mimetype == "text/csv"
    lines = answer.text.splitlines()
    assert lines[0].startswith("id,at,rollout")
    assert len(lines) == len(entries) + 1
    assert not re.search(r",=", answer.text), "a spreadsheet would run it"
    assert paths(refused(api.ask("GET", f"{here}/journal?format=xml"), 422)) == ["format"]


def test_evaluations_totals_status_and_the_whole_journal_are_answered(api: Api) -> None:
    api.declare()
    here = api.register().headers["Location"]
    assert api.ask("GET", f"{here}/evaluations?since=2026-01-01T00:00:00Z").json == {"evaluations": []}
    assert paths(refused(api.ask("GET", f"{here}/evaluations?since=now"), 422)) == ["since"]
    assert api.ask("GET", f"{here}/totals").json == {"totals": []}
    assert api.ask("GET", "/v1/status").json["database"] == "ok"
    assert api.ask("GET", "/v1/journal").json["journal"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", 400, "not JSON"),
        (b'{"shim": "\\u0000"}', 422, "wrong"),
        (b'{"shim": "\\ud800"}', 422, "wrong"),
        (b"[]", 422, "wrong"),
        (b"{}", 422, "wrong"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_reason(api: Api, body: bytes, status: int, word: str) -> None:
    answer = api.ask("POST", "/v1/observations", role="shim", data=body, content_type="application/json")
    assert word in refused(answer, status)["detail"]


def test_a_form_is_no_json(api: Api) -> None:
    refused(api.ask("POST", "/v1/observations", role="shim", data={"a": "b"}), 415)


def test_a_body_over_1_mb_is_refused(api: Api) -> None:
    body = b'{"rows": "' + b"x" * 1_100_000 + b'"}'
    answer = api.ask("POST", "/v1/observations", role="shim", data=body, content_type="application/json")
    assert "1 MB" in refused(answer, 413)["detail"]


def test_a_score_that_is_not_a_number_is_named(api: Api) -> None:
    body = b'{"scores": [{"call_id": "cf1.x", "metric": "accuracy", "value": NaN}]}'
    answer = api.ask("POST", "/v1/scores", role="shim", data=body, content_type="application/json")
    assert set(paths(refused(answer, 422))) == {"scores[0].call_id", "scores[0].value"}


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/rollouts/99999999999", "/v1/rollouts/0"])
def test_an_unknown_address_is_a_problem_too(api: Api, path: str) -> None:
    refused(api.ask("GET", path), 404)


def test_a_wrong_method_says_what_is_possible(api: Api) -> None:
    answer = api.ask("PATCH", "/v1/models")
    assert "GET" in refused(answer, 405)["detail"]
    assert "GET" in answer.headers["Allow"]


def test_a_nul_in_an_address_names_nothing(api: Api) -> None:
    refused(api.ask("GET", "/v1/models/a%00b"), 404)
    refused(api.ask("GET", "/v1/rollouts?route=a%00b"), 404)


def test_a_fault_of_ours_is_a_problem_with_an_incident_and_no_traceback(api: Api) -> None:
    @api.app.get("/v1/broken")
    def broken() -> str:
        raise RuntimeError("the secret inside")

    answer = api.ask("GET", "/v1/broken")
    assert refused(answer, 500)["incident"]
    assert "secret inside" not in answer.text


def test_a_snapshot_is_signed_for_its_bearer_and_not_sent_twice(api: Api) -> None:
    api.declare()
    answer = api.ask("GET", "/v1/snapshot", role="shim")
    snapshot = read_snapshot(answer.data)
    assert answer.headers["ETag"] == f'"{snapshot.version}"'
    assert is_signed(api.tokens["shim"], answer.data, answer.headers["X-Crossfade-Signature"])
    assert not is_signed(api.tokens["admin"], answer.data, answer.headers["X-Crossfade-Signature"])
    again = api.ask("GET", "/v1/snapshot", role="shim", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert not again.data
    assert paths(refused(api.ask("GET", "/v1/snapshot?wait=inf", role="shim"), 422)) == ["wait"]


def test_a_waiting_shim_hears_of_a_change_at_once_and_others_are_not_kept(api: Api) -> None:
    api.declare()
    tag = {"If-None-Match": api.ask("GET", "/v1/snapshot", role="shim").headers["ETag"]}
    heard: list[tuple[int, float]] = []

    def wait() -> None:
        answer = api.app.test_client().get(
            "/v1/snapshot?wait=20", headers=tag | {"Authorization": f"Bearer {api.tokens['shim']}"}
        )
        heard.append((answer.status_code, time.monotonic()))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    assert not heard
    began = time.monotonic()
    # The one place to wait is taken: the next one is answered at once.
    assert api.ask("GET", "/v1/snapshot?wait=20", role="shim", headers=tag).status_code == 304
    assert time.monotonic() - began < 10
    assert api.register().status_code == 201
    changed = time.monotonic()
    waiting.join(10)
    assert heard[0][0] == 200
    assert heard[0][1] - changed < 10


def test_without_postgres_everything_is_503_and_says_when_to_ask_again(api: Api) -> None:
    engine = database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    app = create_app(load({}, secret=SECRET), engine, lookup=KnowsAll())
    away = Api(app, api.tokens)
    for method, path, role in (
        ("GET", "/v1/rollouts", "viewer"),
        ("GET", "/v1/snapshot", "shim"),
        ("POST", "/v1/observations", "shim"),
    ):
        answer = away.ask(method, path, role=role)
        assert "database" in refused(answer, 503)["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    health = away.ask("GET", "/v1/health", role=None)
    assert health.status_code == 503
    assert health.json["database"] == "away"
    engine.dispose()


def test_every_answer_carries_the_security_headers(api: Api) -> None:
    for path in ("/v1/health", "/v1/nothing", "/login", "/static/app.css"):
        with api.client.get(path) as answer:
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_checks_are_amended_as_a_whole_list_and_the_same_again_changes_nothing(api: Api) -> None:
    api.declare()
    made = api.register().json
    address = f"/v1/rollouts/{made['id']}/checks"
    body = {
        "checks": [{"metric": "error_rate", "margin": 3}, {"metric": "refusal", "margin": 1}],
        "reason": "no scores come",
        "version": made["version"],
    }
    answer = api.ask("POST", address, body)
    assert answer.status_code == 200, answer.text
    done = answer.json["amendment"]
    assert done["amended"]
    assert [(each["metric"], each["fate"]) for each in done["checks"]] == [
        ("error_rate", "restarted"),
        ("score.accuracy", "removed"),
        ("refusal", "added"),
    ]
    assert answer.json["version"] == made["version"] + 1
    checks = answer.json["plan"]["checks"]
    assert [(check["metric"], check["margin"], check["share"]) for check in checks] == [
        ("error_rate", 3, 0.25),
        ("refusal", 1, 0.25),
    ]
    again = api.ask("POST", address, {"checks": checks, "reason": "once more"}).json
    assert (again["amendment"]["amended"], again["version"]) == (False, answer.json["version"])
    assert "Nothing was amended" in again["amendment"]["sentence"]
    assert "you saw version" in refused(api.ask("POST", address, body), 409)["detail"]
    wrong = {"checks": [{"metric": "error_rate", "margin": -1, "loud": True}], "reason": ""}
    assert paths(refused(api.ask("POST", address, wrong), 422)) == ["reason", "checks[0].margin", "checks[0].loud"]


def test_every_endpoint_is_in_the_documentation(api: Api) -> None:
    documented = set(re.findall(r"\| `([A-Z]+) (/v1/[^`]*)` \|", DOCS.read_text()))
    there = set()
    for rule in api.app.url_map.iter_rules():
        if rule.rule.startswith("/v1/"):
            path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule).replace("rollout_id", "id")
            path = path.replace("token_id", "id")
            there |= {(method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert there == documented
