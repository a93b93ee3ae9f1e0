"""The pages of past decisions: their arithmetic, and what another plan would have decided."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser


def test_every_decision_of_the_journal_leads_to_its_arithmetic(site: Any, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    page.locator("#journal").get_by_role("link", name=re.compile("Explain decision")).first.click()
    expect(page).to_have_url(re.compile(r"/rollouts/1/decisions/\d+$"))
    expect(page.locator("h1")).to_contain_text("As recorded")
    expect(page.locator("#questions tr.stopped")).to_contain_text("this decided")
    expect(page.locator("section.check")).to_have_count(2)
    expect(page.locator("section.check").first).to_contain_text("Is green worse?")
    expect(page.get_by_role("region", name="Buckets of the gate's evidence").first).to_be_visible()
    context.close()


def test_the_last_look_is_explained_from_the_sentence(site: Any, window: Any) -> None:
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    said = page.locator("#sentence").inner_text().split("\n")[0]
    page.get_by_role("link", name="explain", exact=True).click()
    expect(page.locator("#sentence")).to_have_text(said)


def test_what_if_is_an_address_that_shows_its_result_and_its_problems(site: Any, window: Any) -> None:
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#outcome")).to_contain_text("exactly what the journal has")
    page.get_by_label("Margin of error rate").fill("40")
    page.get_by_label("Margin of accuracy").fill("45")
    page.get_by_label("Steps").fill("10, 60")
    page.get_by_label("Bake time of each step").fill("20s")
    page.get_by_role("button", name="Replay").click()
    expect(page).to_have_url(re.compile("margin-error_rate=40.*bake=20s"))
    expect(page.locator("#outcome")).to_contain_text("It would have been promoted at")
    expect(page.locator("#outcome")).to_contain_text("What green would have answered at 60 % (step 2) is not known")
    expect(page.locator("#would tbody tr").last).to_contain_text("Promote")
    again = window.open(page.url)
    expect(again.locator("#outcome")).to_contain_text("It would have been promoted at")
    page.get_by_label("Steps").fill("60, 10")
    page.get_by_label("Alpha").fill("often")
    page.get_by_label("Bake time of each step").fill("")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#what-steps-wrong")).to_contain_text("weights must rise")
    expect(page.locator("#what-alpha-wrong")).to_contain_text("must be a number")
    expect(page.locator("#outcome")).to_have_count(0)
    page.get_by_label("Bake time of each step").fill("soon")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#what-bake-wrong")).to_contain_text("is not a time")


def test_what_if_of_an_amended_rollout_asks_todays_checks_from_the_start(site: Any, window: Any) -> None:
    site.plane.amend(site.live, {"metric": "error_rate", "margin": 3}, {"metric": "score.accuracy"})
    page = window.open(site.link("viewer"))
    page.goto(f"{site.address}/rollouts/{site.live}/replay")
    expect(page.locator("#outcome")).to_contain_text("exactly what the journal has")
    expect(page.get_by_label("Margin of error rate")).to_have_value("3")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#outcome")).to_contain_text("This plan holds from the start instead")
    page.get_by_role("link", name="Its own plan").click()
    expect(page.locator("#outcome")).to_contain_text("exactly what the journal has")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_are_no_wider_than_the_screen(site: Any, window: Any, width: int) -> None:
    page = window.open(site.link("viewer"))
    page.set_viewport_size({"width": width, "height": 844})
    for path in ("explanation", "replay", ""):
        page.goto(f"{site.address}/rollouts/{site.live}/{path}".rstrip("/"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
