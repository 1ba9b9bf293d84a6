"""The log of a running gateway: a line for each request, and no secret at any level."""

import json
import time
from pathlib import Path

import pytest

from tests.conftest import RunningGateway, StartGateway, free_port
from tests.server.talking import CHAT, HELLO, ask
from tests.simulator import Answer, HttpReply, Simulator


def lines_of(gateway: RunningGateway, count: int) -> list[dict[str, object]]:
    """The request lines of a JSON log, once there are so many."""
    deadline = time.monotonic() + 5
    while True:
        lines = [json.loads(line) for line in gateway.log().splitlines()]
        requests = [line for line in lines if line["message"] == "request"]
        if len(requests) >= count:
            return requests
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_a_turn_is_one_line_with_its_figures(
    simulator: Simulator, gateway: StartGateway, stream: bool
) -> None:
    running = gateway(simulator, GPTOSS_LOG_FORMAT="json")
    body = {**HELLO, "stream": stream, "model": "openai/gpt-oss-20b", "stop": ["never said"]}
    reply = ask(running, "POST", CHAT, body, {"user-agent": "OpenAI/Python 2.8.0 (linux; x64)"})
    (line,) = lines_of(running, 1)
    assert line["id"] == reply.headers["x-request-id"]
    assert line["level"] == "info"
    assert (line["method"], line["path"], line["dialect"]) == ("POST", CHAT, "chat")
    assert (line["upstream"], line["model"]) == ("gpt-oss.com", "gpt-oss-20b")
    assert (line["client"], line["thread"]) == ("OpenAI/Python 2.8.0", "new")
    assert (line["emulated"], line["repairs"]) == (reply.headers["x-gptoss-emulated"], 0)
    assert "key" not in line
    assert (line["status"], line["outcome"]) == (200, "ok")
    assert isinstance(line["tokens_in"], int)
    assert isinstance(line["tokens_out"], int)
    assert isinstance(line["first_byte_ms"], float)
    assert isinstance(line["total_ms"], float)
    assert 0 < line["first_byte_ms"] <= line["total_ms"]


def test_failures_are_told_by_their_code(demo: RunningGateway, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_LOG_FORMAT="json")
    ask(running, "POST", CHAT, b"{")
    ask(running, "GET", "/nope%0aforged")
    ask(running, "POST", CHAT, {**HELLO, "model": "gpt-9"})
    outcomes = [(line["status"], line["outcome"]) for line in lines_of(running, 3)]
    assert outcomes == [(400, "invalid_request_error"), (404, "not_found"), (404, "model_not_found")]


def test_a_failure_names_the_upstream_that_was_asked_last(
    simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> None:
    simulator.always("s08_login_card")
    settings = tmp_path / "two.toml"
    settings.write_text(
        f'[[upstreams]]\nname = "away"\nkind = "vllm"\nurl = "http://127.0.0.1:{free_port()}/v1"\n'
        f'[[upstreams]]\nname = "site"\nkind = "gpt-oss.com"\nurl = "{simulator.chatkit_url}"\norder = 1\n'
    )
    running = gateway(
        simulator, GPTOSS_LOG_FORMAT="json", GPTOSS_CONFIG=str(settings), GPTOSS_UPSTREAM="away,site"
    )
    ask(running, "POST", CHAT, HELLO)
    ask(running, "POST", CHAT, {**HELLO, "model": "gpt-9"})
    lines = lines_of(running, 2)
    assert [line.get("upstream", "") for line in lines] == ["site", ""], lines
    kept = ask(running, "GET", "/v1/usage/report").json()["requests"]
    assert [(turn["upstream"], turn["status"]) for turn in kept] == [("site", lines[0]["status"])]


def test_probes_and_files_of_the_page_are_told_at_debug_only(gateway: StartGateway) -> None:
    quiet, loud = gateway(GPTOSS_UPSTREAM="demo"), gateway(GPTOSS_UPSTREAM="demo", GPTOSS_LOG_LEVEL="debug")
    for running in (quiet, loud):
        for path in ("/healthz", "/readyz", "/ui", "/ui/app.js", "/v1/models"):
            assert ask(running, "GET", path).status == 200
        deadline = time.monotonic() + 5
        while "/v1/models" not in running.log():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert "/healthz" not in quiet.log()
    assert "/readyz" not in quiet.log()
    assert "/ui" in quiet.log()
    assert "/ui/" not in quiet.log()
    assert " DEBUG   server: request " in loud.log()


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_the_log_at_debug_level(
    simulator: Simulator, gateway: StartGateway, form: str
) -> None:
    secrets = ["key-s3cret-1234", simulator.user_id, simulator.session, "hf_s3cretTOKEN0123", "s3cret-prompt"]
    running = gateway(simulator, GPTOSS_API_KEYS=secrets[0], GPTOSS_LOG_LEVEL="debug", GPTOSS_LOG_FORMAT=form)
    echoed = f"Cookie: {simulator.cookie}; authorization: Bearer {secrets[3]}"
    headers = {
        "authorization": f"Bearer {secrets[0]}",
        "cookie": f"session={simulator.session}",
        "x-request-id": secrets[3],
    }
    body = {"messages": [{"role": "user", "content": "s3cret-prompt"}], "user": simulator.user_id}
    simulator.script(
        Answer("Nothing."),
        Answer("New.", grant_session=simulator.session + "s3cret"),
        HttpReply(500, echoed, "text/plain"),
        HttpReply(403, f'{{"error": "{echoed}"}}'),
        "s08_login_card",
    )
    for _ in range(5):
        ask(running, "POST", CHAT, body, headers)
    ask(running, "GET", f"/v1/models/{simulator.session}?api_key={secrets[0]}", None, headers)
    ask(running, "GET", f"/{secrets[0]}/{secrets[3]}", None, headers)
    ask(running, "POST", CHAT, body, {"x-api-key": "wrong-s3cret"})
    # Who asks, as Claude Code tells it.
    device = {**body, "max_tokens": 9, "metadata": {"user_id": '{"device_id": "s3cret-device"}'}}
    ask(running, "POST", "/v1/messages", device, {**headers, "x-claude-code-session-id": "s3cret-session"})
    running.stop()
    log = running.log()
    assert "upstream_login_required" in log
    assert log.count("GET") == 3  # With the probe of the test itself.
    for secret in secrets:
        assert secret not in log
    assert "s3cret" not in log
