"""Checks JSON against the official SDK's types: an unknown or a missing field, or a wrong type, fails."""

from functools import cache
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

# OpenAI's reference and servers have them; the SDK's types leave them out.
_UNTYPED = {
    "Response": {"store", "presence_penalty", "frequency_penalty"},
    # Its servers and SDKs have the same in an object as well.
    "ResponseErrorEvent": {"error"},
}

# The SDK makes them optional, but a client may rely on every answer to have them.
_ALWAYS = {
    "Response": {
        "background", "completed_at", "error", "incomplete_details", "instructions", "max_output_tokens",
        "frequency_penalty", "metadata", "presence_penalty", "previous_response_id", "reasoning",
        "service_tier", "status", "temperature", "text", "top_p", "truncation", "usage", "user",
    },
    "ResponseOutputText": {"logprobs"},
    "ResponseReasoningItem": {"content", "status"},
    "ResponseFunctionToolCall": {"id", "status"},
    "ResponseCustomToolCall": {"id"},
    "FunctionTool": {"parameters", "strict", "description"},
}  # fmt: skip


def check_response(value: dict[str, Any]) -> Response:
    checked = strictly(Response, value)
    assert isinstance(checked, Response)
    return checked


def check_event(value: dict[str, Any]) -> Any:
    return strictly(ResponseStreamEvent, value)


def strictly(kind: Any, value: Any) -> Any:
    """``value`` as the SDK's type ``kind``.

    Raises:
        AssertionError: naming the field that is unknown or missing.
        pydantic.ValidationError: for a wrong type.
    """
    model = _adapter(kind).validate_python(value, strict=True)
    _refuse_surprises(model, "$")
    return model


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _refuse_surprises(value: Any, path: str) -> None:
    match value:
        case BaseModel():
            name = type(value).__name__
            unknown = set(value.model_extra or ()) - _UNTYPED.get(name, set())
            assert not unknown, f"{path}: {name} has no field {sorted(unknown)}"
            missing = _ALWAYS.get(name, set()) - value.model_fields_set - set(value.model_extra or ())
            assert not missing, f"{path}: {name} lacks {sorted(missing)}"
            for field in value.model_fields_set:
                _refuse_surprises(getattr(value, field), f"{path}.{field}")
        case list():
            for index, item in enumerate(value):
                _refuse_surprises(item, f"{path}[{index}]")
        case _:
            pass
