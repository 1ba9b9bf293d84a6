"""Cookies found in pasted text."""

import json
import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.upstreams.chatkit.cookies import parse_cookies
from gptoss_api.upstreams.chatkit.pastes import decoded

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


POWERSHELL = f"""$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession
$session.UserAgent = "Mozilla/5.0"
$session.Cookies.Add((New-Object System.Net.Cookie("_ga", "GS2.1.s1`$o1", "/", ".gpt-oss.com")))
$session.Cookies.Add((New-Object System.Net.Cookie("user_id", "{USER}", "/", "api.gpt-oss.com")))
$session.Cookies.Add((New-Object System.Net.Cookie("session", "{SESSION}", "/", "api.gpt-oss.com")))
Invoke-WebRequest -UseBasicParsing -Uri "https://api.gpt-oss.com/chatkit" `
-Method "POST" `
-WebSession $session `
-Headers @{{
"method"="POST"
  "accept"="text/event-stream"
}} `
-ContentType "application/json" `
-Body "{{`"op`":`"threads.create`",`"text`":`"session=wrong`"}}\""""
FIREFOX_POWERSHELL = f"""$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession
Invoke-WebRequest -Uri "https://api.gpt-oss.com/chatkit" -Method POST -Headers @{{
"Accept" = "text/event-stream"
"Cookie" = "theme=dark; {PAIRS}"
}}"""
FETCH = f"""fetch("https://api.gpt-oss.com/chatkit", {{
  "headers": {{
    "accept": "text/event-stream",
    "cookie": "theme=\\"dark\\"; {PAIRS}",
    "Referer": "https://gpt-oss.com/"
  }},
  "body": "{{\\"session\\":\\"wrong\\"}}",
  "method": "POST"
}});"""


def har(*requests: dict[str, Any]) -> str:
    response = {"status": 200, "cookies": [{"name": "session", "value": "wrong"}]}
    entries = [{"startedDateTime": "x", "request": request, "response": response} for request in requests]
    return json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=2)


HAR_REQUEST = {
    "method": "POST",
    "url": "https://api.gpt-oss.com/chatkit",
    "headers": [{"name": "accept", "value": "*/*"}, {"name": "cookie", "value": PAIRS}],
    "queryString": [{"name": "session", "value": "wrong"}],
    "cookies": [{"name": "user_id", "value": USER}, {"name": "session", "value": SESSION}],
    "postData": {"mimeType": "application/json", "params": [{"name": "session", "value": "wrong"}]},
}
HAR = har(
    HAR_REQUEST | {"headers": [{"name": "Cookie", "value": "user_id=old; session=old"}], "cookies": []},
    HAR_REQUEST,
    HAR_REQUEST | {"url": "https://huggingface.co/", "headers": [{"name": "cookie", "value": "session=hub"}]},
)
EXPORT = [
    {"domain": ".huggingface.co", "name": "session", "value": "hub", "path": "/"},
    {"domain": "api.gpt-oss.com", "name": "user_id", "value": USER, "path": "/", "expirationDate": 1.5e9},
    {"domain": ".gpt-oss.com", "name": "session", "value": SESSION, "path": "/", "httpOnly": True},
    {"domain": "evil-gpt-oss.com", "name": "session", "value": "wrong", "path": "/"},
]
NETSCAPE = f"""# Netscape HTTP Cookie File
# https://curl.se/docs/http-cookies.html

.huggingface.co\tTRUE\t/\tTRUE\t1790000000\tsession\thub
#HttpOnly_api.gpt-oss.com\tFALSE\t/\tTRUE\t1790000000\tuser_id\t{USER}
#HttpOnly_api.gpt-oss.com\tFALSE\t/\tTRUE\t0\tsession\t{SESSION}
gpt-oss.com\tFALSE\t/\tFALSE\t1790000000\ttheme\tdark
"""
ROWS = f"""_ga\tGA1.1.5\t.gpt-oss.com\t/\t2026-11-01T00:00:00.000Z\t20\t\t\t\t\t\tMedium
user_id\t{USER}\tapi.gpt-oss.com\t/\t2026-11-01T00:00:00.000Z\t43\t✓\t✓\tLax\t\t\tMedium
session\t{SESSION}\tapi.gpt-oss.com\t/\tSession\t300\t✓\t✓\tLax\t\t\tMedium
session\thub\thuggingface.co\t/\tSession\t300\t✓\t✓\tLax\t\t\tMedium
"""
FIREFOX_STORAGE = f"""session:"{SESSION}"
Created:"Tue, 04 Aug 2026 10:00:00 GMT"
Domain:"api.gpt-oss.com"
HttpOnly:true
Path:"/"
Size:300"""

