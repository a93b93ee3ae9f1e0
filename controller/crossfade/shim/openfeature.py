"""Openfeature: a provider that says which variant a key gets. A flag is a route. Needs the extra `openfeature`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from crossfade.shim import runtime
from crossfade.shim.context import said


class OpenFeatureProvider(AbstractProvider):
    """Answers from the snapshot in force, by the split of the call path: "blue" or "green".

    The targeting key is the stickiness key; without one, that of `crossfade.context`. A route's rules and shares look
    at requests and send them on to other routes: ask for the flag of the route that serves.
    """

    def get_metadata(self) -> Metadata:
        return Metadata(name="crossfade")

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,  # noqa: ARG002 -- the client's, where there is an error
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        shim = runtime.current()
        snapshot = shim.feed.snapshot if shim is not None else None
        if snapshot is None:
            raise ProviderNotReadyError("Crossfade is not installed" if shim is None else "there is no snapshot yet")
        entry = snapshot.entries.get(flag_key)
        if entry is None:
            raise FlagNotFoundError(f"there is no route {flag_key!r} in snapshot {snapshot.version}")
        key = (evaluation_context.targeting_key if evaluation_context else None) or said({}).sticky
        if entry.live and key is None:
            raise TargetingKeyMissingError(f"without a key each call to {flag_key!r} gets a variant by chance")
        variant, live = entry.assign(key), entry.live
        told: dict[str, bool | int | float | str] = {"model": entry.model(variant), "snapshot": snapshot.version}
        if live:
            told |= {"rollout": live.rollout, "step": live.step}
        return FlagResolutionDetails(
            value=str(variant),
            variant=str(variant),
            reason=Reason.SPLIT if live else Reason.STATIC,
            flag_metadata=told,
        )

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        _refuse(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        _refuse(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        _refuse(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        _refuse(flag_key, default_value, evaluation_context)


def _refuse(flag_key: str, *_: object) -> NoReturn:
    raise TypeMismatchError(f"flag {flag_key!r} is a string, blue or green")
