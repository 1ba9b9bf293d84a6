"""``python -m tests.e2e_servers``: see the package."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from gptoss_api.text.ranks import Ranks, build_table
from tests.conftest import RunningGateway, free_port, running_gateway

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
FOLDER = ROOT / ".venv-servers"
PACKAGES = ("litellm[proxy]==1.108.7", "xllamacpp==2026.10.11549", "gguf==0.19.0")
PYTHON = FOLDER / "bin" / "python"
# It names Python 3.12 as its oldest, and runs with 3.11.
REFERENCE = ROOT / ".venv-reference"
REFERENCE_PACKAGES = ("--ignore-requires-python", "gpt-oss==0.0.9")
START_SECONDS = 120.0
# LiteLLM does not start without one.
KEY = f"sk-{secrets.token_hex(32)}"

SAYS = "Hello there from llama.cpp"
WORDS = ["<|channel|>", "final", "<|message|>", "Hello", " there", " from", " llama.cpp", "<|return|>"]
CALL = [
    "<|channel|>", "commentary", " to=functions.get_weather", " ", "<|constrain|>", "json", "<|message|>",
    '{"city":"Paris"}', "<|call|>",
]  # fmt: skip
# Without its tokens, as models sometimes write it.
LEAK = ["commentary to=functions.get_weather json", '{"city":"Rome"}', "<|return|>"]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
QUESTION: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]


def install(folder: Path, *packages: str) -> None:
    done = folder / "installed"
    wanted = "\n".join(packages)
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {', '.join(packages)} into {folder.name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    subprocess.run([*pip, *packages], check=True)
    done.write_text(wanted)


@contextmanager
def process(log: Path, *command: str | Path, ready: str, **environment: str) -> Iterator[None]:
    """A server process that answers at ``ready``."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            # LiteLLM's prices come with the package; nothing is fetched.
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **environment},
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(ready):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[1]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        running.terminate()
        running.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextmanager
def llama(folder: Path, name: str, words: list[str]) -> Iterator[str]:
    """llama.cpp with a model that says ``words``; the value is its address."""
    model, port = folder / f"{name}.gguf", free_port()
    subprocess.run([PYTHON, HERE / "tiny_model.py", model, *words], check=True)
    url = f"http://127.0.0.1:{port}/v1"
    command = (PYTHON, HERE / "llama_server.py", model, str(port))
    with process(folder / f"{name}.log", *command, ready=f"{url}/models"):
        yield url


@contextmanager
def litellm(folder: Path, behind: str) -> Iterator[str]:
    """LiteLLM's proxy before the server at ``behind``."""
    port = free_port()
    config = folder / "litellm.json"
    target = {"model": "openai/gpt-oss-20b", "api_base": behind, "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "openai/gpt-oss-20b", "litellm_params": target}],
        "general_settings": {"master_key": KEY},
    }
    config.write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{port}/v1"
    program = FOLDER / "bin" / "litellm"
    command = (program, "--config", config, "--host", "127.0.0.1", "--port", str(port))
    with process(folder / "litellm.log", *command, ready=f"http://127.0.0.1:{port}/health/liveliness"):
        yield url


@contextmanager
def reference(folder: Path) -> Iterator[str]:
    """OpenAI's reference server of the Responses API; it gets its vocabulary from the gateway's."""
    lines = (b"%s %d\n" % (b64encode(token), rank) for rank, token in enumerate(Ranks(build_table())))
    (folder / "o200k_base.tiktoken").write_bytes(b"".join(lines))
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = (REFERENCE / "bin" / "python", HERE / "reference_server.py", str(port))
    log = folder / "reference.log"
    with process(log, *command, ready=f"{url}/models", TIKTOKEN_ENCODINGS_BASE=str(folder)):
        yield url


