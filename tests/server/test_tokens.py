"""Tokens are shown once, stored hashed, and refused as soon as they are revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from plane import SECRET, Plane

from crossfade.errors import Conflict, Invalid, NotFound
from crossfade.server.usecases.tokens import (
    Role,
    Token,
    authenticate,
    create_token,
    list_tokens,
    revoke_token,
)


def create(plane: Plane, name: str = "ci", role: str = "operator") -> tuple[Token, str]:
    return create_token(plane.engine, {"name": name, "role": role}, actor="ann", now=plane.now, secret=SECRET)


def test_a_token_is_known_by_its_text_and_only_under_the_servers_secret(plane: Plane) -> None:
    token, text = create(plane)
    found = authenticate(plane.engine, text, now=plane.now, secret=SECRET)
    assert found is not None
    assert (found.id, found.role) == (token.id, Role.OPERATOR)
    assert authenticate(plane.engine, text, now=plane.now, secret="t" * 40) is None
    assert authenticate(plane.engine, text + "x", now=plane.now, secret=SECRET) is None
    assert authenticate(plane.engine, "cft_\x00", now=plane.now, secret=SECRET) is None


def test_the_text_of_a_token_is_stored_nowhere(plane: Plane) -> None:
    _, text = create(plane)
    stored = plane.sql("SELECT tokens::text || journal::text FROM tokens, journal")
    assert stored
    assert not any(text in row[0] or text.removeprefix("cft_") in row[0] for row in stored)


def test_a_revoked_token_is_refused_and_its_name_is_free_again(plane: Plane) -> None:
    token, text = create(plane)
    with pytest.raises(Conflict, match="ci"):
        create(plane)
    assert revoke_token(plane.engine, token.id, actor="ann", now=plane.now).revoked_at == plane.now
    plane.later(60)
    assert revoke_token(plane.engine, token.id, actor="ann", now=plane.now).revoked_at == plane.now - timedelta(
        minutes=1
    )
    assert authenticate(plane.engine, text, now=plane.now, secret=SECRET) is None
    create(plane)
    assert [known.revoked_at is None for known in list_tokens(plane.engine)] == [False, True]
    with pytest.raises(NotFound):
        revoke_token(plane.engine, 999, actor="ann", now=plane.now)


def test_use_is_noted_once_a_minute(plane: Plane) -> None:
    _, text = create(plane)
    first = plane.now
    for seconds in (0, 30, 20):
        plane.later(seconds)
        authenticate(plane.engine, text, now=plane.now, secret=SECRET)
    assert list_tokens(plane.engine)[0].last_used_at == first
    authenticate(plane.engine, text, now=plane.later(10), secret=SECRET)
    assert list_tokens(plane.engine)[0].last_used_at == plane.now


@pytest.mark.parametrize("body", [{}, {"name": "", "role": "admin"}, {"name": "a\nb", "role": "root", "x": 1}])
def test_a_bad_token_request_is_refused(plane: Plane, body: object) -> None:
    with pytest.raises(Invalid):
        create_token(plane.engine, body, actor="ann", now=plane.now, secret=SECRET)


def test_a_shim_may_do_nothing_else_and_nobody_below_admin_may_do_a_shims_work() -> None:
    order = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    for own in order:
        for needed in order:
            assert own.may(needed) is (order.index(own) >= order.index(needed))
    assert [role for role in Role if Role.SHIM.may(role)] == [Role.SHIM]
    assert [role for role in Role if role.may(Role.SHIM)] == [Role.ADMIN, Role.SHIM]
