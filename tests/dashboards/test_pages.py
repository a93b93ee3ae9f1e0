"""The pages in a browser: read without JavaScript, kept current by it, acted on with a reason."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from plane import model  # type: ignore[import-not-found]
from playwright.sync_api import Browser, expect

from crossfade import __version__
from crossfade.server.usecases.apply import apply_declarations
from crossfade.server.usecases.tokens import revoke_token

pytestmark = pytest.mark.browser
SCHEMES = ("light", "dark")


def test_the_fleet_shows_each_route_with_its_rollout_and_filters_with_counts(site: Any, window: Any) -> None:
    page = window.open(site.link("viewer"))
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    rows = page.locator("#fleet tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Progressing")
    expect(rows.first).to_contain_text("wanted")
    page.get_by_role("link", name=re.compile("At rest 1")).click()
    expect(page).to_have_url(re.compile("show=idle"))
    expect(page.locator("#fleet tbody tr")).to_have_count(1)


def test_a_routes_page_shows_who_answers_its_calls_and_where_they_go_without_a_rollout(site: Any, window: Any) -> None:
    plane = site.plane
    west = {"region": "us-west-2", "model_id": "vendor.old"}
    rules = [{"when": {"tiers": ["free"], "characters_below": 100}, "use": "cheap"}]
    route = {"name": "team/chat", "blue": "old", "fallbacks": ["spare"], "rules": rules, "shares": {"cheap": 20}}
    document = {
        "models": [model("old", targets=[*model("old")["targets"], west])],
        "routes": [route | {"policy": {"outage_tries": 4}}, {"name": "cheap", "blue": "spare"}],
    }
    apply_declarations(site.engine, document, actor="ann", now=plane.now)
    number = plane.one("SELECT id FROM routes WHERE name = 'team/chat'")
    place = {"route": number, "ago": 60}
    ok, busy = {"outcomes": {"ok": 90}, "region": "us-west-2"}, {"outcomes": {"outage": 4, "throttled": 2}, "busy": 6}
    busy["attempts"] = {"outage": 13, "throttled": 30}
    plane.observe(
        plane.row("blue", 90, failovers=7, **place | ok),
        plane.row("blue", 4, **place | {"model": "spare", "region": "us-east-1"}),
        plane.row("blue", 6, **place | {"model": ""} | busy),
        plane.row("blue", 1_000, **place | {"ago": 700}),
    )
    page = window.open(site.link("viewer"))
    page.get_by_role("link", name="team/chat").click()
    expect(page.get_by_role("heading", name="team/chat")).to_be_visible()
    served = page.locator("#served tbody tr")
    expect(served).to_have_text([r"oldus-west-290 (90 %)", "none: busy, or raised–6 (6 %)", "spareus-east-14 (4 %)"])
    outcomes = page.locator("#outcomes")
    for line in (
        "100 calls",
        "ok94 (94 %)",
        "outage4 (4 %)",
        "throttled2 (2 %)",
        "failed over7 (7 %)",
        "busy answers6",
    ):
        expect(outcomes).to_contain_text(line)
    attempts = page.locator("#attempts")
    expect(attempts).to_contain_text("137 attempts")
    expect(attempts.locator("tbody tr")).to_have_text(["ok94 (68.61 %)", "throttled30 (21.9 %)", "outage13 (9.49 %)"])
    told = (
        "6 of 100 calls (6.0 %) in the last ten minutes got the busy answer or an error; of 43 failed attempts 30 ended"
        " as throttled."
    )
    expect(page.locator("#alarm")).to_have_text(told)
    plane.observe(plane.row("blue", 1, **place | {"outcomes": {"unknown": 1}, "attempts": {"unknown": 1}}))
    expect(page.locator("#alarm")).to_contain_text("failed in a way that Crossfade does not know", timeout=10_000)
    expect(page.locator("#models tbody tr")).to_have_count(3)
    expect(page.locator("#models tbody tr").nth(1)).to_contain_text("us-west-2")
    expect(page.locator("#ways")).to_contain_text("rule 1: characters below 100, tier 'free'")
    expect(page.locator("#ways")).to_contain_text("20 % of the rest")
    expect(page.locator("#policy tbody tr")).to_have_count(1)
    expect(page.locator("#policy")).to_contain_text("outage_tries42")
    page.locator("#ways").get_by_role("link", name="cheap").first.click()
    expect(page.locator("#served")).to_contain_text("No call in the last ten minutes")
    expect(page.locator("#policy")).to_contain_text("Every setting is as by default")
    page.goto(f"{site.address}/rollouts/{site.live}")
    page.get_by_role("link", name="route", exact=True).click()
    expect(page.locator("#sentence")).to_contain_text(f"Rollout {site.live}: ")
    plane.observe(plane.row("blue", 55_555, region="eu-west-3", rollout=site.live, step=1))
    expect(page.locator("#served")).to_contain_text("eu-west-355,555", timeout=10_000)  # without a reload
    site.plane.act(site.live, "abort")
    page.reload()
    expect(page.locator("#past")).to_contain_text("Aborted")


def test_the_rollout_page_says_what_is_next_and_on_what_it_rests(site: Any, window: Any) -> None:
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator("#sentence")).to_contain_text(re.compile("Holding at|Advanced from"))
    assert page.locator("#sentence").get_attribute("aria-live") == "polite"
    expect(page.locator(".rail li")).to_have_count(3)
    tiles = page.locator("article.tile")
    expect(tiles).to_have_count(2)
    for tile in tiles.all():
        expect(tile.locator(".badge")).to_contain_text(re.compile("Passed|Not decided yet|No data yet"))
        expect(tile).to_contain_text("Green is")
    for part in ("split", "outcomes", "latency", "cost", "journal"):
        expect(page.locator(f"#{part}")).to_be_visible()
    expect(page.locator("#split")).to_contain_text("As its weight says")
    expect(page.locator("#split")).to_contain_text("calls that follow a key are not tested")
    expect(page.locator("#outcomes")).to_contain_text("model error")
    page.get_by_text("How their attempts ended").click()
    expect(page.locator("#attempts tbody tr")).to_have_count(2)
    expect(page.locator("#attempts tbody tr").nth(1)).to_contain_text("model error")
    expect(page.locator("#latency")).to_contain_text("first token, p99")
    expect(page.locator("#latency tbody tr").first.locator("small")).to_have_count(3)
    expect(page.locator("#latency")).to_contain_text("No check of whole calls: taken as independent.")
    expect(page.locator("#charts[data-drawn]")).to_be_attached()
    expect(page.locator("#charts canvas")).to_have_count(5)
    page.get_by_text("The same as a table").click()
    expect(page.locator("#looks tbody tr").first).to_be_visible()


def test_a_wrong_split_is_shown_where_the_share_is(site: Any, window: Any) -> None:
    place = site.plane.sql("SELECT id AS rollout, step FROM rollouts WHERE id = :id", id=site.live)[0]._asdict()
    site.plane.observe(site.plane.row("green", 2000, **place))
    site.plane.later(60)
    site.plane.tick()
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator("#sentence")).to_contain_text("calls where its weight says")
    expect(page.locator("#split-check")).to_have_text("Not as its weight says")
    expect(page.locator("#split")).to_contain_text("p < 0.0001")
    page.locator("#explain-last").click()
    expect(page.locator("#questions tr.stopped")).to_contain_text("Does a wrong split of the calls ask for a person?")


def test_everything_is_read_without_javascript(site: Any, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.link("operator"))
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    expect(page.locator("#sentence")).to_contain_text(re.compile("Holding at|Advanced from"))
    expect(page.locator("article.tile")).to_have_count(2)
    page.get_by_text("The same as a table").click()
    expect(page.locator("#looks tbody tr").first).to_be_visible()
    page.get_by_role("link", name="Pause", exact=True).click()
    page.get_by_label("Reason").fill("no script here")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#head")).to_contain_text("Paused")
    expect(page.locator("#journal")).to_contain_text("no script here")
    context.close()


def test_acting_asks_for_a_reason_and_the_page_follows_by_itself(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    other = window.open(f"{site.address}/rollouts/{site.live}")
    page.get_by_role("link", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("a breach still rolls it back")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog).to_be_visible()  # the reason is missing
    dialog.get_by_label("Reason").fill("the lunch hour")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("#head")).to_contain_text("Paused")
    expect(page.locator("#journal")).to_contain_text("the lunch hour")
    expect(other.locator("#head")).to_contain_text("Paused", timeout=10_000)
    expect(other.locator("#do-pause")).to_have_attribute("aria-disabled", "true")
    expect(other.locator("#do-pause")).to_have_attribute("title", re.compile("."))


def test_a_page_that_is_out_of_date_is_refused_and_says_what_is_there(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}/act/promote?version=1")
    site.plane.act(site.live, "pause", reason="first")
    page.get_by_label("Reason").fill("too late")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("heading", name="It is different by now")).to_be_visible()
    expect(page.locator("main")).to_contain_text("paused")
    page.get_by_role("link", name="See what is there now").click()
    expect(page.locator("#head")).to_contain_text("Paused")


def test_checks_are_amended_where_acts_are_and_say_since_when(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    page.get_by_role("link", name="Amend checks").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Margin of error rate").fill("3")
    dialog.get_by_label("Metric").fill("refusal")
    dialog.get_by_label("Margin, points", exact=True).fill("none")
    dialog.get_by_label("Reason").fill("a tighter look")
    dialog.get_by_role("button", name="Amend").click()
    expect(page.locator("#new-margin-wrong")).to_contain_text("must be a number")
    expect(page.get_by_label("Margin of error rate")).to_have_value("3")
    page.get_by_label("Margin, points", exact=True).fill("1")
    page.get_by_role("button", name="Amend").click()
    said = "error rate starts anew with a margin of 3 points instead of 2 points"
    expect(page.locator(".banner.good")).to_contain_text(said)
    expect(page.locator("#journal tr").nth(1)).to_contain_text(said)
    expect(page.locator("#journal tr").nth(1)).to_contain_text("a tighter look")
    site.plane.now = datetime.now(UTC) + timedelta(seconds=10)
    site.plane.tick()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator(".tile").nth(0)).to_contain_text(re.compile(r"Since \d\d:\d\d UTC"))
    expect(page.locator(".tile").nth(1)).not_to_contain_text("Since")


@pytest.mark.parametrize("version", ["1234567890", "1" * 30, "three"])
@pytest.mark.parametrize("form", ["amend", "act/pause"])
def test_a_version_that_was_never_there_is_refused_and_not_left_out(
    site: Any, window: Any, form: str, version: str
) -> None:
    page = window.open(site.link("operator"))
    before = site.plane.one("SELECT version FROM rollouts WHERE id = :id", id=site.live)
    page.goto(f"{site.address}/rollouts/{site.live}/{form}")
    expect(page.locator("footer")).to_contain_text(f"Crossfade {__version__}")
    page.evaluate("text => { document.querySelector('input[name=version]').value = text }", version)
    if form == "amend":
        page.get_by_label("Margin of error rate").fill("3")
    page.get_by_label("Reason").fill("from a page of another time")
    page.get_by_role("button", name="Amend" if form == "amend" else "Pause").click()
    said = f"you saw version {version}" if version == "1234567890" else "version: "
    expect(page.locator("main")).to_contain_text(said)
    assert site.plane.one("SELECT version FROM rollouts WHERE id = :id", id=site.live) == before


def test_amended_checks_say_that_they_await_their_first_look(site: Any, window: Any) -> None:
    site.plane.amend(site.live, {"metric": "error_rate", "margin": 3}, {"metric": "refusal", "margin": 1})
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator(".tile")).to_have_count(2)
    for tile in page.locator(".tile").all():
        expect(tile).to_contain_text("The checks were amended, and this one awaits its first look")
        expect(tile).to_contain_text("No data yet")


def test_a_pending_rollout_shows_its_checks_and_no_evidence_that_is_old(site: Any, window: Any) -> None:
    pending = site.plane.register(route="other", start=False).id
    site.plane.sql("UPDATE batches SET received_at = received_at - interval '1 hour'")
    site.plane.sql("INSERT INTO heartbeats (name, at) VALUES ('one', now())")
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator("#stale")).to_contain_text("the evidence below is that old")
    page.goto(f"{site.address}/rollouts/{pending}")
    expect(page.locator("article.tile")).to_have_count(2)
    expect(page.locator("article.tile").first).to_contain_text("Not started yet")
    expect(page.locator("article.tile").first).to_contain_text("Margin 2 points; a breach rolls back.")
    expect(page.locator("#stale")).not_to_contain_text("evidence")


def test_a_rollout_that_was_aborted_shows_where_it_ended(site: Any, window: Any) -> None:
    site.plane.act(site.live, "abort")
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator(".rail .stopped")).to_have_count(1)
    expect(page.locator(".rail .stopped")).to_contain_text("ended here")
    expect(page.locator(".rail .stopped .note")).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    expect(page.locator(".rail .current")).to_have_count(0)


_PRINTED = """
window.printed = [];
let rim = "";
let lines = 0;
const [outline, line] = [CanvasRenderingContext2D.prototype.strokeText, CanvasRenderingContext2D.prototype.lineTo];
CanvasRenderingContext2D.prototype.strokeText = function (...rest) { rim = rest[0]; outline.apply(this, rest); };
CanvasRenderingContext2D.prototype.lineTo = function (...rest) { lines++; line.apply(this, rest); };
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
  const wide = this.measureText(text).width;
  const from = x - { left: 0, right: 1 }[this.textAlign] * wide;
  if (this.textBaseline === "top" && this.font.startsWith("11px"))
    printed.push({ canvas: this.canvas, text, from, to: from + wide, y, rimmed: rim === text, lines });
  return fill.call(this, text, x, y, ...rest);
};
"""
_OVER = """
printed.flatMap((a, i) => printed.slice(i + 1)
  .filter((b) => a.canvas === b.canvas && a.text !== b.text && a.y === b.y && a.from < b.to && b.from < a.to)
  .map((b) => `${a.text} over ${b.text}`))
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_words_in_a_chart_are_printed_over_others(site: Any, browser: Browser, width: int) -> None:
    """A step, and the promotion twenty seconds after it: on a narrow screen there is no room for both on one line."""
    latest = "(SELECT min(at) + interval '20 s' FROM evaluations WHERE step = 1)"
    site.plane.sql(f"DELETE FROM evaluations WHERE at > {latest}")
    site.plane.sql(f"UPDATE evaluations SET act = 'promote' WHERE at = {latest}")
    context = browser.new_context(viewport={"width": width, "height": 844})
    context.add_init_script(_PRINTED)
    page = context.new_page()
    page.goto(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator("#charts")).to_have_attribute("data-drawn", re.compile(r"\d+"))
    page.wait_for_function("printed.filter((one) => one.text === 'Promote').length >= 5")
    assert "50 %" in page.evaluate("printed.map((one) => one.text)")
    assert page.evaluate(_OVER) == []
    assert page.evaluate("printed.every((one) => one.rimmed)"), "a line runs through words"
    crossed = "printed.filter((one, i) => one.text === 'Promote' && printed[i - 1].lines !== one.lines)"
    assert page.evaluate(f"{crossed}.length") == 0, "a line is drawn after the words beside it"
    context.close()


