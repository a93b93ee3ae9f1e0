"""What the policy says besides its table (test_policy_table): skips, waits, budgets, quarantine, refreshed credentials,
second opinions; over sockets, what the sandbox was asked against what was recorded."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError

import crossfade

EAST, WEST = "us-east-1", "us-west-2"


class Recorded:
    """The sums of everything recorded, after a flush."""

    def __init__(self, controller: Any) -> None:
        assert crossfade.flush()
        self.outcomes = controller.total("outcomes")
        self.attempts = controller.total("attempts")
        for name in ("calls", "judged", "errors", "busy", "raised", "retries", "failovers"):
            setattr(self, name, controller.total(name))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def test_throttled_is_tried_once_while_adaptive_skip_is_on(routed, snapshot, model, ask, sandbox, calls) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("throttle", region=EAST)
    for _ in range(20):
        assert ask(client)["ResponseMetadata"]["Crossfade"]["region"] == WEST
    asked = [region for region, _, _ in calls()]
    assert asked.count(WEST) == 20
    assert asked.count(EAST) < 12, "a throttled target is mostly skipped while another is there"


@pytest.mark.parametrize("params", [{"retry_after": 0.3}, {"retry_after_ms": 300}], ids=lambda p: next(iter(p)))
def test_throttled_waits_as_long_as_it_is_told(routed, snapshot, model, ask, sandbox, params) -> None:
    client = routed(snapshot(model("blue", EAST)))
    sandbox.fault("throttle", count=1, **params)
    began = time.monotonic()
    ask(client)
    assert time.monotonic() - began >= 0.3


def test_after_the_regions_of_the_assigned_model_come_the_fallbacks(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), fallbacks=(model("small", EAST),)))
    sandbox.fault("quota", region=EAST, count=1)
    sandbox.fault("quota", region=WEST, count=1)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "small"
    assert calls() == [
        (EAST, "blue", "ServiceQuotaExceededException"),
        (WEST, "blue", "ServiceQuotaExceededException"),
        (EAST, "small", "answered"),
    ]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.errors, seen.failovers) == ({"quota": 1}, 0, 0, 2)


def test_model_error_that_goes_away_is_charged_all_the_same(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("model_error", count=1)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "green"
    seen = Recorded(controller)
    assert (seen.outcomes, seen.errors) == ({"model_error": 1}, 1)


def test_truncated_in_one_region_is_not_charged_to_the_arm(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("missing_members", region=EAST)
    ask(client)
    assert calls() == [(EAST, "green", "missing_members")] * 2 + [(WEST, "green", "answered")]
    seen = Recorded(controller)
    assert (seen.attempts, seen.outcomes, seen.errors) == ({"truncated": 2, "ok": 1}, {"ok": 1}, 0)


@pytest.mark.parametrize("reason", ["max_tokens", "content_filtered", "guardrail_intervened"])
def test_other_stop_reasons_are_answers(routed, snapshot, model, ask, sandbox, calls, controller, reason) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("stop_reason", stop_reason=reason)
    assert ask(client)["stopReason"] == reason
    assert len(calls()) == 1
    assert Recorded(controller).outcomes == {"ok": 1}


def test_a_misconfigured_target_is_quarantined(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("not_found", region=EAST)
    ask(client)
    ask(client)
    assert [region for region, _, _ in calls()] == [EAST, WEST, WEST], "the second call leaves the target alone"
    assert Recorded(controller).attempts == {"misconfigured": 1, "ok": 2}
    assert "quarantined" in crossfade.health()["breakers"].values()


def test_misconfigured_everywhere_raises_the_error_itself_and_charges_nobody(
    routed, snapshot, model, ask, sandbox, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("not_found")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        ask(client)
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.raised) == ({"misconfigured": 1}, 0, 1)


def test_denied_goes_to_blue_in_the_same_region_only(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    client = routed(snapshot(model("blue", WEST, EAST), model("green", EAST, WEST)))
    sandbox.fault("access_denied", model=client_model(client, "green"))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert calls() == [(EAST, "green", "AccessDeniedException"), (EAST, "blue", "answered")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.errors) == ({"denied": 1}, 0, 0)


def test_denied_to_blue_is_raised(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("access_denied", region=EAST)
    with pytest.raises(client.exceptions.AccessDeniedException):
        ask(client)
    assert calls() == [(EAST, "blue", "AccessDeniedException")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.raised) == ({"denied": 1}, 0, 1)


def test_credentials_are_refreshed_once_and_tried_again(
    routed, snapshot, model, ask, sandbox, calls, controller, session
) -> None:
    fetched = []

    def fetch() -> dict[str, str]:
        fetched.append(1)
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=5)
        return {"access_key": "a", "secret_key": "b", "token": "c", "expiry_time": later.isoformat()}

    session._session._credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
    client = routed(snapshot(model("blue")))
    sandbox.fault("expired_token", count=1)
    ask(client)
    assert len(fetched) == 2
    assert calls() == [(EAST, "blue", "ExpiredTokenException"), (EAST, "blue", "answered")]
    assert Recorded(controller).outcomes == {"ok": 1}


@pytest.mark.parametrize("face", ["shim"], indirect=True)  # beside the service: tests/sidecar/test_identity.py
def test_credentials_that_cannot_be_fetched_are_no_word_of_bedrocks(
    routed, snapshot, model, ask, calls, controller, session
) -> None:
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": "not this role"}}, "AssumeRole")

    def fetch() -> dict[str, str]:
        raise refused

    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    session._session._credentials = RefreshableCredentials("AKID", "s", "t", soon, fetch, "test")
    client = routed(snapshot(model("blue"), model("green")))
    with pytest.raises(ClientError) as raised:
        ask(client)
    assert raised.value is refused
    assert calls() == []
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.raised) == ({"credentials": 1}, 0, 1)


def test_rejected_by_both_is_the_callers_fault_and_blues_error_is_raised(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("validation", model=client_model(client, "green"), message="green says no")
    sandbox.fault("validation", model=client_model(client, "blue"), message="blue says no")
    with pytest.raises(client.exceptions.ValidationException, match="blue says no"):
        ask(client)
    assert [name for _, name, _ in calls()] == ["green", "blue"]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.raised) == ({"rejected": 1}, 0, 1)


def test_rejected_by_blue_is_raised_at_once(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    client = routed(snapshot(model("blue"), fallbacks=(model("small"),)))
    sandbox.fault("validation", model=client_model(client, "blue"))
    with pytest.raises(client.exceptions.ValidationException):
        ask(client)
    assert len(calls()) == 1
    assert Recorded(controller).outcomes == {"rejected": 1}


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("throttled_tries", "throttle"),
        ("throttled_tries_last", "throttle"),
        ("unavailable_tries", "unavailable"),
        ("unavailable_tries_last", "unavailable"),
        ("outage_tries", "internal"),
        ("connect_tries", "refuse"),
        ("timed_out_tries", "model_timeout"),
        ("not_ready_tries", "not_ready"),
        ("not_ready_tries_last", "not_ready"),
        ("model_error_tries", "model_error"),
        ("truncated_tries", "missing_members"),
        ("unknown_tries", "html_502"),
    ],
)
def test_every_number_of_tries_is_the_routes_own(routed, snapshot, model, ask, sandbox, calls, fast, setting, kind):
    own = replace(fast, skip_slack=10, unavailable_base=0.01, **{setting: 5})
    regions = [EAST] if setting.endswith("_last") else [EAST, WEST]
    client = routed(snapshot(model("blue", *regions), fallbacks=(model("small", WEST),), policy=own))
    ask(client)  # so that the first throttled answer does not switch adaptive skip on
    sandbox.clear_log()
    sandbox.fault(kind, region=EAST, **({"status": 599} if kind == "html_502" else {}))
    told = ask(client)["ResponseMetadata"]["Crossfade"]
    assert (told["attempts"], told["region"]) == (6, WEST)
    assert [region for region, *_ in calls()] == [EAST] * (0 if kind == "refuse" else 5) + [WEST]


def test_a_region_that_speaks_no_tls_is_an_outage(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    blue = model("blue")
    east = replace(blue.targets[0], endpoint_url=sandbox.endpoint(EAST).replace("http:", "https:"))
    client = routed(snapshot(replace(blue, targets=(east, blue.targets[1]))))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["region"] == WEST
    assert [outcome for *_, outcome in calls()][-1] == "answered"
    seen = Recorded(controller).attempts
    assert (seen.pop("ok"), set(seen)) == (1, {"outage"})


def test_at_most_four_targets_are_tried(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    regions = (EAST, WEST, "eu-west-1")
    client = routed(snapshot(model("blue", *regions), model("green", *regions)))
    sandbox.fault("unavailable")
    assert ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
    targets = dict.fromkeys((region, name) for region, name, _ in calls())
    assert list(targets) == [*((region, "green") for region in regions), (EAST, "blue")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.errors, seen.busy, seen.raised) == ({"unavailable": 1}, 1, 1, 0)


def test_retries_stop_when_the_budget_is_spent(routed, snapshot, model, ask, sandbox, controller, fast) -> None:
    tight = replace(fast, retry_per_second=0.2, retry_share=0.1)
    client = routed(snapshot(model("blue", EAST), policy=tight))
    sandbox.fault("internal")
    for _ in range(20):
        ask(client)
    # 0.2/s over 10 s, and a tenth of 20 calls: 2 + 2.
    assert Recorded(controller).retries == 4


def client_model(client: Any, name: str) -> str:
    """The model id that stands behind a Model in the snapshot in force."""
    from crossfade.shim import runtime

    return str(runtime.current().feed.snapshot.models[name].targets[0].model_id)
