"""Register: the form for a candidate, with what to expect of it beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from crossfade.core.metric import NAMES
from crossfade.core.plan import Plan, Step, read_plan
from crossfade.core.reading import Reader
from crossfade.core.sentence import duration, metric_difference, standing
from crossfade.errors import Conflict, Invalid, NotFound, Problem
from crossfade.server.auth import actor
from crossfade.server.limits import refuse_unpriced
from crossfade.server.lookup import Found
from crossfade.server.pages import form as forms
from crossfade.server.pages.form import Form, Line
from crossfade.server.pages.session import page_needs
from crossfade.server.pages.words import share
from crossfade.server.state import state
from crossfade.server.usecases.forecast import forecast_typed
from crossfade.server.usecases.register import Registered, register_rollout
from crossfade.server.usecases.tokens import Role
from crossfade.server.views import declared
from crossfade.server.views.fleet import fleet
from crossfade.simulation.forecast import Forecast, StepForecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What to expect of one step, in words: how long it lasts, green's calls, and what its gate asks for."""

    weight: str
    time: str
    calls: str
    gate: str


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/register", "register", register, methods=["GET", "POST"])


@page_needs(Role.OPERATOR)
def register() -> ResponseReturnValue:
    if request.method == "GET":
        return _shown(forms.blank(request.args.get("route", "")))
    form = forms.read(request.form)
    if "add" in request.form:
        lines = form.steps if request.form["add"] == "step" else form.checks
        lines.append(Line(values={}))
        return _shown(form)
    if "look" in request.form:
        # The script looks at every pause in the typing: what takes a second or two is for a person who asked.
        return _shown(form, _plan_problems(form), quick=request.form["look"] == "typing")
    try:
        registered = register_rollout(
            state().engine, form.route, form.body, actor=actor(), now=datetime.now(UTC), lookup=state().lookup
        )
    except Invalid as error:
        return _shown(form, error.problems), 422
    except NotFound as error:
        return _shown(form, [Problem("route", str(error))]), 422
    except Conflict as error:
        return _shown(form, [Problem("", str(error))]), 409
    _tell(registered)
    return redirect(url_for("pages.rollout", rollout_id=registered.rollout.id), 303)


def _shown(form: Form, problems: Iterable[Problem] = (), *, quick: bool = True) -> str:
    engine = state().engine
    now = datetime.now(UTC)
    # A time that cannot be read was sent to core as 0: only the first word on a field is the right one.
    wrong: dict[str, list[str]] = {}
    unread = {problem.path for problem in form.problems}
    for problem in (*form.problems, *(p for p in problems if p.path not in unread)):
        wrong.setdefault(problem.path, []).append(problem.message)
    rows = {row.route: row for row in fleet(engine, now=now)}
    row = rows.get(form.route)
    plan = _plan(form)
    found = forecast_typed(engine, row.route, plan, now, quick=quick) if plan and row else None
    return render_template(
        "register.html",
        metrics=[*NAMES, "score.accuracy"],
        here="register",
        form=form,
        wrong=wrong,
        at_fields=_field_paths(form),
        routes=list(rows.values()),
        models=[view.model for view in declared.models(engine)],
        row=row,
        expectations=_expectations(plan, found) if plan else [],
        forecast=found,
    )


def _plan(form: Form) -> Plan | None:
    """The plan as typed so far, or None while it cannot be one."""
    body = form.body or forms.read(_as_sent(form)).body
    reader = Reader(body.get("plan"), "plan")
    plan = read_plan(reader)
    return None if reader.problems else plan


def _plan_problems(form: Form) -> list[Problem]:
    reader = Reader(form.body.get("plan"), "plan")
    plan = read_plan(reader)
    known = {view.model.name: view.model for view in declared.models(state().engine)}
    blue = {view.route.name: view.route.blue for view in declared.routes(state().engine)}.get(form.route)
    sides = [known[name] for name in (blue, form.green) if name in known]
    refuse_unpriced(reader, enumerate(plan.checks), sides)
    return reader.problems


def _as_sent(form: Form) -> MultiDict[str, str]:
    sent = {f"shadow-{name}": value for name, value in form.shadow.values.items()}
    for kind, lines in (("step", form.steps), ("check", form.checks)):
        for position, line in enumerate(lines):
            sent |= {f"{kind}-{position}-{name}": value for name, value in line.values.items()}
    return MultiDict(sent)


def _field_paths(form: Form) -> set[str]:
    """Every path that has a field to stand beside; problems of other paths are listed above the form."""
    names = {"weight", "shadow", "bake", "approve", "metric", "margin", "limit", "overdispersion"}
    names |= {"on_breach", "maturity", "gating"}
    lines = {f"{line.path}.{name}" for line in (form.shadow, *form.steps, *form.checks) if line.path for name in names}
    return {"route", "green", "reason", *lines, *(f"plan.{name}" for name in (*forms.PLAIN, *forms.SPANS))}


def _expectations(plan: Plan, found: Forecast | None) -> list[Expectation]:
    expectations = []
    for position, step in enumerate(plan.steps):
        ahead = found.steps[position] if found else None
        following = plan.gate_weight(position)
        asked = ", ".join(
            f"{check.said} {metric_difference(check.metric, check.limit, check.gate_margin(following))}"
            for check in plan.checks
            if check.gating
        )
        expectations.append(
            Expectation(
                weight=standing(step.weight, step.shadow),
                time=_time(step, ahead),
                calls=_calls(step, ahead, found),
                gate=f"{'promotion' if plan.is_last(position) else share(following)} opens within: {asked}",
            )
        )
    return expectations


def _calls(step: Step, ahead: StepForecast | None, found: Forecast | None) -> str:
    if found and step.shadow:
        return f"up to {found.traffic * 3600 * step.shadow / 100:,.0f} copies an hour"
    return f"about {ahead.green_calls.median:,.0f} calls on green" if ahead and ahead.green_calls else ""


def _time(step: Step, ahead: StepForecast | None) -> str:
    """The usual time, and what it seldom passes; where nothing is foreseen the shortest."""
    if ahead is None or ahead.seconds is None:
        return f"at least {duration(ahead.least_seconds if ahead and ahead.least_seconds else step.bake)}"
    usual, seldom = duration(ahead.seconds.median), duration(ahead.seconds.p90)
    return f"about {usual}" if usual == seldom else f"about {usual}, seldom over {seldom}"


def _tell(registered: Registered) -> None:
    """Says on the rollout's page what to expect, and which targets nobody could look up."""
    if text := registered.expect.get("text"):
        flash(str(text), "expect")
    unknown = [lookup for lookup in registered.lookups if lookup.found is Found.UNKNOWN]
    if unknown:
        places = ", ".join(f"{lookup.model_id} in {lookup.region}" for lookup in unknown)
        flash(f"Could not look up whether these exist: {places}. {unknown[0].detail}", "lookup")
