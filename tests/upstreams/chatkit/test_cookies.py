"""Cookies found in pasted text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.upstreams.chatkit.cookies import parse_cookies

USER = "3f0c7d8e-0000-4000-8000-1234567890ab"
SESSION = "eyJoZl9hY2Nlc3NfdG9rZW4iOiAiaGZfeCJ9.aQ1b2C.sig-NAT_ure=="
BOTH = {"user_id": USER, "session": SESSION}
PAIRS = f"user_id={USER}; session={SESSION}"

BASH = f"""curl 'https://api.gpt-oss.com/chatkit' \\
  -H 'accept: text/event-stream' \\
  -H 'content-type: application/json' \\
  -b '_ga=GA1.1.5; {PAIRS}; theme=dark' \\
  -H 'x-selected-model: gpt-oss-120b' \\
  --data-raw $'{{"op":"threads.create","params":{{"text":"it\\'s user_id=wrong; session=wrong"}}}}'"""
CMD = f"""curl ^"https://api.gpt-oss.com/chatkit^" ^
  -H ^"accept: text/event-stream^" ^
  -H ^"cookie: _ga=GA1.1.5; {PAIRS.replace("=", "^=")}^" ^
  --data-raw ^"^{{^\\^"op^\\^":^\\^"session=wrong^\\^"^}}^" """
CMD_OLDER = f"""curl "https://api.gpt-oss.com/chatkit" ^\r
  -H "cookie: {PAIRS}" ^\r
  --data-raw "{{\\"op\\":\\"x\\"}}" --compressed"""
RAW_HEADERS = f"""POST /chatkit HTTP/2
Host: api.gpt-oss.com
Accept: text/event-stream
Cookie: {PAIRS}
X-Note: session=wrong"""
DEVTOOLS_HEADERS = f""":authority:
api.gpt-oss.com
cookie:
{PAIRS}
origin:
https://gpt-oss.com"""


@pytest.mark.parametrize(
    "text",
    [
        PAIRS,
        f"  {PAIRS};\n",
        f"session={SESSION};user_id={USER}",
        f"user_id={USER}\nsession={SESSION}\n",
        f"_ga=1; {PAIRS}; other=session=wrong",
        f'user_id="{USER}"; session="{SESSION}"',
        f"Cookie: {PAIRS}",
        f"cookie:{PAIRS}",
        f"user_id={USER}; Path=/; HttpOnly\nsession={SESSION}; Path=/; SameSite=lax",
        RAW_HEADERS,
        DEVTOOLS_HEADERS,
        BASH,
        BASH.replace("\\\n", "\\\r\n"),
        BASH.replace("-b '", "-b'"),
        BASH.replace("-b '", "--cookie '"),
        BASH.replace("-b '", "--cookie='"),
        BASH.replace("-b '", "-H 'Cookie: "),
        BASH.replace("-b '", "-H $'cookie: ").replace("; theme", "\\u003b theme"),
        BASH.replace("-b '", '--header "cookie: ').replace("theme=dark'", 'theme=dark"'),
        CMD,
        CMD_OLDER,
        f"curl https://api.gpt-oss.com/chatkit -b user_id={USER}\\;session={SESSION}",
    ],
)
def test_every_way_to_paste_them(text: str) -> None:
    assert parse_cookies(text) == BOTH


def test_one_of_them_is_enough() -> None:
    assert parse_cookies(f"user_id={USER}") == {"user_id": USER}
    assert parse_cookies(f"a=b; session={SESSION}") == {"session": SESSION}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (SESSION, "Neither"),
        ("a=b; c=d", "Neither"),
        (f"users_id={USER}", "Neither"),
        ("user_id=; session=", "user_id is empty"),
        (f"user_id={USER}; session=", "session is empty"),
        (f"session={SESSION[:20]} {SESSION[20:]}", "cut or wrapped"),
        (f"session={SESSION}\x07", "cut or wrapped"),
        (f"user_id=\u2026; session={SESSION}", "cut or wrapped"),
        ("user_id=...; session=...", "placeholder"),
        ("curl https://api.gpt-oss.com/chatkit -H 'accept: */*'", "no Cookie header"),
        (f"curl https://api.gpt-oss.com/chatkit -b '{PAIRS}", "inside a quoted text"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_cookies(text)
    message = str(caught.value)
    assert USER not in message
    assert SESSION[:20] not in message


@given(st.text(st.sampled_from("curl -bH'\"$\\^\n;= cokie:session=user_id=x"), max_size=60))
def test_no_text_fails_otherwise_than_with_a_value_error(tail: str) -> None:
    for text in (tail, f"curl {tail}", f"cookie: {tail}"):
        try:
            found = parse_cookies(text)
        except ValueError:
            continue
        assert set(found) <= {"user_id", "session"}
        assert all(found.values())
