#!/bin/sh
# What OpenAI's Harmony renderer tells the model of a tool whose parameters pydantic describes.
#
# Seen with openai-harmony 0.0.8 and pydantic 2.14.4: of the schema that `model_json_schema()` gives for six fields,
# four lose their type on the way into the prompt, and nothing is reported.
#
#   int | None        "anyOf"                  guests: any,
#   a model           "$ref"                   seat: any,
#   a list of models  "items": {"$ref": ...}   seats: any[],
#   Literal[2, 4]     "enum" of integers       size: number,
#   dict[str, float]  "additionalProperties"   prices: {  },
#   Literal["in"]     "enum" of strings        kind: "in" | "out",   (the only one that is whole)
#
# So a model that is served through this renderer is never told what a seat consists of, unless whoever describes the
# tool resolves references and writes alternatives with "oneOf" beforehand. That has a trap of its own: a property
# whose description is also that of its first alternative loses it altogether.
#
# Needs npm for the vocabulary, which openai-harmony would download: js-tiktoken 1.0.21 brings the same ranks.
# Fails when the behaviour changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check --quiet install openai-harmony==0.0.8 pydantic==2.14.4
npm pack --silent js-tiktoken@1.0.21 >/dev/null
tar -xzf js-tiktoken-1.0.21.tgz package/dist/ranks/o200k_base.cjs
mkdir vocabulary
cat >show.py <<'PYTHON'
import json
import re
from pathlib import Path
from typing import Literal

from openai_harmony import (
    Conversation,
    DeveloperContent,
    HarmonyEncodingName,
    Message,
    Role,
    ToolDescription,
    load_harmony_encoding,
)
from pydantic import BaseModel, Field

source = Path("package/dist/ranks/o200k_base.cjs").read_text()
ranks = json.JSONDecoder().raw_decode(source[source.index("{") :])[0]["bpe_ranks"]
_, first, *tokens = ranks.split(" ")
lines = (f"{token} {number}\n" for number, token in enumerate(tokens, int(first)))
Path("vocabulary/o200k_base.tiktoken").write_text("".join(lines))
encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


def shown(parameters):
    tools = [ToolDescription.new("book", "Books a table.", parameters=parameters)]
    developer = DeveloperContent.new().with_function_tools(tools)
    message = Message.from_role_and_content(Role.DEVELOPER, developer)
    return encoding.decode(encoding.render_conversation(Conversation.from_messages([message])))


class Seat(BaseModel):
    row: int


class Booking(BaseModel):
    guests: int | None = Field(description="How many come.")
    seat: Seat
    seats: list[Seat]
    size: Literal[2, 4]
    prices: dict[str, float]
    kind: Literal["in", "out"]


booking = shown(Booking.model_json_schema())
print(booking)
for line in ("guests: any,", "seat: any,", "seats: any[],", "size: number,", 'kind: "in" | "out",'):
    assert f"\n{line}\n" in booking, line
assert re.search(r"\nprices: \{\s*\},\n", booking)
assert "row" not in booking and "null" not in booking

said = "In or out."
where = {"description": said, "oneOf": [{"type": "string", "description": said}, {"type": "integer"}]}
alternatives = shown({"type": "object", "properties": {"where": where}})
print(alternatives)
assert said not in alternatives
where["oneOf"][0]["description"] = "A name."
assert said in shown({"type": "object", "properties": {"where": where}})
PYTHON
TIKTOKEN_ENCODINGS_BASE=vocabulary venv/bin/python show.py
