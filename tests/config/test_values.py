"""Kinds of values: what each understands, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from gptoss_api.config import values
from gptoss_api.config.values import Kind, choice, number, or_off, seconds, size


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (number(0, 65535), "8000", 8000),
        (number(0, 65535), " 0 ", 0),
        (number(0, 65535), 65535, 65535),
        (seconds(0, 3600), "30", 30.0),
        (or_off(seconds(1, 3600)), "30", 30.0),
        (or_off(seconds(1, 3600)), "Off", 0.0),
        (or_off(seconds(1, 3600)), False, 0.0),
        (seconds(0, 3600), "1.5s", 1.5),
        (seconds(0, 3600), "500ms", 0.5),
        (seconds(0, 3600), "2 m", 120.0),
        (seconds(0, 3600), "1h", 3600.0),
        (seconds(0, 3600), 2, 2.0),
        (size(1, 1024**3), "8MiB", 8 * 1024**2),
        (size(1, 1024**3), "512k", 512 * 1024),
        (size(1, 1024**3), "1.5 kb", 1536),
        (size(1, 1024**3), "100B", 100),
        (size(1, 1024**3), 4096, 4096),
        (choice("auto", "gpt-oss.com"), "GPT-OSS.com", "gpt-oss.com"),
        (values.aliases, "a=gpt-oss-20b, b*=gpt-oss:120b", (("a", "gpt-oss-20b"), ("b*", "gpt-oss:120b"))),
        (values.aliases, {"a=b": "gpt-oss-20b"}, (("a=b", "gpt-oss-20b"),)),
        (values.flag, "Yes", True),
        (values.flag, "0", False),
        (values.flag, True, True),
        (values.host, "127.0.0.1", "127.0.0.1"),
        (values.host, "[::1]", "::1"),
        (values.host, "gate.example", "gate.example"),
        (values.http_url, "http://127.0.0.1:9/chatkit", "http://127.0.0.1:9/chatkit"),
        (values.origins, "https://A.example/, https://b.example", ("https://a.example", "https://b.example")),
        (values.origins, ["loopback"], ("loopback",)),
        (values.origins, "*", ("*",)),
        (values.hosts, "gate.example, ::1,", ("gate.example", "::1")),
        (
            values.networks,
            "10.0.0.5, 10.1.0.0/16,fd00::/8,::1 , Private,loopback",
            ("10.0.0.5/32", "10.1.0.0/16", "fd00::/8", "::1/128", "private", "loopback"),
        ),
        (values.networks, ["10.0.0.5", "10.0.0.5/32"], ("10.0.0.5/32",)),
        (values.keys, "one-key, two-key,one-key", ("one-key", "two-key")),
        (values.cookie, "user_id=u; session=s", "user_id=u; session=s"),
        (
            values.cookie,
            "curl 'https://x' \\\n  -H 'cookie: session=s'",
            "curl 'https://x' \\\n  -H 'cookie: session=s'",
        ),
        (values.path, "/somewhere/x", Path("/somewhere/x")),
    ],
)
def test_understood(kind: Kind[Any], raw: object, value: object) -> None:
    assert kind.parse(raw) == value


@pytest.mark.parametrize(
    ("kind", "raws"),
    [
        (number(1, 10), ["", "x", "0", "11", "1.0", "-1", "١", "1e1", True, 2.0, None, [1]]),
        (
            seconds(0.01, 60),
            [
                "",
                "x",
                "0",
                "61",
                "-1",
                "nan",
                "inf",
                "1 d",
                True,
                float("nan"),
                float("inf"),
                10**400,
                "9" * 400,
            ],
        ),
        (size(1024, 2048), ["", "x", "1", "1T", "-1k", "4k", 1, True, 1500.5, "9" * 400, 10**400]),
        (choice("auto", "demo"), ["", "maybe", 1, None]),
        (values.flag, ["", "maybe", 1, None]),
        (
            values.aliases,
            [
                "a",
                "=gpt-oss-20b",
                "a=gpt-oss-20b,a=gpt-oss-120b",
                "a=gpt-9",
                {"a": 1},
                {"": "gpt-oss-20b"},
                1,
                None,
            ],
        ),
        (values.host, ["", "a b", "http://a", "a:80", "256.1.1.1", "1.2.3", "-a", 1]),
        (
            values.http_url,
            [
                "",
                "x",
                "ftp://a",
                "http://",
                "http://u:p@a",
                "http://a?b",
                "http://a#b",
                "http://a b",
                "http://a:0",
            ],
        ),
        (values.origins, ["", "a", "*,https://a", "https://a/b", "https://a:99999", ["https://a", 1]]),
        (values.hosts, ["", "a:80", "*,a", "http://a", "a b", "[::1]:80"]),
        (values.networks, ["*", "gate.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1:80", 1, [1]]),
        (values.keys, ["", " , ", "with space", "ключ", "a\nb", [1]]),
        (values.path, ["", " ", 1, "~nosuchuser/x", "a\0b"]),
        (values.store, ["", 1, "redis://[", "redis://h:99999", "sqlite:///a\0b"]),
    ],
)
def test_refused(kind: Kind[Any], raws: list[object]) -> None:
    for raw in raws:
        with pytest.raises(ValueError):
            kind.parse(raw)


@pytest.mark.parametrize(
    ("count", "shown"), [(8 * 1024**2, "8MiB"), (512 * 1024, "512KiB"), (1500, "1500"), (1024**3, "1GiB")]
)
def test_sizes_are_shown_as_they_are_written(count: int, shown: str) -> None:
    assert values.show_size(count) == shown
    assert size(1, 1024**3).parse(shown) == count
