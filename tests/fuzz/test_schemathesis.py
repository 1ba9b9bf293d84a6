"""Requests made from our own OpenAPI description, valid and not: none may be a fault of the gateway.

Schemathesis wants another version of a library that the gateway uses, so it has an environment of its own:
``make fuzz`` makes it and says where it is.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.simulator import Answer

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.timeout(300)
def test_it_finds_no_server_error_and_no_undocumented_answer(site: Site, tmp_path: Path) -> None:
    program = Path(os.environ["SCHEMATHESIS"]).absolute()
    # Words, and an object for who asks for one.
    site.simulator.always(lambda _: Answer("{}"))
    description = f"{site.gateway.base_url}/openapi.json"
    options = [
        "--phases=coverage,fuzzing",
        "--max-examples=30",
        "--seed=1",
        "--no-color",
        f"--checks={CHECKS}",
    ]
    done = subprocess.run(
        [program, "run", description, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
