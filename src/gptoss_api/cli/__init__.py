"""The ``gptoss-api`` command."""
