"""Pages: server-rendered, readable without JavaScript, kept current by it."""

from __future__ import annotations

from flask import Blueprint

from crossfade.server.pages import act, amend, explanation, fleet, register, rollout, route, session, whatif, words


def blueprint() -> Blueprint:
    """All pages. Whoever has no session is sent to sign in."""
    pages = Blueprint("pages", __name__)
    pages.before_request(session.require_visitor)
    pages.context_processor(session.who)
    for name, say in words.FILTERS.items():
        pages.add_app_template_filter(say, name)
    for part in (session, fleet, route, rollout, act, amend, register, explanation, whatif):
        part.add_to(pages)
    return pages