class Checks:
    """Runs checks one after the other and counts what fails."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, what: str, check: Callable[[], object]) -> None:
        try:
            seen = check()
        except Exception as error:  # One failing check must not hide the others.
            self.failed += 1
            print(f"FAILED  {what}: {type(error).__name__}: {error}", flush=True)
        else:
            print(f"ok      {what}" + (f": {seen}" if isinstance(seen, str) else ""), flush=True)


def say(client: OpenAI, **options: Any) -> str:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-oss-20b", messages=QUESTION, **options
    )
    completion = answer.parse()
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert completion.choices[0].message.content == SAYS, completion
    return f"{answer.headers['x-gptoss-upstream']}: {completion.choices[0].message.content}"


def stream(client: OpenAI) -> str:
    with client.chat.completions.stream(
        model="gpt-oss-20b", messages=QUESTION, stream_options={"include_usage": True}
    ) as events:
        pieces = [event.delta for event in events if event.type == "content.delta"]
        completion = events.get_final_completion()
    assert "".join(pieces) == SAYS, pieces
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    return f"{len(pieces)} pieces, {completion.usage.completion_tokens} tokens"


def unreadable(client: OpenAI) -> str:
    with pytest.raises(APIStatusError) as raised:
        call(client)
    assert raised.value.code == "upstream_parse_failed"
    return str(raised.value.code)


def call(client: OpenAI) -> str:
    completion = client.chat.completions.create(model="gpt-oss-20b", messages=QUESTION, tools=[WEATHER])
    calls: Any = completion.choices[0].message.tool_calls
    assert calls, completion
    (made,) = calls
    assert json.loads(made.function.arguments) == {"city": "Paris"}, completion
    assert completion.choices[0].finish_reason == "tool_calls"
    return f"{made.function.name}({made.function.arguments})"


CALLS: Any = [
    {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": '{"city":"Oslo"}'}}
    for name in ("get_weather", "get_time")
]
WEATHER_CALL, TIME_CALL = CALLS
RAIN: Any = {"role": "tool", "tool_call_id": "call_get_weather", "content": "RAIN"}
NOON: Any = {"role": "tool", "tool_call_id": "call_get_time", "content": "NOON, and a longer text"}
ASKED: Any = {"role": "user", "content": "Weather and time in Oslo?"}
THOUGHT: Any = {"reasoning_content": "Both of them are wanted."}
DESCRIBED: Any = {"type": "function", "function": {**WEATHER["function"], "description": ""}}


def said(calls: Any, **more: Any) -> Any:
    return {"role": "assistant", "content": "", "tool_calls": calls, **more}


# What a client sends, and the same written for the template, of which the model reads everything.
CONVERSATIONS: dict[str, tuple[Any, Any]] = {
    "calls side by side": (
        [ASKED, said(CALLS), NOON, RAIN],
        [ASKED, said([WEATHER_CALL]), RAIN, said([TIME_CALL]), NOON],
    ),
    "calls without content": (
        [ASKED, said(CALLS, content=None), RAIN, NOON],
        [ASKED, said([WEATHER_CALL]), RAIN, said([TIME_CALL]), NOON],
    ),
    "thoughts between calls": (
        [ASKED, said(CALLS, **THOUGHT), RAIN, NOON],
        [ASKED, said([WEATHER_CALL], **THOUGHT), RAIN, said([TIME_CALL]), NOON],
    ),
    "a thought and words before a call": (
        [ASKED, said([WEATHER_CALL], **THOUGHT | {"content": "Let me look."}), RAIN],
        [ASKED, said([WEATHER_CALL], reasoning_content="Both of them are wanted.\n\nLet me look."), RAIN],
    ),
    "two instructions": (
        [{"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be brief."}, ASKED],
        [{"role": "system", "content": "Be kind.\n\nBe brief."}, ASKED],
    ),
    "an instruction at the end": (
        [ASKED, {"role": "assistant", "content": "Rain, noon."}, {"role": "system", "content": "Be brief."}],
        [ASKED, {"role": "assistant", "content": "Rain, noon."}, {"role": "user", "content": "Be brief."}],
    ),
}


def counted(client: OpenAI, server: OpenAI, messages: Any, written: Any) -> str:
    """The model reads what is ``written``, to the token, of ``messages`` that go through the gateway."""

    def tokens(asked: OpenAI, conversation: Any, tool: Any) -> int:
        completion = asked.chat.completions.create(
            model="gpt-oss-20b", messages=conversation, tools=[tool], extra_body={"cache_prompt": False}
        )
        assert completion.usage is not None
        return completion.usage.prompt_tokens

    expected, read = tokens(server, written, DESCRIBED), tokens(client, messages, WEATHER)
    assert read == expected, f"the model reads {read} tokens instead of {expected}"
    return f"{read} tokens"


def sums_up(client: OpenAI) -> str:
    """What the reference server's own stub backend says to everybody, streamed and whole."""
    completion: Any = client.chat.completions.create(model="gpt-oss-120b", messages=QUESTION)
    message = completion.choices[0].message
    assert message.content.startswith("2 + 2 = 4."), completion
    assert "Simple arithmetic." in message.reasoning, completion
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.completion_tokens > 0
    with client.responses.stream(model="gpt-oss-120b", input="Hello?") as events:
        pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
        response = events.get_final_response()
    assert response.output_text == "".join(pieces) == message.content, response
    return f"{len(pieces)} pieces, {completion.usage.completion_tokens} tokens"


