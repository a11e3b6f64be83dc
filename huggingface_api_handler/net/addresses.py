"""IP addresses: which are public, which are this machine's own, and what a name resolves to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(line.split()[0]) for line in text.strip().splitlines())


#: Special-purpose IPv4 blocks of the IANA registry, and addresses inside clouds that look public.
_CLOSED_V4 = _networks(
    """
    0.0.0.0/8           this network, unspecified
    10.0.0.0/8          private
    100.64.0.0/10       carrier-grade NAT, a cloud's metadata
    127.0.0.0/8         loopback
    168.63.129.16/32    a cloud's metadata
    169.254.0.0/16      link-local, metadata
    172.16.0.0/12       private
    192.0.0.0/24        protocol assignments, a cloud's metadata
    192.0.2.0/24        documentation
    192.31.196.0/24     anycast service
    192.52.193.0/24     anycast service
    192.88.99.0/24      6to4 relays
    192.168.0.0/16      private
    192.175.48.0/24     anycast service
    198.18.0.0/15       benchmarks
    198.51.100.0/24     documentation
    203.0.113.0/24      documentation
    224.0.0.0/4         multicast
    240.0.0.0/4         reserved, broadcast
    """
)
#: Of IPv6 only global unicast is public at all; within it, these are not.
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_CLOSED_V6 = _networks(
    """
    2001::/23           protocol assignments, Teredo, ORCHID
    2001:db8::/32       documentation
    2002::/16           6to4
    2620:4f:8000::/48   anycast service
    3fff::/20           documentation
    """
)
#: IPv4 behind a translator: as public as the IPv4 address inside.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: What no host *name* may resolve to, even if the name is allowed: the owner would have to allow the address itself.
NEVER_BY_NAME = _networks(
    """
    0.0.0.0/8
    168.63.129.16/32
    169.254.0.0/16
    192.0.0.0/24
    100.100.100.200/32
    224.0.0.0/4
    240.0.0.0/4
    ::/128
    fd00:ec2::/32
    fe80::/10
    ff00::/8
    """
)


def is_public(address: str | Address) -> bool:
    """Return whether ``address`` is a public address of the internet.

    An IPv4 address that is mapped or translated (NAT64) into IPv6 counts as that IPv4 address; 6to4, Teredo and other
    tunnels are refused as a whole.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner_v4(ip)
        if inner is None:
            return ip in _GLOBAL_V6 and not in_networks(ip, _CLOSED_V6) and not _is_isatap(ip)
        ip = inner
    return not in_networks(ip, _CLOSED_V4)


def _inner_v4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


def _is_isatap(ip: ipaddress.IPv6Address) -> bool:
    """Return whether the interface part of ``ip`` is ``[02]00:5efe`` and an IPv4 address, a tunnel's end."""
    return (int(ip) >> 32) & 0xFDFFFFFF == 0x00005EFE


def in_networks(ip: Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of ``host`` as the system knows them. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@lru_cache(maxsize=1)
def _binds_anything() -> bool:
    """Return whether the system lets a socket bind to foreign addresses (``ip_nonlocal_bind``)."""
    return _binds("192.0.2.1")  # reserved for documentation


def _binds(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


def is_own(address: str) -> bool:
    """Return whether ``address`` belongs to this machine, even if it is public.

    A request to it would reach what listens there, above all MindsDB, behind any firewall. If the system does not
    tell, no address does.
    """
    return _binds(str(unmapped(address))) and not _binds_anything()


def literal_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def unmapped(address: str) -> Address:
    ip = ipaddress.ip_address(address)
    return (_inner_v4(ip) or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
