"""Requests made from our own OpenAPI description, valid and not: none may be a fault of the gateway."""

import importlib.util
import subprocess
import sys

import pytest

from tests.conftest import Site
from tests.simulator import Answer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed"
)


def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(site: Site) -> None:
    site.simulator.always(lambda _: Answer("Fuzzy."))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
            "run",
            f"{site.gateway.base_url}/openapi.json",
            "--phases=coverage,fuzzing",
            "--max-examples=15",
            "--seed=1",
            "--no-color",
            f"--checks={checks}",
        ],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