def test_amending_without_javascript_and_from_an_old_page(site: Any, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}/amend?version=1")
    page.get_by_label("remove accuracy").check()
    page.get_by_label("Reason").fill("too late")
    page.get_by_role("button", name="Amend").click()
    expect(page.locator("main")).to_contain_text("Nothing was amended: rollout 1 is at version")
    page.goto(f"{site.address}/rollouts/{site.live}/amend")
    page.get_by_label("remove accuracy").check()
    page.get_by_label("remove error rate").check()
    page.get_by_label("Reason").fill("all of them")
    page.get_by_role("button", name="Amend").click()
    expect(page.locator("p.wrong")).to_contain_text("checks: has 0 entries")
    page.get_by_label("remove error rate").uncheck()
    page.get_by_role("button", name="Amend").click()
    expect(page.locator("#journal")).to_contain_text("accuracy is removed, its 50 % of alpha with it")
    context.close()


def test_abort_ends_the_rollout_and_it_stays_to_be_read(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    page.get_by_role("link", name="Abort", exact=True).click()
    page.get_by_role("dialog").get_by_label("Reason").fill("enough seen")
    page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    expect(page.locator("#head")).to_contain_text("Aborted")
    page.goto(f"{site.address}/")
    expect(page.locator("#past")).to_contain_text("enough seen")


def test_a_viewer_reads_and_may_not_act(site: Any, window: Any) -> None:
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator("#actions a[href]")).to_have_count(0)
    expect(page.locator("#actions")).to_contain_text("needs an operator")
    expect(page.get_by_role("link", name="Register")).to_have_count(0)
    answer = page.goto(f"{site.address}/rollouts/{site.live}/act/abort")
    assert answer is not None
    assert answer.status == 403