FIREFOX_FETCH = f"""await fetch("https://api.gpt-oss.com/chatkit", {{
    "credentials": "include",
    "headers": {{
        "User-Agent": "Mozilla/5.0",
        "Cookie": "{PAIRS}"
    }},
    "body": "{{}}",
    "method": "POST",
    "mode": "cors"
}});"""
NODE_FETCH = f"""fetch('https://api.gpt-oss.com/chatkit', {{
  method: 'POST',
  headers: {{ accept: 'text/event-stream', cookie: 'theme=\\x64ark; {PAIRS}' }},
  body: `session: 'it\\'s wrong'`,
}})"""
ELSEWHERE_FETCH = FETCH.replace("//api.gpt-oss.com", "//cdn.example.com").replace(SESSION, "wrong")
ELSEWHERE_POWERSHELL = FIREFOX_POWERSHELL.replace("//api.gpt-oss.com", "//cdn.example.com").replace(
    SESSION, "wrong"
)
OBJECT = f"""{{
    'user_id': '{USER}',
    'session': '{SESSION}',
    'secure': True,
}}"""
HTTP2_HEADERS = f""":authority: api.gpt-oss.com
:method: POST
:path: /chatkit
accept: text/event-stream
cookie: _ga=GA1.1.5; {PAIRS}
sec-ch-ua: "Google Chrome";v="137", "Chromium";v="137"
"""
CHROME_PANEL = f"""Request URL
https://api.gpt-oss.com/chatkit
Request Method
POST
set-cookie
session=old; Path=/; HttpOnly
:authority
api.gpt-oss.com
cookie
_ga=GA1.1.5; {PAIRS}
priority
u=1, i
sec-ch-ua
"Google Chrome";v="137", "Chromium";v="137", "Not/A)Brand";v="24"
"""
SAFARI = f"""Summary
URL: https://api.gpt-oss.com/chatkit
Status: 200

Request
:authority: api.gpt-oss.com
Accept: text/event-stream
Cookie: {PAIRS}

Response
Set-Cookie: session=wrong; Path=/"""
ATTRIBUTES = (
    "; Domain=.gpt-oss.com; Path=/; Expires=Sat, 29 Aug 2026 10:00:00 GMT; Max-Age=1209600; HttpOnly; Secure"
)
ANSWER = f"""HTTP/2 200
content-type: text/event-stream
set-cookie: user_id={USER}{ATTRIBUTES}
set-cookie: theme=dark; Path=/
set-cookie: session={SESSION}{ATTRIBUTES}; SameSite=Lax
vary: Cookie
"""
PYTHON = f"""import requests

cookies = {{
    'user_id': '{USER}',
    'session': '{SESSION}',
}}

headers = {{
    'accept': 'text/event-stream',
    # 'cookie': 'user_id=wrong; session=wrong',
}}

response = requests.post('https://api.gpt-oss.com/chatkit', cookies=cookies, headers=headers)
"""
JAR = (
    f"<RequestsCookieJar[<Cookie user_id={USER} for api.gpt-oss.com/>, "
    f"<Cookie session={SESSION} for .gpt-oss.com/>, <Cookie session=hub for huggingface.co/>]>"
)
JAR_IN_FULL = (
    f"<RequestsCookieJar[Cookie(version=0, name='user_id', value='{USER}', port=None, "
    f"domain='api.gpt-oss.com', path='/', rest={{'HttpOnly': None}}), "
    f"Cookie(version=0, name='session', value='{SESSION}', port=None, domain='.gpt-oss.com', path='/')]>"
)
JSON_HEADERS = {"headers": [{"name": "Accept", "value": "*/*"}, {"name": "Cookie", "value": PAIRS}]}


