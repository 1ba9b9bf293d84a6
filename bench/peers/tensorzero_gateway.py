"""TensorZero's gateway as its Python client embeds it: ``tensorzero_gateway.py PORT STUB_PORT``.

It listens on a port of its own choice; ``GET /`` on ours says which, once it is there. Observability is off,
as nothing here stores what was asked.
"""

import sys
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from openai import OpenAI
from tensorzero import patch_openai_client

_CONFIG = """
[gateway]
observability.enabled = false
[models.gpt-oss-120b]
routing = ["stub"]
[models.gpt-oss-120b.providers.stub]
type = "openai"
model_name = "gpt-oss-120b"
api_base = "http://127.0.0.1:{stub_port}/v1/"
api_key_location = "none"
"""


def main() -> None:
    port, stub_port = map(int, sys.argv[1:])
    config = Path(tempfile.mkdtemp()) / "tensorzero.toml"
    config.write_text(_CONFIG.format(stub_port=stub_port))
    client = patch_openai_client(OpenAI(api_key="sk-bench"), config_file=str(config), async_setup=False)
    told = f"{client.base_url.port} {client.base_url.path}".encode()

    class Teller(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(told)

        def log_request(self, *_: object) -> None:
            pass

    HTTPServer(("127.0.0.1", port), Teller).serve_forever()


main()
