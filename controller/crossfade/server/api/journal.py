"""Journal: decisions and acts, every look for charts, and what was recorded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from crossfade.errors import Invalid, Problem
from crossfade.server.auth import needs
from crossfade.server.state import state
from crossfade.server.usecases.tokens import Role
from crossfade.server.views import evaluations as evaluations_view
from crossfade.server.views import journal as journal_view
from crossfade.server.views.totals import totals as read_totals

MOST_ENTRIES = 100_000


def add_to(api: Blueprint) -> None:
    api.get("/journal")(whole_journal)
    api.get("/rollouts/<id:rollout_id>/journal")(journal)
    api.get("/rollouts/<id:rollout_id>/evaluations")(evaluations)
    api.get("/rollouts/<id:rollout_id>/totals")(totals)


@needs(Role.VIEWER)
def whole_journal() -> ResponseReturnValue:
    return as_asked(journal_view.journal(state().engine), "journal")


@needs(Role.VIEWER)
def journal(rollout_id: int) -> ResponseReturnValue:
    entries = journal_view.journal(state().engine, rollout_id, most=MOST_ENTRIES)
    return as_asked(entries, f"rollout-{rollout_id}-journal")


@needs(Role.VIEWER)
def evaluations(rollout_id: int) -> ResponseReturnValue:
    """Every look after `since`, thinned."""
    found = evaluations_view.evaluations(state().engine, rollout_id, since=_since())
    return jsonify({"evaluations": [evaluation.to_dict() for evaluation in found]})


@needs(Role.VIEWER)
def totals(rollout_id: int) -> ResponseReturnValue:
    """All calls and scores recorded, by step and variant."""
    return jsonify({"totals": [total.to_dict() for total in read_totals(state().engine, rollout_id=rollout_id)]})


def as_asked(entries: Iterable[journal_view.Entry], name: str) -> Response:
    """The journal as JSON, or as a CSV file with `format=csv`."""
    kind = request.args.get("format", "json")
    if kind not in ("json", "csv"):
        raise Invalid([Problem("format", f"{kind[:40]!r} is not known; allowed: json, csv")])
    if kind == "json":
        return jsonify({"journal": [entry.to_dict() for entry in entries]})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(journal_view.COLUMNS)
    for entry in entries:
        row = entry.to_dict()
        writer.writerow([_cell(row[column]) for column in journal_view.COLUMNS])
    answer = Response(text.getvalue(), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _cell(value: object) -> str:
    """A spreadsheet runs a cell that begins with one of `= + - @`: such texts get an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return json.dumps(value)


def _since() -> datetime | None:
    text = request.args.get("since")
    if not text:
        return None
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid([Problem("since", f"{text[:40]!r} is not a time such as 2026-01-31T12:00:00Z")]) from None
    return since if since.tzinfo else since.replace(tzinfo=UTC)
