"""What few requests need is loaded with the first that does."""

import subprocess
import sys


def test_serving_loads_no_library_that_a_plain_chat_does_not_need() -> None:
    script = (
        "import sys; import gptoss_api.cli.serve, gptoss_api.server.run;"
        "print([name for name in ('jsonschema_rs', 'redis', 'unittest') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