def wrapped(text: str, width: int, indent: str = "") -> str:
    return f"\n{indent}".join(text[start : start + width] for start in range(0, len(text), width))


def beginning(text: str) -> str:
    """What names a form in the list of tests."""
    return " ".join(text.replace(USER, "…").replace(SESSION, "…").split())[:60]


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
        f"'{PAIRS}'",
        f'"{PAIRS}"',
        f"`{PAIRS}`",
        f"‘{PAIRS}’",
        f"“{PAIRS}”",
        f"„{PAIRS}“",
        f"«{PAIRS}»",
        f"\"'{PAIRS}'\"",
        f"'{PAIRS}';",
        f"user_id='{USER}'; session=“{SESSION}”",
        f"Cookie: '{PAIRS}'",
        f"'Cookie: {PAIRS}'",
        f"GPTOSS_COOKIE='{PAIRS}'",
        f"GPTOSS_COOKIE='{PAIRS}' make run",
        f"GPTOSS_COOKIE=\"{PAIRS}\" make run ARGS='--port 9000'",
        f"GPTOSS_UPSTREAM=gpt-oss.com GPTOSS_COOKIE='{PAIRS}' gptoss-api serve",
        f"$ GPTOSS_COOKIE='{PAIRS}' make run\n",
        f"export GPTOSS_COOKIE={PAIRS}",
        f"export GPTOSS_COOKIE='{PAIRS}'\n",
        f"export GPTOSS_COOKIE=‘{PAIRS}’",
        f"  export GPTOSS_COOKIE=“{PAIRS}” ",
        f"GPTOSS_COOKIE=$'{PAIRS}' make run",
        f"GPTOSS_COOKIE=user_id={USER};session={SESSION}",
        f"set GPTOSS_COOKIE={PAIRS}",
        f'set "GPTOSS_COOKIE={PAIRS}"',
        f'setx GPTOSS_COOKIE "{PAIRS}"',
        f'$env:GPTOSS_COOKIE = "{PAIRS}"',
        f"PS C:\\Users\\me> $env:GPTOSS_COOKIE='{PAIRS}'",
        f"set -gx GPTOSS_COOKIE '{PAIRS}'",
        f"docker run -e GPTOSS_COOKIE='{PAIRS}' gptoss",
        f'GPTOSS_COOKIE: "{PAIRS}"',
        f'"GPTOSS_COOKIE": "{PAIRS}",',
        f"GPTOSS_COOKIE=\"'{PAIRS}'\"",
        f"GPTOSS_COOKIE='Cookie: {PAIRS}'",
        f'cookie = "{PAIRS}"',
        f'"cookie": "{PAIRS}",',
        f"\ufeff{PAIRS}",
        f"\ufeffGPTOSS_COOKIE='{PAIRS}'",
        f"\u200b{PAIRS}\u00a0\n",
        f"user_id={USER};\u00a0session={SESSION}",
        f"\x1b[200~{PAIRS}\x1b[201~\n",
        f"user_id={USER};\nsession={SESSION}",
        f"_ga=1\nuser_id={USER}\ntheme=dark\nsession={SESSION}\nother=1",
        f"user_id={USER}\r\nsession={SESSION}\r\n",
        *(wrapped(PAIRS, width) for width in (9, 20, 37, 47, 48, 52, 53, 60, 76, 80)),
        *(wrapped(f"_ga=GS2.1.s1$o1; {PAIRS}; theme=dark", width, "  ") for width in (40, 64, 80)),
        *(wrapped(f"Cookie: {PAIRS}", width) for width in (20, 40, 76)),
        wrapped(f"GPTOSS_COOKIE='{PAIRS}' make run", 60),
        RAW_HEADERS.replace(SESSION, wrapped(SESSION, 30)),
        DEVTOOLS_HEADERS.replace(SESSION, wrapped(SESSION, 30)),
        BASH.replace(SESSION, wrapped(SESSION, 30)),
        FETCH.replace(SESSION, wrapped(SESSION, 30)),
        f'POST /chatkit HTTP/1.1\r\nCookie: {PAIRS}\r\nHost: api.gpt-oss.com\r\n\r\n{{"session": "wrong"}}',
        f"cookie: user_id={USER}\ncookie: session={SESSION}",
        f"cookie\n{PAIRS}\norigin\nhttps://gpt-oss.com\nsec-ch-ua-mobile\n?0",
        f":authority\napi.gpt-oss.com\ncookie\n{PAIRS}",
        f"user_id\n{USER}\nsession\n{SESSION}",
        f"user_id: {USER}\nsession: {SESSION}",
        f"accept\t*/*\ncookie\t{PAIRS}\norigin\thttps://gpt-oss.com",
        f"$ {BASH}",
        BASH.replace("curl ", "curl.exe ", 1),
        BASH.replace("'", '"').replace(' $"', " '").replace('"it\\"s', '"its').replace('}}"', "}}'"),
        BASH.replace("curl 'https", "curl \\\n  --compressed --url 'https"),
        BASH.replace("theme=dark'", "theme=dark$'"),
        f"curl 'https://huggingface.co/' -b 'session=hub' ;\n{BASH} ;\ncurl 'https://gpt-oss.com/'",
        f"-b '{PAIRS}' \\",
        f"-H 'cookie: {PAIRS}' \\",
        CMD.replace("\n", "\r\n"),
        POWERSHELL,
        FIREFOX_POWERSHELL,
        FETCH,
        f"await {FETCH}",
        HAR,
        json.dumps(EXPORT),
        json.dumps({"url": "https://gpt-oss.com", "cookies": EXPORT}),
        json.dumps({"cookies": EXPORT, "origins": []}),
        json.dumps([{"name": name, "value": value} for name, value in BOTH.items()]),
        json.dumps([{"name": name, "value": value, "host": ".gpt-oss.com"} for name, value in BOTH.items()]),
        json.dumps(BOTH | {"pasted": "sha256:x"}),
        json.dumps({"Request Cookies": BOTH}),
        json.dumps({"Request Headers (1 kB)": {"headers": [{"name": "Cookie", "value": PAIRS}]}}),
        json.dumps({"Accept": "*/*", "Cookie": PAIRS}),
        NETSCAPE,
        NETSCAPE.replace("\t", "    "),
        NETSCAPE.split("\n\n")[1],
        ROWS,
        f"Name\tValue\tDomain\n{ROWS}",
        f"user_id\t{USER}\nsession\t{SESSION}\ntheme\tdark",
        FIREFOX_FETCH,
        NODE_FETCH,
        f"{ELSEWHERE_FETCH} ;\n{FETCH} ;\n{ELSEWHERE_FETCH}",
        f"fetch('https://gpt-oss.com/app.js');\n{NODE_FETCH}",
        FETCH.replace('"method"', "method"),
        f"{FIREFOX_POWERSHELL};\n{ELSEWHERE_POWERSHELL}",
        f"{ELSEWHERE_POWERSHELL};\n{FIREFOX_POWERSHELL}",
        f"wget --quiet --header='Cookie: {PAIRS}' https://api.gpt-oss.com/chatkit",
        f"http POST https://api.gpt-oss.com/chatkit 'Cookie: {PAIRS}' op=threads.create",
        OBJECT,
        f"cookies = {OBJECT}",
        f"const cookies = {{ user_id: '{USER}', session: `{SESSION}` }};",
        f"headers = {{'Accept': '*/*', 'Cookie': '{PAIRS}'}}",
        f"```\n{BASH}\n```",
        f"```bash\n{BASH}\n```\n",
        f"~~~text\r\n{PAIRS}\r\n~~~",
        "\n".join(f"> {line}" for line in BASH.splitlines()),
        f'Environment="GPTOSS_COOKIE={PAIRS}"',
        f"- GPTOSS_COOKIE={PAIRS}",
        f"# mine\nPORT=9000\nGPTOSS_COOKIE='{PAIRS}'\n",
        f"C:\\Users\\me>{CMD}",
        f"me@host:~$ {BASH}",
        f"PS C:\\> {POWERSHELL}",
        HTTP2_HEADERS,
        CHROME_PANEL,
        SAFARI,
        json.dumps({"requestCookies": [{"name": name, "value": value} for name, value in BOTH.items()]}),
        json.dumps({"POST": {"host": "api.gpt-oss.com"}, "Request Headers (1 kB)": JSON_HEADERS}),
        json.dumps({"cookies": EXPORT, "origins": [{"localStorage": EXPORT}]}),
        f'user_id:"{USER}"\nDomain:"api.gpt-oss.com"\n{FIREFOX_STORAGE}',
        ANSWER,
        ANSWER.replace("\n", "\r\n"),
        ANSWER.replace("set-cookie: session", "Set-Cookie: session=old; Path=/\nSet-Cookie: session"),
        "".join(f"< {line}\n" for line in ANSWER.splitlines()),
        f"> POST /chatkit HTTP/2\n> Host: api.gpt-oss.com\n> Cookie: {PAIRS}\n> \n* sent",
        f"set-cookie: user_id={USER}{ATTRIBUTES}\nsession={SESSION}{ATTRIBUTES}",
        f"set-cookie: a=b; Path=/\nuser_id={USER}{ATTRIBUTES}\nsession={SESSION}{ATTRIBUTES}",
        f"set-cookie:\nuser_id={USER}{ATTRIBUTES}\nset-cookie:\nsession={SESSION}{ATTRIBUTES}",
        f"set-cookie\nuser_id={USER}{ATTRIBUTES}\nset-cookie\nsession={SESSION}{ATTRIBUTES}",
        f"set-cookie\tuser_id={USER}{ATTRIBUTES}\nset-cookie\tsession={SESSION}{ATTRIBUTES}",
        f"Set-Cookie: user_id={USER}{ATTRIBUTES}, session={SESSION}{ATTRIBUTES}",
        json.dumps({"Response Headers (1 kB)": {"headers": [{"name": "Set-Cookie", "value": PAIRS}]}}),
        json.dumps({"set-cookie": [f"user_id={USER}{ATTRIBUTES}", f"session={SESSION}{ATTRIBUTES}"]}),
        f"document.cookie\n'{PAIRS}'",
        f"document.cookie;\n{PAIRS}",
        f"> document.cookie\n< 'theme=dark; {PAIRS}'",
        f'>> document.cookie\n<- "{PAIRS}"',
        f'← "{PAIRS}"',
        f"console.log(document.cookie)\nVM62:1 {PAIRS}",
        f'document.cookie = "{PAIRS}"',
        f"document.cookie = 'user_id={USER}; path=/';\ndocument.cookie = 'session={SESSION}; path=/';",
        f"cookies={OBJECT},",
        f"cookies: dict[str, str] = {OBJECT}",
        f"dict(user_id='{USER}', session='{SESSION}')",
        f"cookies = dict(\n    user_id='{USER}',\n    session='{SESSION}',\n)",
        PYTHON,
        PYTHON.removeprefix("import requests\n\n"),
        BASH.replace("it\\'s", "import requests; requests.get(x, cookies={})"),
        f"requests.post('https://api.gpt-oss.com/chatkit', cookies={OBJECT})",
        JAR,
        JAR.replace("RequestsCookieJar", "Cookies").replace("/>", " />"),
        JAR_IN_FULL,
    ],
    ids=beginning,
)
def test_every_way_to_paste_them(text: str) -> None:
    assert parse_cookies(text) == BOTH


