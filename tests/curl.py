"""Requests as documentation gives them, for machines that have no curl."""

import shlex
from urllib.parse import urlsplit

from tests.conftest import RunningGateway
from tests.server.talking import Reply, ask


def answered(gateway: RunningGateway, command: str) -> Reply:
    """What ``gateway`` answers to a command line of curl, wherever that sends it."""
    words = iter(shlex.split(command.replace("\\\n", " ")))
    assert next(words) == "curl"
    headers: dict[str, str] = {}
    path = body = ""
    for word in words:
        if word in ("-H", "-d"):
            value = next(words)
            if word == "-d":
                body = value
            else:
                name, _, content = value.partition(": ")
                headers[name] = content
        elif not word.startswith("-"):
            path = urlsplit(word).path
        else:
            assert word in ("-s", "-N"), word
    return ask(gateway, "POST" if body else "GET", path, body.encode() or None, headers)
