"""`backend.addresses`: which addresses are public, and which hosts are trusted."""

from __future__ import annotations

import time
import tracemalloc

import httpx
import pytest

from backend.addresses import Exchange, TrustedHosts, is_public, origin
from backend.errors import SettingsError


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("1.1.1.1", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("100.100.100.200", False),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("168.63.129.16", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("172.32.0.1", True),
        ("192.0.0.192", False),
        ("192.0.2.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::8.8.8.8", False),
        ("100::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::", False),
        ("2002:5db8:d822::", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::5db8:d822", False),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", False),  # Teredo, of the client 10.0.0.1
        ("2001:0:4136:e378:8000:63bf:a247:27dd", True),  # of the client 93.184.216.34
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("entry", "trusted", "other"),
    [
        ("files.internal", "http://files.internal/a", "http://files.internal.evil.example/a"),
        ("files.internal", "https://files.internal:9000/a", "http://evil.example/files.internal"),
        ("Files.Internal.", "http://FILES.internal./a", "http://files.internal@evil.example/"),
        ("files.internal:9000", "http://files.internal:9000/", "http://files.internal/"),
        ("files.internal:80", "http://files.internal/", "https://files.internal/"),
        ("files.internal:443", "https://files.internal/", "http://files.internal/"),
        ("10.0.0.7", "http://10.0.0.7:1/", "http://10.0.0.8:1/"),
        ("10.0.0.7", "http://10.0.0.7/", "http://167772167/"),
        ("::1", "http://[::1]:8080/", "http://[::2]:8080/"),
        ("[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080/", "http://[::1]:8081/"),
        ("b\u00fccher.example", "http://xn--bcher-kva.example/", "http://bucher.example/"),
    ],
)
def test_trusted_hosts(entry: str, trusted: str, other: str) -> None:
    hosts = TrustedHosts(["unrelated.example", entry])
    assert httpx.URL(trusted) in hosts
    assert httpx.URL(other) not in hosts


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "http://files.internal",
        "files.internal/a",
        "user@files.internal",
        "a:99999",
        "a:b",
        "[::1",
        "a b",
        "*",
        "a,b",
    ],
)
def test_what_is_no_host(entry: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TrustedHosts([entry])
    assert str(caught.value) == (
        f"VLM_JUDGE_IMAGE_HOSTS names {entry!r}, which is no host; write hosts as in files.internal,10.0.0.7:9000"
    )


def test_origins_always_name_the_port() -> None:
    assert origin(httpx.URL("http://user:pass@Host.example/a?b")) == "http://host.example:80"
    assert origin(httpx.URL("https://host.example:8443/")) == "https://host.example:8443"


def test_an_answer_without_an_end_of_its_head_takes_little_time_and_memory() -> None:
    exchange, piece = Exchange(0.0), b"x" * 1024
    tracemalloc.start()
    began_s = time.process_time()
    for _ in range(50 * 1024):  # 50 MiB
        exchange.note(piece)
    spent_s, (_, most_bytes) = time.process_time() - began_s, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not exchange.is_whole(50 * 2**20)
    assert most_bytes < 2**20
    assert spent_s < 5.0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_is_whole_when_exactly_its_head_and_body_came_however_it_is_cut(size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nab\r\n\r\ncd"
    exchange = Exchange(0.0)
    for begin in range(0, len(answer), size):
        assert not exchange.is_whole(8)
        exchange.note(answer[begin : begin + size])
    assert (exchange.is_whole(8), exchange.is_whole(7), exchange.is_whole(2)) == (True, False, False)
    exchange.note(b"H")
    assert not exchange.is_whole(8)