def cut(client: OpenAI) -> str:
    completion = client.chat.completions.create(model="gpt-oss-120b", messages=QUESTION, max_tokens=8)
    assert completion.choices[0].finish_reason == "length", completion
    return "length"


def call_and_result(client: OpenAI) -> str:
    """A call, and a second turn with its result; the chain of thought goes back in between."""
    tools: Any = [{"type": "function", **WEATHER["function"]}]
    first = client.responses.create(model="gpt-oss-120b", input="Weather?", instructions="Hm.", tools=tools)
    asked: Any = first.output[-1]
    assert json.loads(asked.arguments) == {"city": "Paris"}, first
    result: Any = [{"type": "function_call_output", "call_id": asked.call_id, "output": "sunny"}]
    second = client.responses.create(
        model="gpt-oss-120b", input=result, tools=tools, previous_response_id=first.id
    )
    assert second.output_text == "It is sunny.", second
    return second.output_text


def models(client: OpenAI) -> str:
    names = [model.id for model in client.models.list()]
    assert names[0] == "gpt-oss-20b", names
    return ", ".join(names)


def main() -> int:
    install(FOLDER, *PACKAGES)
    install(REFERENCE, *REFERENCE_PACKAGES)
    check = Checks()
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        number = iter(range(100))

        def gateway(**environment: str) -> RunningGateway:
            home = folder / f"home{next(number)}"
            home.mkdir()
            return stack.enter_context(running_gateway(home, None, before="", **environment))

        def client(running: RunningGateway) -> OpenAI:
            return OpenAI(base_url=f"{running.base_url}/v1", api_key="none", max_retries=0)

        words = stack.enter_context(llama(folder, "words", WORDS))
        proxy = stack.enter_context(litellm(folder, words))
        llama_kind = json.dumps([{"name": "llama", "kind": "llamacpp", "url": words}])
        direct = OpenAI(base_url=words, api_key="none", max_retries=0)
        for name, running in (
            ("llama.cpp", gateway(GPTOSS_UPSTREAM="llama", GPTOSS_UPSTREAMS=llama_kind)),
            ("llama.cpp by address", gateway(GPTOSS_UPSTREAM=words)),
            ("LiteLLM before llama.cpp", gateway(GPTOSS_UPSTREAM=proxy, GPTOSS_UPSTREAM_KEY=KEY)),
        ):
            sdk = client(running)
            check(f"{name}: answer", lambda: say(sdk))  # noqa: B023  # called at once
            check(f"{name}: stream", lambda: stream(sdk))  # noqa: B023  # as above
            check(f"{name}: options", lambda: say(sdk, temperature=0.5, seed=7, extra_body={"top_k": 5}))  # noqa: B023  # as above
            check(f"{name}: models", lambda: models(sdk))  # noqa: B023  # as above
            for what, (messages, written) in CONVERSATIONS.items():
                check(f"{name}: {what}", lambda: counted(sdk, direct, messages, written))  # noqa: B023  # as above
        for what, spoken, checked in (
            ("a call", CALL, call),
            ("a call that llama.cpp cannot read", LEAK, unreadable),
        ):
            with llama(folder, "calls", spoken) as url:
                tables = json.dumps([{"name": "llama", "kind": "llamacpp", "url": url}])
                sdk = client(gateway(GPTOSS_UPSTREAM="llama", GPTOSS_UPSTREAMS=tables))
                check(f"llama.cpp: {what}", lambda: checked(sdk))  # noqa: B023  # called at once
        responses = stack.enter_context(reference(folder))
        responses_kind = json.dumps([{"name": "reference", "kind": "responses", "url": responses}])
        for name, running in (
            ("reference", gateway(GPTOSS_UPSTREAM="reference", GPTOSS_UPSTREAMS=responses_kind)),
            ("reference by address", gateway(GPTOSS_UPSTREAM=responses)),
        ):
            sdk = client(running)
            check(f"{name}: answer and stream", lambda: sums_up(sdk))  # noqa: B023  # called at once
            check(f"{name}: limit", lambda: cut(sdk))  # noqa: B023  # as above
            check(f"{name}: call", lambda: call_and_result(sdk))  # noqa: B023  # as above
        with llama(folder, "going", WORDS) as going:
            both = gateway(GPTOSS_UPSTREAM=f"{going}, {proxy}", GPTOSS_UPSTREAM_KEY=KEY)
            check("failover: the first answers", lambda: say(client(both)))
        check("failover: the second answers when the first is gone", lambda: say(client(both)))
    print("all is well" if not check.failed else f"{check.failed} checks failed")
    return int(bool(check.failed))


if __name__ == "__main__":
    sys.exit(main())
