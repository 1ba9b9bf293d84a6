"""Tool names as the model sees them: group 13 of docs/design/cases.md."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.emulation.prompt.names import NameMap


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("get_weather", "get_weather"),
        ("Get-Weather2", "Get-Weather2"),
        ("python", "client_python"),
        ("Bash", "client_Bash"),
        ("browser.search", "client_browser_search"),
        ("container.exec", "client_container_exec"),
        ("final", "client_final"),
        ("functions", "client_functions"),
        ("a b", "client_a_b"),
        ("mcp/server tool", "client_mcp_server_tool"),
        ("", "client_tool"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "client_" + "x" * 57),
        ("a<|channel|>b", "client_a_channel_b"),
        ('q"><tool_call', "client_q_tool_call"),
        ("天気", "client__"),
        ("météo/ville", "client_meteo_ville"),
        ("mcp__" + "a" * 60 + "_read_file", "client_mcp__" + "a" * 42 + "_read_file"),
    ],
)
def test_names_that_confuse_are_aliased(name: str, shown: str) -> None:
    names = NameMap.of([name])
    assert names.shown(name) == shown
    assert names.client(shown) == name


def test_names_that_become_equal_are_numbered_in_order() -> None:
    names = NameMap.of(["a b", "a.b", "client_a_b", "a/b"])
    assert [names.shown(n) for n in ("client_a_b", "a b", "a.b", "a/b")] == [
        "client_a_b",
        "client_a_b_2",
        "client_a_b_3",
        "client_a_b_4",
    ]


def test_the_model_may_use_the_original_name() -> None:
    names = NameMap.of(["python", "read"])
    assert names.client("python") == "python"
    assert names.client("read") == "read"
    assert names.client("write") is None


def test_later_names_never_take_a_shown_name() -> None:
    names = NameMap.of(["bash"])
    more = names.extended(["client_bash", "bash"])
    assert more.shown("bash") == "client_bash"
    assert more.shown("client_bash") == "client_bash_2"


@given(st.lists(st.text(max_size=70) | st.sampled_from(["bash", "client_bash", "a b", "a_b", "client_a_b"])))
def test_the_map_is_one_to_one_and_always_valid(names: list[str]) -> None:
    made = NameMap.of(names)
    shown = [made.shown(name) for name in dict.fromkeys(names)]
    assert len(set(shown)) == len(shown)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each) for each in shown)
    assert [made.client(each) for each in shown] == list(dict.fromkeys(names))
