"""One test for each row of the policy table, over sockets: what the sandbox was asked against what was recorded."""

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


def warm_up(client: Any, ask: Any, sandbox: Any, controller: Any) -> None:
    """Enough good calls that one throttled answer does not switch adaptive skip on; then forgotten."""
    for _ in range(10):
        ask(client)
    crossfade.flush()
    controller.batches.clear()
    sandbox.clear_log()


def test_throttled_is_tried_twice_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    warm_up(client, ask, sandbox, controller)
    sandbox.fault("throttle", region=EAST)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["region"] == WEST
    assert calls() == [(EAST, "green", "ThrottlingException")] * 2 + [(WEST, "green", "answered")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.attempts) == ({"ok": 1}, {"throttled": 2, "ok": 1})
    assert (seen.judged, seen.errors, seen.retries, seen.failovers) == (1, 0, 1, 1)


def test_throttled_everywhere_is_tried_three_times_at_the_last_and_never_charged(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green", EAST)))
    sandbox.fault("bare_429", model=client_model(client, "green"))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert calls() == [(EAST, "green", "429")] * 3 + [(EAST, "blue", "answered")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.errors) == ({"throttled": 1}, 0, 0)


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


def test_quota_is_tried_once_then_next_region_then_next_model(
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


def test_unavailable_is_tried_once_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("unavailable", region=EAST)
    ask(client)
    assert calls() == [(EAST, "blue", "ServiceUnavailableException"), (WEST, "blue", "answered")]
    assert Recorded(controller).attempts == {"unavailable": 1, "ok": 1}


def test_unavailable_is_tried_twice_where_no_other_region_is(routed, snapshot, model, ask, sandbox, calls) -> None:
    client = routed(snapshot(model("blue", EAST)))
    sandbox.fault("unavailable", count=1)
    ask(client)
    assert calls() == [(EAST, "blue", "ServiceUnavailableException"), (EAST, "blue", "answered")]


@pytest.mark.parametrize(
    ("kind", "params", "seen"),
    [
        ("internal", {}, "InternalServerException"),
        ("html_502", {}, "502"),
        ("html_502", {"status": 504}, "504"),
        ("reset", {}, "reset"),
    ],
    ids=["500", "502", "504", "reset"],
)
def test_outage_is_tried_twice_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller, kind, params, seen
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault(kind, region=EAST, **params)
    ask(client)
    assert calls() == [(EAST, "blue", seen)] * 2 + [(WEST, "blue", "answered")]
    assert Recorded(controller).attempts == {"outage": 2, "ok": 1}


def test_outage_by_a_failed_connect_is_tried_once(routed, snapshot, model, ask, sandbox, calls, controller) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("refuse", region=EAST)
    ask(client)
    assert calls() == [(WEST, "blue", "answered")]
    seen = Recorded(controller)
    assert (seen.attempts, seen.retries, seen.failovers) == ({"outage": 1, "ok": 1}, 0, 1)


def test_timed_out_by_408_is_tried_once_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("model_timeout", region=EAST)
    ask(client)
    assert calls() == [(EAST, "blue", "ModelTimeoutException"), (WEST, "blue", "answered")]
    assert Recorded(controller).attempts == {"timed_out": 1, "ok": 1}


@pytest.mark.parametrize(("kind", "params"), [("hang", {}), ("drip", {"seconds": 0.2, "parts": 40})])
def test_timed_out_by_the_deadline_leaves_time_for_the_next_region(
    routed, snapshot, model, ask, sandbox, controller, kind, params
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault(kind, region=EAST, **params)
    began = time.monotonic()
    with crossfade.context(deadline=1.0):
        assert ask(client)["ResponseMetadata"]["Crossfade"]["region"] == WEST
    assert 0.7 < time.monotonic() - began < 5
    assert Recorded(controller).attempts == {"timed_out": 1, "ok": 1}


def test_not_ready_is_tried_once_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("not_ready", region=EAST)
    ask(client)
    assert calls() == [(EAST, "blue", "ModelNotReadyException"), (WEST, "blue", "answered")]
    assert Recorded(controller).attempts == {"not_ready": 1, "ok": 1}


def test_not_ready_is_tried_three_times_at_the_last_region(routed, snapshot, model, ask, sandbox, calls) -> None:
    client = routed(snapshot(model("blue", EAST)))
    sandbox.fault("not_ready", count=2)
    ask(client)
    assert [outcome for _, _, outcome in calls()] == ["ModelNotReadyException"] * 2 + ["answered"]


def test_model_error_is_tried_twice_skips_other_regions_and_is_charged_to_the_arm(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("model_error", model=client_model(client, "green"))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["variant"] == "green"
    assert calls() == [(EAST, "green", "ModelErrorException")] * 2 + [(EAST, "blue", "answered")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.errors) == ({"model_error": 1}, 1, 1)
    [row] = controller.rows()
    assert (row["variant"], row["model"]) == ("green", "blue")


def test_model_error_that_goes_away_is_charged_all_the_same(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("model_error", count=1)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "green"
    seen = Recorded(controller)
    assert (seen.outcomes, seen.errors) == ({"model_error": 1}, 1)


@pytest.mark.parametrize("kind", ["missing_members", "malformed_body", "truncated_body"])
def test_truncated_is_tried_twice_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller, kind
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault(kind, region=EAST)
    ask(client)
    assert calls() == [(EAST, "green", kind)] * 2 + [(WEST, "green", "answered")]
    seen = Recorded(controller)
    assert (seen.attempts, seen.outcomes, seen.errors) == ({"truncated": 2, "ok": 1}, {"ok": 1}, 0)


@pytest.mark.parametrize("kind", ["missing_members", "malformed_body", "truncated_body"])
def test_truncated_in_two_regions_is_charged_to_the_arm(
    routed, snapshot, model, ask, sandbox, calls, controller, kind
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault(kind, model=client_model(client, "green"))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    seen = Recorded(controller)
    assert (seen.attempts, seen.outcomes, seen.errors) == ({"truncated": 4, "ok": 1}, {"truncated": 1}, 1)


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_is_handed_on_never_retried_and_charged_to_the_arm(
    routed, snapshot, model, ask, sandbox, calls, controller, reason
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("malformed_output", stop_reason=reason)
    assert ask(client)["stopReason"] == reason
    assert len(calls()) == 1
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.errors) == ({"malformed": 1}, 1, 1)


@pytest.mark.parametrize("reason", ["max_tokens", "content_filtered", "guardrail_intervened"])
def test_other_stop_reasons_are_answers(routed, snapshot, model, ask, sandbox, calls, controller, reason) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("stop_reason", stop_reason=reason)
    assert ask(client)["stopReason"] == reason
    assert len(calls()) == 1
    assert Recorded(controller).outcomes == {"ok": 1}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("not_found", {}),
        ("validation", {"message": "The provided model identifier is invalid."}),
        ("validation", {"message": "Invocation of model ID x with on-demand throughput isn't supported."}),
    ],
    ids=["404", "identifier", "on-demand"],
)
def test_misconfigured_is_tried_once_then_quarantined(
    routed, snapshot, model, ask, sandbox, calls, controller, kind, params
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault(kind, region=EAST, **params)
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


@pytest.mark.parametrize("kind", ["expired_token", "bad_signature"])
def test_credentials_that_cannot_be_refreshed_are_raised_at_once(
    routed, snapshot, model, ask, sandbox, calls, controller, kind
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault(kind, region=EAST)
    with pytest.raises(ClientError):
        ask(client)
    assert len(calls()) == 1
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.raised) == ({"credentials": 1}, 0, 1)


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


def test_rejected_by_green_and_accepted_by_blue_counts_incompatible_against_green(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("validation", model=client_model(client, "green"))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert calls() == [(EAST, "green", "ValidationException"), (EAST, "blue", "answered")]
    seen = Recorded(controller)
    assert (seen.outcomes, seen.judged, seen.errors) == ({"incompatible": 1}, 1, 1)


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


def test_unknown_is_tried_once_then_in_the_next_region(
    routed, snapshot, model, ask, sandbox, calls, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("html_502", region=EAST, status=599)
    ask(client)
    assert [region for region, _, _ in calls()] == [EAST, WEST]
    assert Recorded(controller).attempts == {"unknown": 1, "ok": 1}


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
