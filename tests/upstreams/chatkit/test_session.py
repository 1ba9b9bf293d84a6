"""What a session cookie tells, and Hugging Face about it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.upstreams.chatkit import Credentials
from gptoss_api.upstreams.chatkit.session import SessionContent, read_session
from gptoss_api.upstreams.chatkit.trial import Verdict, ask_owner
from gptoss_api.upstreams.http import HttpClient
from tests.simulator.server import session_cookie


def cookie(content: object, rest: str = ".aSRuQw.signature") -> str:
    return base64.b64encode(json.dumps(content).encode()).decode() + rest


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (session_cookie("hf_oauth_x"), SessionContent("hf_oauth_x", 1_763_995_203)),
        (cookie({"hf_access_token": "t"}).replace("=", ""), SessionContent("t", 1_763_995_203)),
        (cookie({"user": {"access_token": "t"}}), SessionContent("t", 1_763_995_203)),
        (cookie({"hf_access_token": "two words"}), SessionContent("", 1_763_995_203)),
        (cookie({"hf_access_token": 5}, ""), SessionContent()),
        (cookie([1], ".AAAA.x"), SessionContent()),
        ("opaque", SessionContent()),
        ("", SessionContent()),
        ("." * 9, SessionContent()),
    ],
)
def test_what_is_in_it(value: str, content: SessionContent) -> None:
    assert read_session(value) == content


def test_a_token_is_not_shown() -> None:
    assert "hf_oauth" not in repr(read_session(session_cookie()))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_any_value_is_read(value: str) -> None:
    assert isinstance(read_session(value), SessionContent)


@asynccontextmanager
async def hub(status: int, body: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers everything so; and what it was sent."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        data = body.encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(data), data))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/oauth/userinfo", seen


@pytest.mark.parametrize(
    ("status", "body", "verdict", "owner"),
    [
        (200, '{"sub": "1", "preferred_username": "ada", "email": "a@b.c"}', Verdict.GOOD, "ada"),
        (200, '{"preferred_username": "a\\u001b[2J"}', Verdict.UNKNOWN, ""),
        (200, "[]", Verdict.UNKNOWN, ""),
        (200, "<html>", Verdict.UNKNOWN, ""),
        (401, '{"error": "x"}', Verdict.UNKNOWN, ""),
        (500, "", Verdict.UNKNOWN, ""),
    ],
)
async def test_its_owner_is_asked_for(status: int, body: str, verdict: Verdict, owner: str) -> None:
    login = Credentials(user_id="u", session=session_cookie("hf_oauth_x"))
    http = HttpClient()
    async with hub(status, body) as (url, seen):
        trial = await ask_owner(http, login, url)
    await http.close()
    assert (trial.verdict, trial.owner) == (verdict, owner)
    assert ("expired" in trial.detail) == (status == 401)
    assert b"authorization: bearer hf_oauth_x\r\n" in seen[0].lower()
    assert "hf_oauth" not in trial.detail


async def test_a_session_without_a_token_is_asked_nobody_for() -> None:
    http = HttpClient()
    async with hub(200, "{}") as (url, seen):
        trial = await ask_owner(http, Credentials(session="opaque"), url)
    assert (trial.verdict, seen) == (Verdict.UNKNOWN, [])
    assert (await ask_owner(http, Credentials(session=session_cookie()), "http://127.0.0.1:9/")).owner == ""
    await http.close()
