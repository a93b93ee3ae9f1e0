"""The part of the control plane `bedrock` that tells whether a target exists."""

from __future__ import annotations

from crossfade.sandbox.answer import Answer, error, ok
from crossfade.sandbox.model import Model, base_id, find_model

ACCOUNT = "123456789012"


def foundation_model_arn(region: str, model_id: str) -> str:
    """The ARN of a base model in a region."""
    return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"


def get_foundation_model(models: dict[str, Model], region: str, identifier: str) -> Answer:
    """GetFoundationModel: of a base model id or its ARN; a profile is not a foundation model."""
    model = find_model(models, identifier)
    base = base_id(identifier)
    if model is None or identifier not in (base, foundation_model_arn(region, base)):
        return error(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        )
    return ok({"modelDetails": _details(region, base, model)})


def list_foundation_models(models: dict[str, Model], region: str) -> Answer:
    """ListFoundationModels, without its filters."""
    return ok({"modelSummaries": [_details(region, model_id, model) for model_id, model in models.items()]})


def get_inference_profile(models: dict[str, Model], region: str, identifier: str) -> Answer:
    """GetInferenceProfile: of a profile id (`us.crossfade.echo-v1:0`) or its ARN."""
    model = find_model(models, identifier)
    base = base_id(identifier)
    profile_id = identifier.rpartition("/")[2]
    if model is None or profile_id == base:
        return error(
            404,
            "ResourceNotFoundException",
            "The specified inference profile was not found. Check the identifier and try your request again.",
        )
    return ok(
        {
            "inferenceProfileId": profile_id,
            "inferenceProfileArn": f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{profile_id}",
            "inferenceProfileName": model.name,
            "models": [{"modelArn": foundation_model_arn(region, base)}],
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }
    )


def _details(region: str, model_id: str, model: Model) -> dict[str, object]:
    return {
        "modelArn": foundation_model_arn(region, model_id),
        "modelId": model_id,
        "modelName": model.name,
        "providerName": "Crossfade sandbox",
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    }
