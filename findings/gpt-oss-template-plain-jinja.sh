#!/bin/sh
# What plain Jinja2 makes of a tool's result in the chat template of gpt-oss.
#
# Jinja2's own tojson filter returns Markup, and a text that is joined to Markup with + is escaped as HTML. The
# template joins the control tokens around a tool's result to such a value: with the template that
# llama-cpp-python 0.3.36 ships and Jinja2 3.1.6 without autoescape, they come out as "&lt;|channel|&gt;", which
# the model's tokenizer knows nothing of, while all other messages are right. Nothing is reported. Programs that
# render templates with transformers do not see it, for that brings a tojson of its own.
#
# Fails when the behaviour changes.
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
import sys
from pathlib import Path

import jinja2

CALL = {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": {}}}
MESSAGES = [
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "a", "content": "NOON"},
]


def rendered(**filters):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters.update(filters)
    environment.globals["strftime_now"] = lambda _: "2026-01-01"
    text = environment.from_string(Path(sys.argv[1]).read_text()).render(messages=MESSAGES)
    return text[text.index("<|call|>") :]


own, plain = rendered(), rendered(tojson=lambda value, **_: json.dumps(value))
print("Jinja2's tojson:", own)
print("plain JSON:     ", plain)
assert "to=assistant&lt;|channel|&gt;commentary&lt;|message|&gt;" in own
assert "to=assistant<|channel|>commentary<|message|>" in plain
PYTHON
