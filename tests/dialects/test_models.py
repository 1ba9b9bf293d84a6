"""The list of models in the shapes of both SDKs."""

import json

from anthropic.types import ModelInfo
from openai.types import Model

from gptoss_api.core.catalog import MODELS
from gptoss_api.dialects import messages
from gptoss_api.dialects.models import render_model, render_models


def test_openai() -> None:
    listed = json.loads(render_models(MODELS))
    assert listed["object"] == "list"
    assert listed["data"] == [
        {"id": name, "object": "model", "created": 1_754_352_000, "owned_by": "gpt-oss"}
        for name in ("gpt-oss-120b", "gpt-oss-20b")
    ]
    for item in listed["data"]:
        Model.model_validate(item, strict=True)
    assert json.loads(render_model(MODELS[1])) == listed["data"][1]


def test_anthropic() -> None:
    listed = json.loads(messages.render_models(MODELS))
    # Claude Code lists only those that name Claude.
    names = ["gpt-oss-120b", "gpt-oss-20b", "claude-gpt-oss-120b", "claude-gpt-oss-20b"]
    assert [item["id"] for item in listed["data"]] == names
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, names[0], names[-1])
    for item in listed["data"]:
        model = ModelInfo.model_validate_json(json.dumps(item), strict=True)
        assert model.display_name.startswith("gpt-oss ")
        assert model.created_at.isoformat() == "2025-08-05T00:00:00+00:00"
    assert json.loads(messages.render_model(MODELS[0])) == listed["data"][0]


def test_no_models() -> None:
    assert json.loads(render_models(())) == {"object": "list", "data": []}
    assert json.loads(messages.render_models(())) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
