"""llama.cpp's own HTTP server, until told to stop: ``llama_server.py MODEL PORT``."""

import signal
import sys


def serve(model: str, port: int) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {"gpt-oss-20b"}
    parameters.n_ctx = 8192
    parameters.n_parallel = 2
    parameters.port = port
    parameters.use_jinja = True
    server = xllamacpp.Server(parameters)
    print("listening on", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
