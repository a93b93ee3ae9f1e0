"""Models and routes as declared: idempotent, refused whole, and never against what a rollout decided."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import Any

import pytest
from plane import DECLARED, ROUTE, SECRET, Plane, model

from crossfade.core.snapshot import read_snapshot, snapshot_to_bytes
from crossfade.errors import Conflict, Invalid, NotFound
from crossfade.server.usecases import apply, delete
from crossfade.server.usecases.snapshot import configure, current_snapshot, current_version
from crossfade.server.views import declared as views


def declare(plane: Plane, document: dict[str, Any], *, dry_run: bool = False) -> dict[str, apply.Change]:
    changes = apply.apply_declarations(plane.engine, document, actor="ann", now=plane.now, dry_run=dry_run)
    return {change.name: change for change in changes}


def with_blue(blue: str) -> dict[str, Any]:
    document = copy.deepcopy(DECLARED)
    document["routes"][0]["blue"] = blue
    return document


def test_applying_the_same_again_changes_nothing_not_even_the_version(plane: Plane) -> None:
    before = current_version(plane.engine)
    assert {change.change for change in declare(plane, DECLARED).values()} == {"unchanged"}
    assert current_version(plane.engine) == before


def test_a_dry_run_says_the_difference_and_saves_nothing(plane: Plane) -> None:
    before = current_version(plane.engine)
    change = declare(plane, with_blue("spare"), dry_run=True)[ROUTE]
    assert (change.change, change.fields) == ("update", {"blue": ("old", "spare")})
    assert current_version(plane.engine) == before
    assert declare(plane, with_blue("spare"))[ROUTE].change == "update"
    assert current_version(plane.engine) == before + 1


def test_a_price_that_nobody_wrote_is_not_in_the_difference(plane: Plane) -> None:
    document = {"models": [model("bare", price=None)]}
    [change] = apply.apply_declarations(plane.engine, document, actor="ann", now=plane.now)
    assert set(change.fields) == {"targets"}


def test_every_problem_is_named_and_nothing_is_saved(plane: Plane) -> None:
    document = {
        "models": [model("fine"), model("bad", targets=[]), model("fine")],
        "routes": [
            {"name": "a", "blue": "nobody", "fallbacks": ["fine", "noone"]},
            {"name": "b", "blue": "fine", "rules": [{"when": {"complexity_below": 0.3}, "use": "b"}]},
            {"name": "a", "blue": "fine", "colour": "red"},
        ],
    }
    with pytest.raises(Invalid) as error:
        declare(plane, document)
    assert sorted(problem.path for problem in error.value.problems) == [
        "models[1].targets",
        "models[2].name",
        "routes[0].blue",
        "routes[0].fallbacks[1]",
        "routes[1].rules[0].use",
        "routes[2].colour",
        "routes[2].name",
    ]
    assert plane.one("SELECT count(*) FROM models") == 3


def test_a_declaration_does_not_change_blue_under_a_live_rollout(plane: Plane) -> None:
    rollout = plane.register()
    with pytest.raises(Conflict, match=f"rollout {rollout.id}"):
        declare(plane, with_blue("spare"))
    fallbacks = copy.deepcopy(DECLARED)
    fallbacks["routes"][0]["fallbacks"] = []
    assert declare(plane, fallbacks)[ROUTE].fields == {"fallbacks": (["spare"], [])}


def test_a_declaration_does_not_quietly_undo_a_promotion(plane: Plane) -> None:
    rollout = plane.register()
    plane.act(rollout.id, "promote")
    with pytest.raises(Conflict, match="undo that rollout"):
        declare(plane, DECLARED)
    assert declare(plane, with_blue("new"))[ROUTE].change == "unchanged"
    assert declare(plane, with_blue("spare"))[ROUTE].change == "update"


def test_a_declaration_does_not_quietly_undo_an_undo(plane: Plane) -> None:
    rollout = plane.register()
    plane.act(rollout.id, "promote")
    plane.act(rollout.id, "undo")
    with pytest.raises(Conflict) as error:
        declare(plane, with_blue("new"))
    assert str(error.value) == (
        f"route '{ROUTE}': rollout {rollout.id} brought 'new', which was undone; declare blue = 'old', or register"
        " 'new' anew"
    )
    later = plane.register()  # one that changes no blue changes nothing about it
    plane.act(later.id, "abort")
    with pytest.raises(Conflict, match=f"rollout {rollout.id} brought 'new'"):
        declare(plane, with_blue("new"))
    assert declare(plane, DECLARED)[ROUTE].change == "unchanged"
    assert declare(plane, with_blue("spare"))[ROUTE].change == "update"
    assert declare(plane, with_blue("new"))[ROUTE].change == "update", "the undo is no longer what changed blue last"


def test_what_was_undone_may_come_by_a_rollout_or_a_new_route(plane: Plane) -> None:
    rollout = plane.register()
    plane.act(rollout.id, "promote")
    plane.act(rollout.id, "undo")
    delete.delete_route(plane.engine, ROUTE, actor="ann", now=plane.now)
    assert declare(plane, with_blue("new"))[ROUTE].change == "create"
    assert declare(plane, DECLARED)[ROUTE].change == "update"
    anew = plane.register()
    plane.act(anew.id, "promote")
    assert declare(plane, with_blue("new"))[ROUTE].change == "unchanged"


def test_deleting_what_an_undo_would_return_to_is_told(plane: Plane) -> None:
    declare(plane, {"models": [model("big")], "routes": [{"name": "chat", "blue": "big"}]})
    first = plane.register("chat")
    assert views.model(plane.engine, "big").undo_of == ()
    plane.act(first.id, "promote")
    assert views.model(plane.engine, "big").to_dict()["undo_of"] == [first.id]
    assert views.model(plane.engine, "new").undo_of == ()
    delete.delete_model(plane.engine, "big", actor="ann", now=plane.now)
    [said] = [
        row.sentence for row in plane.sql("SELECT sentence FROM journal WHERE subject = 'model big' AND act = 'delete'")
    ]
    assert said == f"Model big deleted. Rollout {first.id} cannot be undone without it."
    with pytest.raises(Conflict, match="'big' is not there any more"):
        plane.act(first.id, "undo")
    declare(plane, {"models": [model("big")]})
    plane.act(first.id, "undo")
    assert views.model(plane.engine, "big").undo_of == ()


def test_an_undo_of_the_wrong_rollout_names_the_right_one(plane: Plane) -> None:
    first = plane.register()
    plane.act(first.id, "promote")
    second = plane.register(green="spare")
    plane.act(second.id, "abort")
    with pytest.raises(Conflict) as error:
        plane.act(second.id, "undo")
    assert str(error.value).endswith(f"; rollout {first.id} promoted 'new' over 'old': crossfade undo {first.id}")
    plane.act(first.id, "undo")
    for rollout in (first, second):
        with pytest.raises(Conflict) as error:
            plane.act(rollout.id, "undo")
        assert "crossfade undo" not in str(error.value), "nothing is left to undo"


def regions(*names: str, **more: Any) -> dict[str, Any]:
    return {"models": [model("far", targets=[{"region": name, "model_id": "a.b", **more} for name in names])]}


def test_a_misspelt_region_is_a_problem_that_names_the_one_meant(plane: Plane) -> None:
    with pytest.raises(Invalid) as error:
        declare(plane, regions("us-east-1", "us-esat-1", "eu-cental-1"))
    assert [(problem.path, problem.message) for problem in error.value.problems] == [
        (
            f"models[0].targets[{position}].region",
            f"'{given}' is not known: did you mean '{meant}'? A region that is newer than this botocore needs an"
            " endpoint_url",
        )
        for position, given, meant in ((1, "us-esat-1", "us-east-1"), (2, "eu-cental-1", "eu-central-1"))
    ]
    with pytest.raises(Invalid, match="did you mean 'us-west-2'"):
        apply.put_model(
            plane.engine, "far", {"targets": regions("us-wset-2")["models"][0]["targets"]}, actor="ann", now=plane.now
        )


def test_a_region_that_is_new_private_or_without_bedrock_is_taken(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    assert declare(plane, regions("mars-north-1", "us-gov-west-1", "cn-north-1"))["far"].change == "create"
    private = regions("us-esat-1", endpoint_url="https://bedrock.example")
    assert declare(plane, private)["far"].change == "update"


def test_what_is_in_use_cannot_be_deleted(plane: Plane) -> None:
    with pytest.raises(Conflict, match="other"):
        delete.delete_model(plane.engine, "old", actor="ann", now=plane.now)
    rollout = plane.register()
    with pytest.raises(Conflict, match=f"rollout {rollout.id}"):
        delete.delete_model(plane.engine, "new", actor="ann", now=plane.now)
    with pytest.raises(Conflict, match=f"rollout {rollout.id}"):
        delete.delete_route(plane.engine, ROUTE, actor="ann", now=plane.now)
    with pytest.raises(NotFound):
        delete.delete_model(plane.engine, "nobody", actor="ann", now=plane.now)


def test_a_route_deleted_leaves_the_snapshot_and_keeps_its_past(plane: Plane) -> None:
    rollout = plane.register()
    plane.act(rollout.id, "abort")
    delete.delete_route(plane.engine, ROUTE, actor="ann", now=plane.now)
    assert list(current_snapshot(plane.engine, now=plane.now, secret=SECRET).entries) == ["other"]
    assert plane.observe(plane.row(calls=1, rollout=rollout.id)), "a shim that has not heard is not refused"
    assert declare(plane, DECLARED)[ROUTE].change == "create"


def test_a_model_deleted_while_a_route_takes_it_up_leaves_no_route_without_a_model(plane: Plane) -> None:
    for turn in range(10):
        apply.put_model(plane.engine, "brief", {"targets": model("x")["targets"]}, actor="ann", now=plane.now)
        start = threading.Barrier(2)

        def take(start: threading.Barrier = start, turn: int = turn) -> None:
            start.wait()
            try:
                apply.put_route(plane.engine, f"r{turn}", {"blue": "brief"}, actor="ann", now=plane.now)
            except Invalid:
                return

        taking = threading.Thread(target=take)
        taking.start()
        start.wait()
        with contextlib.suppress(Conflict):
            delete.delete_model(plane.engine, "brief", actor="bob", now=plane.now)
        taking.join(30)
        current = current_snapshot(plane.engine, now=plane.now, secret=SECRET)
        read_snapshot(snapshot_to_bytes(current))  # refuses a route whose Model is not there


def test_two_halves_of_a_circle_declared_at_once_do_not_close_to_one(plane: Plane) -> None:
    for turn in range(10):
        for name in ("left", "right"):
            apply.put_route(plane.engine, f"{name}{turn}", {"blue": "old"}, actor="ann", now=plane.now)
        start = threading.Barrier(2)
        refused: list[str] = []

        def lead(name: str, use: str, start: threading.Barrier = start, refused: list[str] = refused) -> None:
            start.wait()
            body = {"blue": "old", "rules": [{"when": {"code": True}, "use": use}]}
            try:
                apply.put_route(plane.engine, name, body, actor="ann", now=plane.now)
            except Invalid as error:
                refused.append(str(error))

        halves = [(f"left{turn}", f"right{turn}"), (f"right{turn}", f"left{turn}")]
        threads = [threading.Thread(target=lead, args=half) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(refused) == 1
        assert "leads back to" in refused[0]


def test_a_snapshot_can_be_read_back_and_names_the_live_rollout(plane: Plane) -> None:
    rollout = plane.register(start=False)
    pending = read_snapshot(snapshot_to_bytes(current_snapshot(plane.engine, now=plane.now, secret=SECRET)))
    assert pending.entries[ROUTE].live is None
    plane.act(rollout.id, "start")
    started = read_snapshot(snapshot_to_bytes(current_snapshot(plane.engine, now=plane.now, secret=SECRET)))
    live = started.entries[ROUTE].live
    assert live is not None
    assert (live.rollout, live.weight, live.green) == (rollout.id, 10.0, "new")
    assert started.version > pending.version
    assert plane.act(rollout.id, "abort").weight == 0
    aborted = current_snapshot(plane.engine, now=plane.now, secret=SECRET)
    assert aborted.entries[ROUTE].live is None
    assert aborted.version > started.version


def test_another_bucket_length_is_a_new_version(plane: Plane) -> None:
    before = current_version(plane.engine)
    configure(plane.engine, bucket_seconds=2, now=plane.now)
    configure(plane.engine, bucket_seconds=2, now=plane.now)
    assert current_version(plane.engine) == before + 1
    assert current_snapshot(plane.engine, now=plane.now, secret=SECRET).bucket_seconds == 2