@pytest.mark.alone
def test_a_long_body_costs_no_time() -> None:
    started = time.process_time()
    assert parse_cookies(BASH.replace("threads.create", "x" * 2_000_000)) == BOTH
    assert parse_cookies(CMD.replace("text/event-stream", "x" * 2_000_000)) == BOTH
    assert time.process_time() - started < 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_any_system_are_read(encoding: str) -> None:
    assert parse_cookies(decoded(PAIRS.encode(encoding))) == BOTH


def test_one_of_them_is_enough() -> None:
    assert parse_cookies(f"user_id={USER}") == {"user_id": USER}
    assert parse_cookies(f"a=b; session={SESSION}") == {"session": SESSION}
    assert parse_cookies(FIREFOX_STORAGE) == {"session": SESSION}


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
        (f"GPTOSS_COOKIE='{PAIRS}", "inside a quoted text"),
        (f"GPTOSS_COOKIE=‘{PAIRS}", "inside its quotes"),
        (f"GPTOSS_COOKIE=user_id={USER}; session={SESSION} make run", "cut or wrapped"),
        (f"GPTOSS_COOKIE='user_id={USER}' session={SESSION}", "after the value"),
        ("GPTOSS_COOKIE='user_id=…; session=…' make run", "cut or wrapped"),
        ("user_id=<id>; session=<session>", "placeholder"),
        (f"'{PAIRS}", "not a cookie"),
        (f"{PAIRS}'", "cut or wrapped"),
        (f"{PAIRS}”", "cut or wrapped"),
        (f"{PAIRS},", "cut or wrapped"),
        (f"user_id={USER}; 'session={SESSION}", "not a cookie"),
        (f"Here it is: {PAIRS}", "not a cookie"),
        (f"Here:\n{PAIRS}", "not a cookie"),
        (f"Here\n{PAIRS}", "not a cookie"),
        (f"{PAIRS}; and that is all", "not a cookie"),
        (f"user_id={USER} session={SESSION}", "cut or wrapped"),
        (f"user_id={USER}, session={SESSION}", "cut or wrapped"),
        (f"user_id={USER}; session={SESSION[:20]}...{SESSION[-9:]}", "cut or wrapped"),
        (f"user_id={USER}; session={SESSION} make run", "cut or wrapped"),
        (f"{PAIRS}\nIs that it?", "cut or wrapped"),
        (f"{USER}\n{SESSION}", "Neither"),
        ("set-cookie: theme=dark; Path=/", "Neither"),
        (f"set-cookie: session={SESSION}; Domain=huggingface.co", "another site"),
        (f"Host: huggingface.co\nset-cookie: session={SESSION}; Path=/", "another site"),
        ("set-cookie: session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly", "to a logout"),
        (f"set-cookie: session={SESSION}; Max-Age=0", "to a logout"),
        ("document.cookie\n''", "HttpOnly"),
        ("> document.cookie\n< 'theme=dark; _ga=GA1.1.5'", "HttpOnly"),
        ("document.cookie = 'theme=dark'", "Neither"),
        (f"document.cookie = 'session={SESSION}", "Neither"),
        (PYTHON.replace("api.gpt-oss.com", "huggingface.co"), "another site"),
        (PYTHON.replace("user_id", "id").replace("session", "s"), "no Cookie header"),
        (JAR.replace("gpt-oss.com", "example.com"), "Neither"),
        (f"cookie\n{PAIRS}\nabc", "Was a value wrapped"),
        (f"cookie\n{wrapped(PAIRS, 60)}", "Was a value wrapped"),
        (f"Host: huggingface.co\nCookie: session={SESSION}", "another site"),
        (f"curl 'https://huggingface.co/' -b 'session={SESSION}'", "another site"),
        (f"curl 'https://gpt-oss.com.example/' -b 'session={SESSION}'", "another site"),
        (f"curl 'https://[gpt-oss.com/' -b 'session={SESSION}'", "another site"),
        (POWERSHELL.replace("//api.gpt-oss.com", "//huggingface.co"), "another site"),
        (POWERSHELL.replace("Net.Cookie(", "Net.Biscuit("), "no Cookie header"),
        (FETCH.replace("//api.gpt-oss.com", "//huggingface.co"), "another site"),
        (FETCH.replace('"cookie"', '"x-cookie"'), "no Cookie header"),
        (FETCH.replace('"method"', '"method'), "like JSON"),
        (OBJECT.replace("',", ","), "like JSON"),
        (ELSEWHERE_FETCH, "another site"),
        (ELSEWHERE_POWERSHELL, "another site"),
        (f"wget --header='Cookie: {PAIRS}' https://huggingface.co/", "another site"),
        (f"curl https://api.gpt-oss.com/chatkit --data 'cookie: {PAIRS}'", "no Cookie header"),
        (har(HAR_REQUEST | {"headers": [], "cookies": []}), "with sensitive data"),
        (HAR[:-40], "like JSON"),
        (har(HAR_REQUEST | {"url": "https://huggingface.co/"}), "HAR file has no cookies of gpt-oss.com"),
        (json.dumps(EXPORT[:1]), "Neither"),
        ("[" * 100_000, "like JSON"),
        ('{"session": 5, "cookies": "x"}', "Neither"),
        ("[1, null, [], {}]", "Neither"),
        (NETSCAPE.replace(SESSION, wrapped(SESSION, 30)), "Was a value wrapped"),
        (NETSCAPE.replace("gpt-oss.com", "example.com"), "Neither"),
        (ROWS.replace(SESSION, wrapped(SESSION, 30)), "Was a value wrapped"),
        (f"user_id\t{USER}\nsession\t{wrapped(SESSION, 30)}", "Was a value wrapped"),
        (ROWS.replace("gpt-oss.com", "example.com"), "Neither"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_cookies(text)
    message = str(caught.value)
    assert USER not in message
    assert SESSION[:20] not in message


BEGINNINGS = (
    "",
    "curl ",
    "cookie: ",
    "cookie\\n",
    "GPTOSS_COOKIE=",
    "{",
    "[",
    'fetch("https://gpt-oss.com", {',
)


@given(
    st.sampled_from(
        (
            *BEGINNINGS,
            "cookies = {",
            "```\n",
            "wget ",
            "http POST ",
            "fetch('https://gpt-oss.com', {",
            "document.cookie = '",
            "document.cookie\n",
            "set-cookie: ",
            "< set-cookie: session=x; ",
            "requests.get('https://gpt-oss.com', cookies={",
            "<Cookies[",
            "$session = System.Net.Cookie(",
            "user_id\t",
            ".gpt-oss.com TRUE / TRUE 0 ",
        )
    ),
    st.text(
        st.sampled_from("curl -bH'\"$\\^\n\t`’“{}[]:,()=; cokie:session=user_id=xGPTOSS_COOKIE="), max_size=60
    ),
)
def test_no_text_fails_otherwise_than_with_a_value_error(beginning: str, tail: str) -> None:
    try:
        found = parse_cookies(beginning + tail)
    except ValueError:
        return
    assert set(found) <= {"user_id", "session"}
    assert all(found.values())


TOKENS = st.text(
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    min_size=1,
    max_size=90,
)


@given(
    user_id=st.uuids(),
    parts=st.lists(st.tuples(TOKENS, st.sampled_from(("", "=", "=="))), min_size=1, max_size=3),
    form=st.sampled_from(
        ("{}", "'{}'", "Cookie: {}", "GPTOSS_COOKIE='{}' make run", "export GPTOSS_COOKIE={}", "-b '{}' \\")
    ),
    places=st.lists(st.integers(0, 400), max_size=5),
    ends=st.sampled_from(("\n", "\r\n", "\n    ", " \n")),
)
def test_where_lines_end_changes_no_value(
    user_id: UUID, parts: list[tuple[str, str]], form: str, places: list[int], ends: str
) -> None:
    session = ".".join(token + padding for token, padding in parts)
    pairs = f"theme=dark; user_id={user_id}; session={session}"
    for place in sorted({place % len(pairs) for place in places}, reverse=True):
        # A line of nothing but a space would end a header.
        if not pairs[:place].endswith(" "):
            pairs = pairs[:place] + ends + pairs[place:]
    assert parse_cookies(form.format(pairs)) == {"user_id": str(user_id), "session": session}
