"""An item of a conversation that comes again is read once, and means the same as the first time."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import InvalidRequest, InvalidValue
from gptoss_api.core.turn import AssistantMessage
from gptoss_api.dialects import json_body
from gptoss_api.dialects.beginnings import Beginnings, ConversationItems
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.fields import Fields
from gptoss_api.dialects.json_body import MAX_DEPTH, KnownItem, KnownItems, decode_object
from gptoss_api.dialects.messages import MessagesDialect
from gptoss_api.dialects.messages.signatures import Signer
from gptoss_api.dialects.ollama import OllamaDialect
from gptoss_api.dialects.responses import ResponsesDialect
from gptoss_api.text.memo import Memo

LONG = "Read a file before you change it. " * 150
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "where": []}, "required": ["path"]}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "_known", Memo(1024 * 1024))
    monkeypatch.setattr(json_body, "_known_tools", Memo(1024 * 1024))
    monkeypatch.setattr(json_body, "_begun", Beginnings(8 * 1024 * 1024))


def chat_body(**changes: Any) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
    function = {"name": "read", "description": LONG, "parameters": copy.deepcopy(SCHEMA)}
    return {
        "messages": [
            {"role": "system", "content": LONG},
            {"role": "user", "content": [{"type": "text", "text": "Find out why."}], "name": "ann"},
            {"role": "assistant", "content": "I look.", "reasoning": "Hm.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Nothing."},
            {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": None},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [{"type": "function", "function": function}],
        **changes,
    }


def messages_body() -> dict[str, Any]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": LONG}}
    other = {**use, "id": "toolu_2", "name": "list"}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": LONG}]}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": LONG}}
    thought = {"type": "thinking", "thinking": LONG, "signature": Signer(b"secret").sign(LONG)}
    return {
        "max_tokens": 100,
        "system": LONG,
        "messages": [
            {"role": "user", "content": LONG},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, use, other]},
            {"role": "system", "content": LONG},
            {"role": "user", "content": [{**result, "tool_use_id": "toolu_2", "is_error": True}, result]},
            {"role": "assistant", "content": [{**thought, "thinking": f"{LONG} Or not."}]},
            {"role": "user", "content": [picture]},
            {"role": "user", "content": [result, {"type": "text", "text": "And now?"}]},
        ],
        "tools": [
            {"name": "read", "description": LONG, "input_schema": copy.deepcopy(SCHEMA)},
            {"name": "find", "description": LONG, "input_schema": {}, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
    }


def responses_body() -> dict[str, Any]:
    call = {"type": "function_call", "call_id": "call_1", "name": "read", "arguments": LONG}
    return {
        "instructions": LONG,
        "input": [
            {"role": "developer", "content": LONG},
            {"role": "user", "content": [{"type": "input_text", "text": LONG}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": LONG}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": LONG}]},
            call,
            {**call, "call_id": "call_2", "namespace": "mcp"},
            {"type": "function_call_output", "call_id": "call_1", "output": LONG},
            {
                "type": "function_call_output",
                "call_id": "call_2",
                "output": [{"type": "input_text", "text": LONG}],
            },
            {"role": "assistant", "content": [{"type": "refusal", "refusal": LONG}]},
            {"type": "custom_tool_call", "call_id": "call_3", "name": "sql", "input": LONG},
            {"type": "custom_tool_call_output", "call_id": "call_3", "output": LONG},
            {"type": "web_search_call", "id": "ws_1", "action": {"query": LONG}},
            {"role": "user", "content": [{"type": "input_image", "image_url": LONG}]},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [
            {"type": "function", "name": "read", "parameters": copy.deepcopy(SCHEMA)},
            {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "read"}]},
        ],
    }


def ollama_body() -> dict[str, Any]:
    call = {"function": {"name": "read", "arguments": {"path": LONG}}}
    return {
        "model": "gpt-oss:20b",
        "messages": [
            {"role": "system", "content": LONG},
            {"role": "user", "content": LONG, "images": []},
            {"role": "assistant", "content": "I look.", "thinking": "Hm.", "tool_calls": [call]},
            {"role": "tool", "content": LONG},
            {"role": "assistant", "tool_calls": [{"id": "call_9", **call}, call]},
            {"role": "tool", "tool_call_id": "call_9", "content": "Nothing."},
            {"role": "tool", "tool_name": "read", "content": LONG},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "read", "parameters": copy.deepcopy(SCHEMA)}},
            {"type": "function", "function": {"name": "write", "description": LONG}},
        ],
    }


class Ollama:
    """Its chats, by the name that reading has in the other dialects."""

    parse = staticmethod(OllamaDialect().chat)


DIALECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "chat": (ChatDialect(), chat_body()),
    "messages": (MessagesDialect(b"secret"), messages_body()),
    "responses": (ResponsesDialect(), responses_body()),
    "ollama": (Ollama(), ollama_body()),
}


@pytest.mark.parametrize(("dialect", "body"), DIALECTS.values(), ids=DIALECTS)
def test_a_request_means_the_same_each_time(
    dialect: Any, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.dumps(body).encode()
    assert len(data) > 4 * 1024
    first, again = dialect.parse(data, {}).turns, dialect.parse(data, {}).turns
    forget(monkeypatch)
    assert first == again == dialect.parse(data, {}).turns
    assert first[0].tools[0].parameters is again[0].tools[0].parameters
    # Short ones are read as they come.
    monkeypatch.setattr(json_body, "_GROWN", 1 << 30)
    assert first == dialect.parse(data, {}).turns


def test_what_one_dialect_made_of_an_item_is_nothing_to_another() -> None:
    user = {"role": "user", "content": "Hello. " * 100}
    tool = {"type": "function", "name": "read", "description": LONG}
    chat = json.dumps({"messages": [user, {"role": "user", "content": LONG}], "tools": [tool]}).encode()
    responses = json.dumps({"input": [user, {"role": "user", "content": LONG}], "tools": [tool]}).encode()
    expected = DIALECTS["responses"][0].parse(responses, {}).turn.messages
    assert DIALECTS["chat"][0].parse(chat, {}).turn.messages == expected
    assert DIALECTS["responses"][0].parse(responses, {}).turn.messages == expected


def test_an_error_names_the_place_of_this_time() -> None:
    dialect = ChatDialect()
    wrong = {"role": "user", "content": 1}
    tool = chat_body()["tools"][0]
    other = {"type": "function", "function": {"name": "read", "description": "Another."}}
    for index in (1, 2):
        fine = [{"role": "user", "content": LONG} for _ in range(index)]
        with pytest.raises(InvalidRequest) as refused:
            dialect.parse(json.dumps(chat_body(messages=[*fine, wrong])).encode(), {})
        assert refused.value.param == f"messages[{index}].content"
        with pytest.raises(InvalidValue) as refused_tool:
            dialect.parse(json.dumps(chat_body(tools=[*index * [tool], other])).encode(), {})
        assert refused_tool.value.param == f"tools[{index}].function.name"


def test_results_are_named_by_the_call_before_them_this_time() -> None:
    dialect = ChatDialect()
    messages = chat_body()["messages"]
    result = {"role": "tool", "tool_call_id": "call_1", "content": LONG}
    for name in ("read", "write"):
        messages[2]["tool_calls"][0]["function"]["name"] = name
        turn = dialect.parse(json.dumps(chat_body(messages=[*messages, result])).encode(), {}).turn
        assert [message.name for message in turn.messages if hasattr(message, "call_id")] == [
            name,
            "old",
            name,
        ]


def results_of(message: str, call: str, result: str) -> dict[str, Any]:
    """The body of a step of each dialect: a ``message`` of the user's, a call and its result."""
    function = {"name": "read", "arguments": call}
    return {
        "chat": [
            {"role": "user", "content": message},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": result},
        ],
        "messages": [
            {"role": "user", "content": message},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "1", "name": "read", "input": {"a": call}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": result}]},
        ],
        "responses": [
            {"role": "user", "content": message},
            {"type": "function_call", "call_id": "call_1", **function},
            {"type": "function_call_output", "call_id": "call_1", "output": result},
        ],
        "ollama": [
            {"role": "user", "content": message},
            {"role": "assistant", "tool_calls": [{"function": {"name": "read", "arguments": {"a": call}}}]},
            {"role": "tool", "content": result},
        ],
    }


