"""The gateway before servers that nobody here wrote, each as a process.

They are llama.cpp, LiteLLM's proxy, and OpenAI's reference server of the Responses API.
``python -m tests.e2e_servers`` installs them from PyPI into ``.venv-servers`` and ``.venv-reference`` (half a
gigabyte, once), makes a tiny model, starts everything on loopback and checks answers, streams, calls, lists
of models, failover and counts of tokens. It ends by itself, with exit code 0 if all is well.
"""
