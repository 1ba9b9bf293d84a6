"""Which host names stay on this machine."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


# Asked for every request, of few different hosts.
@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether ``host`` is ``localhost``, in 127.0.0.0/8, or ``::1``; IPv6 with or without brackets.

    No name is ever resolved: a name that today points to 127.0.0.1 may point elsewhere tomorrow.
    """
    name = host.lower()
    if name == "localhost":
        return True
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
