"""The gateway before servers that nobody here wrote: llama.cpp and LiteLLM's proxy, each as a process.

``python -m tests.e2e_servers`` installs both from PyPI into ``.venv-servers`` (half a gigabyte, once), makes
a tiny model, starts everything on loopback and checks answers, streams, calls, lists of models and failover.
It ends by itself, with exit code 0 if all is well.
"""
