"""How a caller stands with its limits, in the headers of Anthropic's API."""

import time
from datetime import UTC, datetime

from ...core.limits import Allowances
from .. import limit_headers as openai


def limit_headers(allowances: Allowances) -> list[tuple[bytes, bytes]]:
    """``anthropic-ratelimit-requests-limit`` and its relatives, and OpenAI's: other clients read those."""
    headers = openai.limit_headers(allowances)
    for name, allowance in ((b"requests", allowances.requests), (b"tokens", allowances.tokens)):
        if allowance is None:
            continue
        prefix = b"anthropic-ratelimit-" + name
        headers += [
            (prefix + b"-limit", b"%d" % allowance.limit),
            (prefix + b"-remaining", b"%d" % allowance.remaining),
        ]
        if allowance.reset is not None:
            moment = datetime.fromtimestamp(time.time() + allowance.reset, UTC)
            headers.append((prefix + b"-reset", moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()))
    return headers
