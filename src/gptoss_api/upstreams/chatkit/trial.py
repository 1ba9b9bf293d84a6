"""Finds out whether a login is good before anything relies on it.

The site's protocol has no request that tells without a turn (docs/design/gpt-oss-com.md, "Requests"), so
:func:`ask_owner` asks Hugging Face, which made the login, and costs none; :func:`ask_site` sends one short
message.
"""

from enum import Enum
from typing import Any, Final, Literal

import msgspec

from ...core.errors import GatewayError, InsufficientQuota, UpstreamForbidden, UpstreamLoginRequired
from ...core.events import Events
from ...core.servers import SITE
from ...core.turn import Turn, UserMessage
from ...loop import Flow
from ..admission import Admission
from ..http import HttpClient
from .credentials import Credentials
from .requests import ChatKitUpstream
from .session import read_session

# OpenID Connect's endpoint of Hugging Face (https://huggingface.co/docs/hub/oauth).
USERINFO_URL: Final = "https://huggingface.co/oauth/userinfo"
# Seconds for the answer of Hugging Face, and for that of the site.
OWNER_TIME: Final = 10.0
SITE_TIME: Final = 90.0
_LARGEST_ANSWER: Final = 64 * 1024
_LONGEST_NAME: Final = 64

MESSAGE: Final = "Say OK."
_TURN: Final = Turn(
    model="gpt-oss-20b", messages=(UserMessage(MESSAGE),), effort="low", show_reasoning=False, new_thread=True
)


class Verdict(Enum):
    GOOD = "good"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Trial(msgspec.Struct, frozen=True):
    """What came of trying a login, in words, and the name of its owner, where it was told.

    ``expired`` says that Hugging Face knows its token no longer.
    """

    verdict: Verdict
    detail: str
    owner: str = ""
    expired: bool = False


class _FirstWord:
    """Takes an answer up to its first batch: the site answers nobody who is not logged in."""

    def __init__(self) -> None:
        self.flow = Flow()

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        return False


async def ask_owner(http: HttpClient, credentials: Credentials, url: str) -> Trial:
    """Asks Hugging Face, at ``url``, whose token the login holds; never says that a login is refused.

    A token that is void there is a bad sign, but only the site decides.
    """
    token = read_session(credentials.session).token
    if not token:
        return Trial(Verdict.UNKNOWN, "The login does not tell whose it is.")
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    try:
        async with http.request("GET", url, headers=headers, idle_timeout=OWNER_TIME) as response:
            body = await response.read_all(_LARGEST_ANSWER)
            status = response.status
    except (GatewayError, ValueError):
        return Trial(Verdict.UNKNOWN, "Hugging Face could not be asked whose login it is.")
    if status in (401, 403):
        return Trial(Verdict.UNKNOWN, "Hugging Face says that the login has expired.", expired=True)
    owner = _name_in(body) if status == 200 else ""
    if not owner:
        return Trial(Verdict.UNKNOWN, "Hugging Face did not tell whose login it is.")
    return Trial(Verdict.GOOD, f"Hugging Face knows it as the login of {owner}.", owner)


async def ask_site(
    http: HttpClient,
    credentials: Credentials,
    *,
    url: str,
    dialect: Literal["auto", "old", "new"],
) -> Trial:
    """Sends one short message with the login, which takes over what the site refreshes."""
    upstream = ChatKitUpstream(
        http,
        Admission(1, 0),
        credentials,
        url=url,
        dialect=dialect,
        idle_timeout=SITE_TIME,
        total_timeout=SITE_TIME,
    )
    try:
        await upstream.answer(_TURN, _FirstWord())
    except (UpstreamLoginRequired, UpstreamForbidden):
        return Trial(Verdict.REFUSED, f"{SITE} does not take this login: it has expired, or is not complete.")
    except InsufficientQuota as failure:
        return Trial(Verdict.GOOD, f"{SITE} takes the login, but: {failure.message}")
    except GatewayError as failure:
        return Trial(Verdict.UNKNOWN, failure.message)
    finally:
        await upstream.close()
    return Trial(Verdict.GOOD, f"{SITE} answered: the login is good.")


def _name_in(body: bytes) -> str:
    """The name that a person chose at Hugging Face, fit for a terminal."""
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    name = told.get("preferred_username") if isinstance(told, dict) else None
    return name[:_LONGEST_NAME] if isinstance(name, str) and name.isprintable() else ""