def test_registering_shows_every_problem_beside_its_field_and_then_the_rollout(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/register?route=other")
    page.locator("#step-1-weight").fill("0.5")
    page.locator("#step-2-bake").fill("soon")
    page.locator("#step-3-weight").fill("120")
    page.locator("#check-0-margin").fill("0")
    page.locator("main").get_by_role("button", name="Register", exact=True).last.click()
    for field in ("green", "step-1-weight", "step-2-bake", "step-3-weight", "check-0-margin"):
        expect(page.locator(f"#{field}-wrong")).to_be_visible()
        assert page.locator(f"#{field}").get_attribute("aria-invalid") == "true"
    expect(page.locator("#step-3-weight")).to_have_value("120")
    page.locator("#green").select_option("new")
    for field, value in (
        ("step-1-weight", "5"),
        ("step-2-bake", "2m"),
        ("step-3-weight", "50"),
        ("check-0-margin", "2"),
    ):
        page.locator(f"#{field}").fill(value)
    expect(page.locator("#expect")).to_contain_text("25 % opens within: error rate 8 points")
    page.get_by_role("button", name="Add a check").click()
    page.locator("#check-1-metric").fill("score.accuracy")
    page.locator("#check-1-margin").fill("1")
    page.get_by_role("button", name="Add a check").click()
    page.locator("#check-2-metric").fill("latency")
    page.locator("#check-2-margin").fill("1")
    page.locator("main").get_by_role("button", name="Register", exact=True).last.click()
    expect(page.locator("#check-2-limit-wrong")).to_contain_text("blue has no recorded timed calls")
    page.locator("#check-2-limit").fill("1.8 s")
    expect(page.locator("#expect")).to_contain_text("calls slower than 1.8 s 4 points")
    page.locator("#reason").fill("cheaper")
    page.locator("main").get_by_role("button", name="Register", exact=True).last.click()
    expect(page.locator("#head")).to_contain_text("other")
    expect(page.locator("#head")).to_contain_text("Progressing")
    expect(page.locator("#steps")).to_contain_text("2 min")
    expect(page.locator("#journal")).to_contain_text("Counted: calls slower than 1.8 s.")


def test_the_form_says_what_to_expect_and_the_chances_once_asked(site: Any, window: Any) -> None:
    for ago in range(600, 0, -10):
        site.plane.observe(site.plane.row(calls=200, errors=2, ago=ago, route=2))
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/register?route=other")
    expected = page.locator("#expect")
    expect(expected).to_contain_text("At 20 calls a second, the 4 steps take about")
    page.locator("#check-0-margin").fill("0.005")
    expect(expected).to_contain_text("That is too long")
    page.locator("#check-0-margin").fill("2")
    expect(expected).not_to_contain_text("That is too long")
    page.get_by_role("button", name="Check without registering").click()
    chances = page.locator("#chances li")
    expect(chances).to_have_count(3)
    expect(chances.first).to_contain_text("error rate by 1 point")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_form_has_a_shadow_step_and_says_what_is_foreseen_of_it(site: Any, window: Any) -> None:
    for ago in range(600, 0, -10):
        site.plane.observe(site.plane.row(calls=200, errors=2, ago=ago, route=2))
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/register?route=other")
    page.locator("#green").select_option("new")
    page.locator("#check-0-margin").fill("2")
    page.get_by_label("Copies first, %").fill("200")
    page.locator("main").get_by_role("button", name="Register", exact=True).last.click()
    expect(page.locator("#shadow-shadow-wrong")).to_contain_text("at most 100")
    expect(page.get_by_role("alert").first).to_contain_text("1 thing is wrong")
    expect(page.get_by_label("Copies first, %")).to_have_value("200")
    page.get_by_label("Copies first, %").fill("10")
    page.locator("#shadow-bake").fill("1h")
    page.locator("[name=shadow-approve]").check()
    first = page.locator("#expect ol li").first
    expect(first).to_contain_text("a shadow of 10 %")
    expect(first).to_contain_text("at least 60 min")
    expect(first).to_contain_text("up to 7,200 copies an hour")
    expect(first).to_contain_text("1 % opens within: error rate 50 points")
    expect(page.locator("#expect")).to_contain_text("How long the shadow step takes is not foreseen")
    page.locator("main").get_by_role("button", name="Register", exact=True).last.click()
    expect(page.locator("#head")).to_contain_text("Progressing")
    expect(page.locator(".rail li")).to_have_count(6)
    expect(page.locator(".rail li").first).to_contain_text("green gets copies of 10 % of the calls")
    expect(page.locator(".rail li").first).to_contain_text("a person")
    steps = site.plane.one("SELECT plan -> 'steps' FROM rollouts ORDER BY id DESC LIMIT 1")
    assert steps[0] == {"weight": 0, "bake": 3600, "approve": True, "shadow": 10}
    assert [step["weight"] for step in steps[1:]] == [1, 5, 25, 50]


def test_the_form_says_before_registering_that_a_price_is_missing(site: Any, window: Any) -> None:
    apply_declarations(site.engine, {"models": [model("new", price=None)]}, actor="test", now=site.plane.now)
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/register?route=other")
    page.locator("#green").select_option("new")
    page.locator("#check-0-metric").fill("cost")
    page.locator("#check-0-limit").fill("0.1")
    page.get_by_role("button", name="Check without registering").click()
    expect(page.locator("#check-0-metric-wrong")).to_contain_text("no price is declared for 'new'")


def test_an_alarm_of_unknown_failures_is_on_the_fleet_and_the_rollouts_page(site: Any, window: Any) -> None:
    place = site.plane.sql("SELECT id AS rollout, step FROM rollouts WHERE id = :id", id=site.live)[0]._asdict()
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    expect(page.locator("#alarm")).to_be_hidden()
    site.plane.now = datetime.now(UTC)
    site.plane.observe(site.plane.row("blue", 1000, attempts={"ok": 1000, "unknown": 400}, **place))
    expect(page.locator("#alarm")).to_contain_text("failed in a way that Crossfade does not know", timeout=15_000)
    page.goto(f"{site.address}/")
    expect(page.locator("#fleet tbody tr").first).to_contain_text("failed in a way that Crossfade does not know")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_second_live_rollout_is_refused_in_the_form(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/register?route=anthropic.claude-3-haiku-20240307-v1:0")
    expect(page.locator("#expect")).to_contain_text("has a live rollout")
    page.locator("#green").select_option("new")
    page.locator("main").get_by_role("button", name="Register", exact=True).last.click()
    expect(page.get_by_role("alert").first).to_contain_text(f"rollout {site.live}")


def test_signing_in_by_token_leads_to_the_page_asked_for_and_out_again(site: Any, window: Any) -> None:
    page = window.open(f"{site.address}/rollouts/{site.live}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill("cft_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.get_by_label("Token").fill(site.tokens["shim"][1])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("shim token")
    page.get_by_label("Token").fill(site.tokens["viewer"][1])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.address}/rollouts/{site.live}")
    cookie = next(c for c in window.context.cookies() if c["name"].startswith("crossfade_"))
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{site.address}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_revoking_a_token_ends_its_sessions(site: Any, window: Any) -> None:
    page = window.open(site.link("viewer"))
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    revoke_token(site.engine, site.tokens["viewer"][0].id, actor="test", now=site.plane.now)
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


_BEYOND = """
[...document.querySelectorAll(".card")].flatMap((card) => [...card.querySelectorAll("th, td, p, dd, .weight, .note")]
  .filter((one) => !one.closest(".scroll, .unseen, thead") && one.getClientRects().length)
  .filter((one) => one.getBoundingClientRect().right > card.getBoundingClientRect().right + 0.5)
  .map((one) => one.textContent.trim()))
"""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1280, 820, 390])
def test_no_page_scrolls_sideways(site: Any, browser: Browser, scheme: Any, width: int) -> None:
    busy = {"ok": 94_321, "throttled": 23_456, "model_error": 12_345, "incompatible": 1_234}
    site.plane.observe(
        *(site.plane.row(v, 131_356, 12_345, rollout=site.live, outcomes=busy, busy=45_678) for v in ("blue", "green"))
    )
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(site.link("operator"))
    for path in (
        "/",
        f"/rollouts/{site.live}",
        f"/rollouts/{site.live}/act/abort",
        f"/rollouts/{site.live}/amend",
        "/register",
        "/routes/other",
        "/nothing",
        "/login",
    ):
        page.goto(site.address + path)
        page.wait_for_load_state("networkidle")
        for folded in page.get_by_text("How their attempts ended").all():
            folded.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(_BEYOND) == [], path
        assert page.locator(".top").bounding_box()["height"] < 70, "the head takes one row"
    context.close()


