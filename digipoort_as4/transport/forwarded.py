"""By which scheme and host a client reached us, also when proxies stand between. Judges no request and knows no path.

Believes what a proxy says only when the operator trusts its IP address."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Header = Callable[[str], Sequence[str]]  # The values of a header by its name, in their order; none when it is absent

_HOST: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_QUOTED: Final = r'"(?:\\.|[^"\\])*(?:"|\\?\Z)'  # without its end it goes to that of the text, in linear time
_ELEMENT: Final = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PAIR: Final = re.compile(rf'\b([A-Za-z]+)=({_QUOTED}|[^;,"\s]+)')
_PORTS: Final = {"http": "80", "https": "443"}


def origin(scheme: str, peer: str, header: Header, trusted: Sequence[Network]) -> str:
    """E.g. https://localhost:8443; empty when the request names no host that could be one.
    `scheme` is the connection's, `peer` the IP address at its other end; the Forwarded, or else X-Forwarded-Proto,
    -Host and -Port of `trusted` proxies count.
    Source: RFC 7239, from the nearest outwards until one is not trusted."""
    host = "".join(header("Host")[:1])
    for said in _hops(header) if trusted and _within(peer, trusted) else ():
        scheme, host = said.get("proto", scheme).lower(), said.get("host", host)
        if not _within(said.get("for", ""), trusted):
            break
    return f"{scheme}://{host}" if scheme in _PORTS and _HOST.fullmatch(host) else ""


def _hops(header: Header) -> Iterator[Mapping[str, str]]:
    """What each proxy says in the words of RFC 7239, the nearest first; of X-Forwarded-* only the nearest is known."""
    if forwarded := ",".join(header("Forwarded")):
        for element in reversed(_ELEMENT.findall(forwarded)):
            yield {name.lower(): _plain(value) for name, value in _PAIR.findall(element)}
        return
    each = (",".join(header(f"X-Forwarded-{name}")) for name in ("Proto", "Host", "Port"))
    proto, host, port = (values.rpartition(",")[2].strip() for values in each)
    if host and port and not re.search(r":\d+$", host) and port != _PORTS.get(proto.lower()):
        host = f"{host}:{port}"
    yield {key: value for key, value in (("proto", proto), ("host", host)) if value}


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:].removesuffix('"')) if value.startswith('"') else value


def _within(peer: str, trusted: Sequence[Network]) -> bool:
    """True for an IP address of one of the networks; its port, brackets or an obfuscated name do not matter."""
    bare = peer[1:].partition("]")[0] if peer.startswith("[") else peer
    bare = bare.partition(":")[0] if bare.count(":") == 1 else bare
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in trusted)
