"""What a service says of its calls: in which threads and tasks it holds, and what wins where two say it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import crossfade
from crossfade.core.split import position
from crossfade.shim.context import Said, said, with_metadata

ROUTE = "support-chat"


def key() -> str | None:
    return said({}).key


def test_a_thread_of_a_pool_knows_the_context_only_if_it_is_carried_there() -> None:
    with ThreadPoolExecutor(1) as pool, crossfade.context(key="ann"):
        assert pool.submit(key).result() is None
        assert pool.submit(contextvars.copy_context().run, key).result() == "ann"
        assert list(pool.map(lambda run: run(key), [contextvars.copy_context().run for _ in range(3)])) == ["ann"] * 3


def test_what_is_said_in_one_thread_is_not_said_in_another() -> None:
    found: dict[str, str | None] = {}
    both = threading.Barrier(2)

    def work(name: str) -> None:
        with crossfade.context(key=name):
            both.wait(10)
            found[name] = key()
            both.wait(10)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"ann": "ann", "bob": "bob"}


def test_asyncio_tasks_keep_what_was_said_where_they_were_started(ran: Callable[..., Any]) -> None:
    async def later() -> str | None:
        await asyncio.sleep(0)
        return key()

    async def one(name: str) -> tuple[str | None, str | None]:
        with crossfade.context(key=name):
            task = asyncio.create_task(later())
            in_thread = await asyncio.to_thread(key)
        return await task, in_thread  # the task outlives the `with`, and still knows

    async def all_() -> list[tuple[str | None, str | None]]:
        return await asyncio.gather(*(one(name) for name in ("ann", "bob", "eve")))

    assert ran(all_()) == [("ann", "ann"), ("bob", "bob"), ("eve", "eve")]


def test_run_in_executor_needs_the_context_carried(ran: Callable[..., Any]) -> None:
    async def ask() -> tuple[str | None, str | None]:
        loop = asyncio.get_running_loop()
        with crossfade.context(key="ann"):
            bare = await loop.run_in_executor(None, key)
            carried = await loop.run_in_executor(None, contextvars.copy_context().run, key)
        return bare, carried

    assert ran(ask()) == (None, "ann")


def test_it_decorates_a_function_and_nests() -> None:
    @crossfade.context(tier="free", team="search")
    def handler() -> Said:
        with crossfade.context(key="ann", labels={"team": "chat", "x": "y"}):
            return said({})

    assert handler() == Said(key="ann", tier="free", labels={"team": "chat", "x": "y"})
    assert said({}) == Said()


def test_the_split_goes_by_the_key_and_by_the_conversation_only_without_one() -> None:
    with crossfade.context(conversation="c-1"):
        assert said({}).sticky == "c-1"
        with crossfade.context(key="ann"):
            assert said({}).sticky == "ann"
            with crossfade.context(conversation="c-2"):
                assert said({}).sticky == "ann"


def test_request_metadata_says_what_the_context_does_not_and_its_other_entries_are_labels() -> None:
    metadata = {
        "crossfade-key": "ann", "crossfade-conversation": "c-1", "crossfade-tier": "free", "team": "chat", "x": "y",
    }  # fmt: skip
    told = with_metadata(Said(), metadata)
    assert told == Said(key="ann", conversation="c-1", tier="free", labels={"team": "chat", "x": "y"})
    with crossfade.context(key="bob", tier="gold", team="search"):
        won = said({"requestMetadata": metadata})
    assert won == Said(key="bob", conversation="c-1", tier="gold", labels={"team": "search", "x": "y"})
    assert with_metadata(Said(key=""), {"crossfade-key": "ann"}).key == "ann"
    assert Said(key="", conversation="").sticky is None, "all who are nobody would go one way"
    for nothing in (
        None,
        {},
        "text",
        ["crossfade-key"],
        {"crossfade-key": 7, "crossfade-tier": ["free"], "team": None},
    ):
        assert with_metadata(Said(tier="free"), nothing) == Said(tier="free")


@pytest.mark.parametrize("deadline", [0, -1, "x", "5", True, float("nan"), float("inf")])
def test_a_deadline_that_is_no_time_is_refused_where_it_is_said(deadline: Any) -> None:
    with (
        pytest.raises(ValueError, match=r"^crossfade.context: deadline must be seconds above 0, such as 5, not "),
        crossfade.context(key="ann", deadline=deadline),
    ):
        pytest.fail("a call could be made here")
    assert key() is None


def test_a_tier_that_is_no_text_is_refused_where_it_is_said() -> None:
    with (
        pytest.raises(ValueError, match=r'^crossfade.context: tier must be a text such as "free", not 5$'),
        crossfade.context(tier=5),  # type: ignore[arg-type]
    ):
        pytest.fail("a call could be made here")


@pytest.fixture
def variant_of(ask) -> Any:
    def variant(client: Any, **more: Any) -> str:
        return str(ask(client, **more)["ResponseMetadata"]["Crossfade"]["variant"])

    return variant


def test_a_conversation_on_green_stays_there_while_the_weight_rises_and_goes_to_blue_when_it_is_rolled_back(
    routed, renew, snapshot, model, variant_of
) -> None:
    blue, green = model("blue"), model("green")
    names = sorted((f"talk-{n}" for n in range(40)), key=lambda name: position("s", name))
    early, late = names[0], names[-1]
    client = routed(snapshot(blue, green, weight=0))
    with crossfade.context(conversation=early):
        assert variant_of(client) == "blue"
    for weight in (position("s", early) * 100 + 0.01, 25, 80):
        renew(snapshot(blue, green, weight=weight))
        with crossfade.context(conversation=early):
            assert variant_of(client) == "green"
        assert variant_of(client, requestMetadata={"crossfade-conversation": early}) == "green"
        with crossfade.context(conversation=late):
            assert variant_of(client) == "blue"
    renew(snapshot(blue))
    with crossfade.context(conversation=early):
        assert variant_of(client) == "blue"


def test_calls_from_a_pools_threads_are_split_by_the_key_that_is_carried_there(
    routed, snapshot, model, variant_of, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=50))
    keys = [f"user-{n}" for n in range(16)]
    expected = ["green" if position("s", name) < 0.5 else "blue" for name in keys]
    with ThreadPoolExecutor(4) as pool:

        def start(name: str) -> Any:
            with crossfade.context(key=name):
                return pool.submit(contextvars.copy_context().run, variant_of, client)

        assert [future.result() for future in [start(name) for name in keys]] == expected
    assert crossfade.flush()
    assert controller.total("keyed") == len(keys)


def test_request_metadata_labels_are_what_a_rule_asks_for(routed, snapshot, model, ask) -> None:
    from crossfade.core.route import Route
    from crossfade.core.rule import Rule, When
    from crossfade.core.snapshot import Entry

    rules = (Rule(when=When(labels={"team": "search"}), use="other"),)
    other = Entry(id=4, route=Route(name="other", blue="small"))
    found = snapshot(
        model("blue"), route=Route(name=ROUTE, blue="blue", rules=rules), more=(other,), fallbacks=(model("small"),)
    )
    client = routed(found)
    assert ask(client, requestMetadata={"team": "search"})["ResponseMetadata"]["Crossfade"]["route"] == "other"
    assert ask(client, requestMetadata={"team": "chat"})["ResponseMetadata"]["Crossfade"]["route"] == ROUTE


@pytest.mark.parametrize("deadline", [sys.maxsize, 1e300])
def test_a_deadline_beyond_all_sockets_is_a_long_one(routed, snapshot, model, ask, deadline) -> None:
    client = routed(snapshot(model("blue")))
    with crossfade.context(deadline=deadline):
        assert not ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