def test_light_and_dark_follow_the_system_and_then_the_person(site: Any, browser: Browser) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(site.link("viewer"))

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = ground()
    page.get_by_role("button", name="Light or dark").click()
    light = ground()
    assert light != dark
    page.reload()
    assert ground() == light
    context.close()


def test_the_keyboard_reaches_the_actions_and_shows_where_it_is(site: Any, window: Any) -> None:
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "do-abort":
            break
    assert page.evaluate("document.activeElement.id") == "do-abort"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_page_says_that_it_is_not_kept_up_any_more(site: Any, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    page.route("**/live*", lambda route: route.abort())
    expect(page.locator("#away")).to_contain_text("cannot be reached", timeout=10_000)
    page.unroute("**/live*")
    expect(page.locator("#away")).to_be_hidden(timeout=10_000)
    context.close()


def test_a_shadow_step_shows_its_copies_their_cost_and_their_pairs(site: Any, window: Any) -> None:
    plan = {
        "steps": [{"shadow": 10, "bake": 3600}, {"weight": 50, "bake": 60}],
        "checks": [{"metric": "error_rate", "margin": 2, "maturity": 20}],
    }
    plane = site.plane
    plane.now = datetime.now(UTC) - timedelta(seconds=120)
    rollout = plane.register(route="other", plan=plan).id
    place = {"route": 2, "rollout": rollout}
    for _ in range(12):
        pairs = {"0,300,,,end_turn|0,310,,,end_turn": 16, "0,300,,,end_turn|1,,,,": 2, "1,,,,|0,310,,,end_turn": 2}
        copies = {"copies": 20, "pairs": pairs, "model": "new", "cost_n": 18, "cost_sum": 0.5, "cost_sq": 0.02}
        plane.observe(plane.row("blue", 200, 1, **place), plane.row("green", 20, 2, **place, **copies))
        plane.later(10)
        plane.tick()
    page = window.open(site.link("operator"))
    page.goto(f"{site.address}/rollouts/{rollout}")
    expect(page.locator(".rail li").first).to_contain_text("shadow")
    expect(page.locator(".rail li").first).to_contain_text("green gets copies of 10 % of the calls")
    expect(page.locator("#split")).to_contain_text("Blue serves every call of this step")
    expect(page.locator("#split")).to_contain_text("240 copies of its 2,400 calls went to green")
    expect(page.locator("#split")).to_contain_text("cost: $6.00 (known of 216).")
    expect(page.locator("#cost")).to_contain_text("copies of calls, beside blue")
    expect(page.locator("#sentence")).to_contain_text("shadow of 10 %")
    expect(page.locator("#outcomes .strip .named")).to_have_text(["blue: Blue2,400 calls", "green: Green240 copies"])
    page.locator("#explain-last").click()
    expect(page.locator("main")).to_contain_text("in pairs: 2 worse on green, 2 on blue")
    page.goto(f"{site.address}/rollouts/{rollout}/act/advance")
    expect(page.locator("main")).to_contain_text("Green goes from shadow of 10 % to 50 % now")
    page.goto(f"{site.address}/")
    expect(page.locator("#fleet")).to_contain_text("copies of 10 %")
    expect(page.locator("#fleet")).not_to_contain_text("none seen yet")
    green = page.locator("#fleet tr", has_text="other").locator("[data-name='Green calls']")
    expect(green).to_have_text("240 copies")
    plane.act(rollout, "advance")
    plane.observe(plane.row("green", 31, **place, step=1))
    expect(green).to_have_text("31240 copies", timeout=10_000)
    page.goto(f"{site.address}/rollouts/{rollout}")
    expect(page.locator("#outcomes .strip .named").last).to_have_text("green: Green31 calls and 240 copies")
