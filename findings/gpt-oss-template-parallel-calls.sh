#!/bin/sh
# What the chat template of gpt-oss makes of two tool calls in one assistant message, and of two instructions.
#
# Seen with the template that llama-cpp-python 0.3.36 ships (vendor/llama.cpp/models/templates/
# openai-gpt-oss-120b.jinja), rendered by Jinja2 3.1.6 with a tojson filter that is plain JSON:
#
# - Only the first of several calls in one assistant message is rendered, and each result is rendered under
#   that first call's name: asked for get_weather and get_time, the model reads get_weather -> "RAIN" and
#   get_weather -> "NOON". Nothing is reported. One assistant message for each call, followed by its own
#   result, is rendered as it was meant.
# - Of a system and a developer message only the first reaches the model.
#
# Both inputs are valid in OpenAI's Chat Completions. Fails when the behaviour changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
pip="$place/venv/bin/pip --disable-pip-version-check --quiet"
$pip install Jinja2==3.1.6 scikit-build-core==0.11.6
$pip download --no-deps --no-binary :all: --no-build-isolation llama-cpp-python==0.3.36 --dest "$place"
tar -xzf "$place/llama_cpp_python-0.3.36.tar.gz" -C "$place" --strip-components 5 \
    llama_cpp_python-0.3.36/vendor/llama.cpp/models/templates/openai-gpt-oss-120b.jinja
"$place/venv/bin/python" - "$place/openai-gpt-oss-120b.jinja" <<'PYTHON'
import json
import re
import sys
from pathlib import Path

import jinja2

environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
environment.filters["tojson"] = lambda value, **_: json.dumps(value)
environment.globals["strftime_now"] = lambda _: "2026-01-01"
template = environment.from_string(Path(sys.argv[1]).read_text())


def asked(*names):
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": {}}} for name in names]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def result(name, text):
    return {"role": "tool", "tool_call_id": name, "content": text}


def shown(*messages):
    text = template.render(messages=[{"role": "user", "content": "Weather and time?"}, *messages])
    calls = re.findall(r"assistant to=functions\.(\w+)", text)
    return calls, re.findall(r"functions\.(\w+) to=assistant<\|channel\|>commentary<\|message\|>(\S+?)<\|", text)


together = shown(asked("get_weather", "get_time"), result("get_weather", "RAIN"), result("get_time", "NOON"))
apart = shown(
    asked("get_weather"), result("get_weather", "RAIN"), asked("get_time"), result("get_time", "NOON")
)
print("together:", *together)
print("apart:   ", *apart)
assert together == (["get_weather"], [("get_weather", '"RAIN"'), ("get_weather", '"NOON"')])
assert apart == (["get_weather", "get_time"], [("get_weather", '"RAIN"'), ("get_time", '"NOON"')])

instructions = template.render(
    messages=[
        {"role": "system", "content": "Answer in French."},
        {"role": "developer", "content": "Mention no prices."},
        {"role": "user", "content": "Hello"},
    ]
)
print("instructions:", "Answer in French." in instructions, "Mention no prices." in instructions)
assert "Answer in French." in instructions and "Mention no prices." not in instructions
PYTHON
