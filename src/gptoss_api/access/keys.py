"""The gateway's own API keys."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest

from ..core.errors import InvalidApiKey

MISSING = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY) or in an x-api-key header."
)
INCORRECT = "Incorrect API key provided. Use one of the keys this gateway was started with (GPTOSS_API_KEYS)."


class ApiKeys:
    """The keys that open the gateway; without any, the gateway is open to whoever reaches it.

    Only digests are kept. Every presented key is compared with every digest in constant time, so
    that the time of an answer tells nothing about a key.
    """

    __slots__ = ("_callers",)

    def __init__(self, keys: Iterable[str]) -> None:
        digests = {sha256(key.encode()).digest() for key in keys}
        self._callers = tuple((digest, digest.hex()[:12]) for digest in digests)

    @property
    def required(self) -> bool:
        return bool(self._callers)

    def authenticate(self, headers: Mapping[str, str]) -> str:
        """The caller's fingerprint (12 hexadecimal digits), or ``""`` where no keys are set.

        ``headers`` have lower-case names. A key counts in ``Authorization: Bearer`` or in
        ``x-api-key``; one right key is enough where a client sends both.

        Raises:
            InvalidApiKey: for no key, or a wrong one. The message never repeats the key.
        """
        if not self._callers:
            return ""
        presented = False
        caller = ""
        for key in (_bearer(headers.get("authorization", "")), headers.get("x-api-key", "").strip()):
            if key:
                presented = True
                caller = caller or self._caller(key)
        if not presented:
            raise InvalidApiKey(MISSING)
        if not caller:
            raise InvalidApiKey(INCORRECT)
        return caller

    def opened_by(self, headers: Mapping[str, str]) -> bool:
        """Whether :meth:`authenticate` takes these headers."""
        try:
            self.authenticate(headers)
        except InvalidApiKey:
            return False
        return True

    def _caller(self, key: str) -> str:
        digest = sha256(key.encode(errors="surrogatepass")).digest()
        found = ""
        for known, fingerprint in self._callers:
            if compare_digest(known, digest):
                found = fingerprint
        return found


def _bearer(authorization: str) -> str:
    scheme, _, key = authorization.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