@pytest.mark.parametrize("name", DIALECTS)
def test_what_comes_again_gives_the_same_objects(name: str) -> None:
    dialect, body = DIALECTS[name]
    member = "input" if name == "responses" else "messages"
    known = results_of(LONG, json.dumps({"path": LONG}), LONG)[name]
    first, again = (
        dialect.parse(json.dumps({**body, member: items}).encode(), {}).turns[0].messages[-3:]
        for items in (known, known)
    )
    # A plain text is read as fast as it would be found.
    assert first[1].tool_calls[0] is again[1].tool_calls[0]
    assert first[2].text is again[2].text
    assert [message.name for message in first[2:]] == ["read"]


@pytest.mark.parametrize("name", DIALECTS)
def test_tools_that_come_again_are_read_as_one(name: str) -> None:
    dialect, body = DIALECTS[name]
    member = "input" if name == "responses" else "messages"
    first, again = (
        dialect.parse(json.dumps({**body, member: [{"role": "user", "content": text}]}).encode(), {}).turns[0]
        for text in (LONG, "And now?" * 1_000)
    )
    assert list(map(id, first.tools)) == list(map(id, again.tools))
    assert isinstance(decode_object(json.dumps(body).encode())["tools"], KnownItems)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_conversation_that_grows_means_the_same_at_each_step(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect, body = DIALECTS[name]
    member = "input" if name == "responses" else "messages"
    items = body[member]

    def turn(size: int) -> Any:
        # Ends as the whole does, so that no earlier picture is the newest word of the user's.
        data = json.dumps({**body, member: [*items[:size], items[-1]]}).encode()
        return dialect.parse(data, {}).turns[0]

    grown = [turn(size) for size in range(len(items))]
    for size, step in enumerate(grown):
        forget(monkeypatch)
        assert step == turn(size)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_conversation_means_the_same_whether_its_beginning_came_before(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect, body = DIALECTS[name]
    member = "input" if name == "responses" else "messages"
    items = [*body[member], *results_of(LONG, json.dumps({"path": LONG}), LONG)[name]] * 2

    def outcome(items: list[Any]) -> Any:
        try:
            return dialect.parse(json.dumps({**body, member: items}).encode(), {}).turns[0]
        except InvalidRequest as error:
            return type(error), error.message, error.param

    monkeypatch.setattr(json_body, "LEAST", 1 << 30)
    expected = [outcome(items[: size + 1]) for size in range(len(items))]
    monkeypatch.setattr(json_body, "LEAST", 512)
    assert [outcome(items[: size + 1]) for size in range(len(items))] == expected
    # Another goes on from the same beginning, and this one again.
    other = [*items[:4], {"role": "user", "content": LONG[:600]}]
    for _ in range(2):
        assert outcome(other) == outcome([*other])
        assert outcome(items) == expected[-1]


def test_of_a_conversation_that_grew_only_what_is_new_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": LONG[:900]}]
    for number in range(60):
        messages += (
            {"role": "user", "content": f"{number} {LONG[:200]}"},
            {"role": "assistant", "content": LONG[:300]},
        )
    first = ChatDialect().parse(json.dumps({"messages": messages}).encode(), {}).turn
    read: list[bytes] = []
    read_array = json_body._read_array

    def counted(data: bytes, least: int) -> Any:
        read.append(data)
        return read_array(data, least)

    monkeypatch.setattr(json_body, "_read_array", counted)
    messages.append({"role": "user", "content": "And now?"})
    body = json.dumps({"model": "gpt-oss-20b", "messages": messages, "stream": True}).encode()
    for _ in range(2):
        turn = ChatDialect().parse(body, {}).turn
        assert list(map(id, turn.messages[:-1])) == list(map(id, first.messages))
        assert turn.messages[-1].text == "And now?"
    assert read == [b'[ {"role": "user", "content": "And now?"}]']


PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("messages", {"content": [{"type": "image_url", "image_url": {"url": LONG}}]}),
    "messages": (
        "messages",
        {
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": LONG}}
            ]
        },
    ),
    "responses": ("input", {"content": [{"type": "input_image", "image_url": LONG}]}),
    "ollama": ("messages", {"content": "Look.", "images": [LONG]}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_refused_only_in_the_newest_message_whatever_came_before(name: str) -> None:
    dialect, body = DIALECTS[name]
    member, picture = PICTURES[name]
    picture = {"role": "user", **picture}
    earlier = json.dumps({**body, member: [picture, {"role": "user", "content": "And now?"}]}).encode()
    newest = json.dumps({**body, member: [{"role": "user", "content": "Look."}, picture]}).encode()
    for _ in range(2):
        assert dialect.parse(earlier, {}).turns
        with pytest.raises(InvalidRequest) as refused:
            dialect.parse(newest, {})
        assert str(refused.value.param).startswith(f"{member}[1]")


def test_known_items_are_the_same_objects() -> None:
    data = json.dumps(chat_body()).encode()
    first, again = decode_object(data), decode_object(data)
    assert first["messages"][0] is again["messages"][0]
    assert first["tools"][0] is again["tools"][0]
    assert isinstance(first["tools"][0], KnownItem)
    # What is short and plain is read as fast as it would be found.
    assert first["messages"][3] is not again["messages"][3]
    assert first["messages"][3] == again["messages"][3]


def test_what_is_made_of_other_members_is_made_each_time() -> None:
    fields = Fields({"a": 1})
    made = [fields.made(lambda fields: [fields.get("a")]) for _ in range(2)]
    assert made == [[1], [1]]
    assert made[0] is not made[1]


def test_many_short_items_are_read_at_one_go() -> None:
    messages = [{"role": "user", "content": f"number {number}"} for number in range(200)]
    data = json.dumps({"messages": messages}).encode()
    assert decode_object(data) == {"messages": messages}
    turn = ChatDialect().parse(data, {}).turn
    assert [message.text for message in turn.messages] == [f"number {number}" for number in range(200)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "messages": values | st.lists(values, max_size=5),
        "input": values | st.lists(values, max_size=5),
        "tools": st.lists(values, max_size=5),
        "other": values,
    },
)


@given(bodies, st.sampled_from([None, 1]))
@settings(deadline=None)
def test_a_body_read_by_its_items_is_the_body(body: dict[str, Any], indent: int | None) -> None:
    data = json.dumps({**body, "padding": LONG}, indent=indent).encode()
    expected = json_body._decode_patiently(data)
    for _ in range(2):
        assert decode_object(data) == expected


arrays = st.lists(values, max_size=5)


@given(arrays, arrays, arrays, st.sampled_from([None, 1]))
@settings(deadline=None)
def test_an_array_that_begins_as_one_before_is_itself(
    begin: list[Any], rest: list[Any], other: list[Any], indent: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "LEAST", 512)
        patch.setattr(json_body, "_begun", Beginnings(8 * 1024 * 1024))
        for items in (begin, [*begin, *rest], [*begin, *other], [*begin, *rest, *other], begin):
            data = json.dumps({"input": [LONG, *items]}, indent=indent).encode()
            read = decode_object(data)
            assert read == json_body._decode_patiently(data)
            assert isinstance(read["input"], ConversationItems)


def test_a_number_that_goes_on_is_another() -> None:
    for digits in ("1", "12", "12.5", "12.5e1"):
        data = f'{{"input": ["{LONG * 5}", {digits} ]}}'
        assert decode_object(data.encode())["input"][1] == float(digits)
        data = f'{{"input": ["{LONG * 5}", {digits}]}}'
        assert decode_object(data.encode())["input"][1] == float(digits)


@pytest.mark.parametrize("member", ["messages", "tools", "other"])
@pytest.mark.parametrize("inside", ["[%s]", '{"a": %s}'])
def test_what_is_too_deep_is_refused_wherever_it_stands(member: str, inside: str) -> None:
    def body(levels: int) -> bytes:
        deep = "1"
        for _ in range(levels):
            deep = inside % deep
        return f'{{"{member}": [{deep}], "padding": "{LONG}"}}'.encode()

    for _ in range(2):
        assert decode_object(body(MAX_DEPTH - 2))
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            decode_object(body(MAX_DEPTH - 1))


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (b'[{"role": "user", "content": "\xff"}]', "UTF-8"),
        (b'[{"role": "user", "content": tru}]', "not valid JSON"),
        (b'[{"role": 1e999}]', "1e999"),
        (b"[{}", "not valid JSON"),
    ],
)
def test_what_is_wrong_in_an_item_is_said_as_in_any_other_place(part: bytes, says: str) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match=says):
            decode_object(b'{"padding": "%b", "messages": %b}' % (LONG.encode(), part))


def test_what_messages_say_is_kept_once_for_all_that_read_with_one_secret() -> None:
    """As a gateway does before and after other settings."""
    body = json.dumps(messages_body()).encode()
    secrets = (b"secret", b"secret", b"another secret")
    first, then, other = (
        next(message for message in turn.messages if isinstance(message, AssistantMessage))
        for (turn,) in (MessagesDialect(secret).parse(body, {}).turns for secret in secrets)
    )
    assert first is then
    # Whose thoughts they are is another question there.
    assert other is not first
