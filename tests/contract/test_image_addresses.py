"""Requests that tasks could forge: private addresses in every spelling, names that change, redirects, and TLS."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import SecretStr

from backend import addresses
from backend.addresses import is_public
from backend.errors import ImageError
from backend.images import ImageLoader
from backend.settings import Settings
from tests.contract.picture_server import Names, PictureServer, loader, serving
from tests.made_pictures import RED, encoded

PNG = encoded(Image.new("RGB", (6, 4), RED))
TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def inside() -> Iterator[PictureServer]:
    """A server on a private address, with something that no task may see."""
    with serving() as running:
        running.body("/secret", PNG)
        yield running


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureServer]:
    """A server whose address, 127.0.0.2, counts as public in this test: there is no internet on this machine."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.2" or is_public(address))
    with serving("127.0.0.2") as running:
        running.body("/open", PNG)
        yield running


def refusal(address: str, **changes: object) -> str:
    with pytest.raises(ImageError) as caught:
        loader(**{"image_hosts": (), **changes}).read(address)
    return str(caught.value)


def private(host: str, address: str) -> str:
    place = "where it lies" if host == address else host
    return (
        f"{place} is the private address {address}, which tasks may not reach; if images are meant to come from "
        f"there, add {host} to VLM_JUDGE_IMAGE_HOSTS"
    )


class TestSpellings:
    @pytest.mark.parametrize(
        ("host", "shown", "address"),
        [
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("127.1", "127.1", "127.0.0.1"),
            ("2130706433", "2130706433", "127.0.0.1"),
            ("0x7f000001", "0x7f000001", "127.0.0.1"),
            ("0x7f.0.0.1", "0x7f.0.0.1", "127.0.0.1"),
            ("017700000001", "017700000001", "127.0.0.1"),
            ("0", "0", "0.0.0.0"),
            ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
            ("[::1]", "::1", "::1"),
            ("[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1", "::1"),
            ("[::]", "::", "::"),
            ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
            ("[::ffff:7f00:1]", "::ffff:7f00:1", "::ffff:127.0.0.1"),
            ("[::127.0.0.1]", "::127.0.0.1", "::127.0.0.1"),
            ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1", "64:ff9b::7f00:1"),
            ("[fe80::1]", "fe80::1", "fe80::1"),
            ("[fd00::1]", "fd00::1", "fd00::1"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
            ("172.16.0.1", "172.16.0.1", "172.16.0.1"),
            ("192.168.0.1", "192.168.0.1", "192.168.0.1"),
            ("100.64.0.1", "100.64.0.1", "100.64.0.1"),
        ],
    )
    def test_a_private_address_however_written(self, host: str, shown: str, address: str) -> None:
        assert refusal(f"http://{host}:1/x").endswith(private(shown, address))

    @pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST", "ip6-localhost"])
    def test_this_machine_by_name(self, host: str, inside: PictureServer, monkeypatch: pytest.MonkeyPatch) -> None:
        Names({"ip6-localhost": [("::1",)], "localhost.": [("127.0.0.1",)]}).install(monkeypatch)
        said = refusal(f"http://{host}:{inside.port}/secret")
        assert f"{host.lower()} is the private address " in said
        assert inside.seen == []

    @pytest.mark.parametrize(
        "address",
        [
            "http://127\u30020\u30020\u30021:{port}/secret",
            "http://127\uff0e0\uff0e0\uff0e1:{port}/secret",
            "http://\u2460\u2461\u2466.0.0.1:{port}/secret",
            "http://\uff11\uff12\uff17.0.0.1:{port}/secret",
            "http://0177.0.0.1:{port}/secret",
            "http://example.com@127.0.0.1:{port}/secret",
            "http://example.com:80@127.0.0.1:{port}/secret",
            "http://example.com%40127.0.0.1:{port}/secret",
            "http://example.com\\@127.0.0.1:{port}/secret",
            "http:\\\\127.0.0.1:{port}/secret",
            "http:/127.0.0.1:{port}/secret",
            "http:127.0.0.1:{port}/secret",
            "http:///127.0.0.1:{port}/secret",
            "http://127.0.0.1%2f@example.invalid:{port}/secret",
            "http://127.0.0.1%00.example.invalid:{port}/secret",
            "http://127.0.0.1\t:{port}/secret",
            "http://127.0.0.1:{port}\r\nX: y/secret",
            " http://127.0.0.1:{port}/secret",
            "HTTP://127.0.0.1:{port}/secret",
            "http://[::ffff:127.0.0.1%25lo]:{port}/secret",
            "http://[127.0.0.1]:{port}/secret",
            "//127.0.0.1:{port}/secret",
            "url:http://127.0.0.1:{port}/secret",
            "gopher://127.0.0.1:{port}/secret",
            "file:///etc/passwd",
        ],
    )
    def test_tricks_reach_nothing(self, address: str, inside: PictureServer) -> None:
        refusal(address.format(port=inside.port))
        refusal(address.format(port=inside.port), label_studio_url="http://127.0.0.3:8080")
        assert inside.seen == []

    @pytest.mark.parametrize(
        "uri", ["pictures/a.png", "C:\\a.png", "", "http://", "http://[::1", "http://a:99999/", "\0"]
    )
    def test_what_is_no_address(self, uri: str) -> None:
        assert refusal(uri).startswith("cannot fetch ")

    @settings(max_examples=300, deadline=None)
    @given(uri=st.one_of(st.text(), st.builds("http://{}".format, st.text()), st.builds("/data/{}".format, st.text())))
    def test_any_text_is_an_image_error(self, uri: str) -> None:
        """Names are looked up nowhere: no test may ask the internet for what a random text spells."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", _nobody)
            chosen = ImageLoader(Settings(fetch_timeout_s=5.0, label_studio_url="http://labels.invalid"))
            with pytest.raises(ImageError, match=r"^cannot fetch "):
                chosen.read(uri)


def _nobody(host: str, *args: object, **options: object) -> list[object]:
    raise socket.gaierror("nobody of that name")


class TestMetadata:
    @pytest.mark.parametrize(
        "host",
        [
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "2852039166",
            "168.63.129.16",
            "169.254.170.2",
        ],
    )
    def test_no_setting_allows_it(self, host: str) -> None:
        for hosts in ((), (host,)):
            said = refusal(f"http://{host}/latest/meta-data/iam/", image_hosts=hosts)
            assert said.endswith("where clouds tell a machine its credentials; no image may come from there")

    def test_nor_by_a_name_that_is_trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Names({"files.internal": [("169.254.169.254",)]}).install(monkeypatch)
        assert refusal("http://files.internal/a", image_hosts=("files.internal",)) == (
            "cannot fetch http://files.internal/a: files.internal is 169.254.169.254, where clouds tell a "
            "machine its credentials; no image may come from there"
        )


class TestNames:
    def test_one_private_address_among_public_ones_is_enough(
        self, internet: PictureServer, inside: PictureServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for found in [("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "::1")]:
            names = Names({"both.example": [found]}).install(monkeypatch)
            bad = next(address for address in found if address != "127.0.0.2")
            said = refusal(f"http://both.example:{internet.port}/open")
            assert said.endswith(private("both.example", bad))
            assert names.asked == ["both.example"]
        assert (internet.seen, inside.seen) == ([], [])

    def test_a_name_that_changes_is_asked_once_and_its_first_answer_counts(
        self, internet: PictureServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with _same_port("127.0.0.1", internet.port) as inside:
            names = Names({"rebinding.example": [("127.0.0.2",), ("127.0.0.1",)]}).install(monkeypatch)
            address = f"http://rebinding.example:{internet.port}/open"
            assert loader(image_hosts=()).read(address) == PNG
            assert (names.asked, internet.paths) == (["rebinding.example"], ["/open"])
            assert refusal(address).endswith(private("rebinding.example", "127.0.0.1"))
            assert _untouched(inside)

    def test_each_hop_of_a_redirect_is_looked_up_and_checked(
        self, internet: PictureServer, inside: PictureServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = Names({"rebinding.example": [("127.0.0.2",), ("127.0.0.1",)]}).install(monkeypatch)
        internet.redirect("/again", f"http://rebinding.example:{internet.port}/open")
        said = refusal(f"http://rebinding.example:{internet.port}/again")
        assert said.endswith(private("rebinding.example", "127.0.0.1"))
        assert (names.asked, internet.paths) == (["rebinding.example"] * 2, ["/again"])

    def test_trust_in_a_name_is_not_trust_in_where_it_redirects(
        self, inside: PictureServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Names({"files.internal": [("127.0.0.1",)]}).install(monkeypatch)
        inside.redirect("/away", f"http://localhost:{inside.port}/secret")
        chosen = loader(image_hosts=("files.internal",))
        assert chosen.read(f"http://files.internal:{inside.port}/secret") == PNG
        with pytest.raises(ImageError, match="localhost is the private address"):
            chosen.read(f"http://files.internal:{inside.port}/away")
        assert inside.paths == ["/secret", "/away"]

    def test_the_next_address_of_a_name_is_tried(self, inside: PictureServer, monkeypatch: pytest.MonkeyPatch) -> None:
        Names({"two.example": [("127.0.0.3", "127.0.0.1")]}).install(monkeypatch)
        chosen = loader(image_hosts=(f"two.example:{inside.port}",))
        assert chosen.read(f"http://two.example:{inside.port}/secret") == PNG


class TestRedirects:
    @pytest.mark.parametrize(
        "target",
        [
            "http://127.0.0.1:{port}/secret",
            "http://localhost:{port}/secret",
            "http://2130706433:{port}/secret",
            "http://[::ffff:127.0.0.1]:{port}/secret",
            "//127.0.0.1:{port}/secret",
            "http://user@127.0.0.1:{port}/secret",
        ],
    )
    def test_from_public_to_private(self, target: str, internet: PictureServer, inside: PictureServer) -> None:
        address = internet.redirect("/lead", target.format(port=inside.port))
        assert "is the private address" in refusal(address)
        assert (internet.paths, inside.paths) == (["/lead"], [])

    def test_from_public_to_metadata(self, internet: PictureServer) -> None:
        address = internet.redirect("/lead", "http://169.254.169.254/latest/meta-data/")
        assert "no image may come from there" in refusal(address)

    def test_a_chain_ends_where_it_turns_private(self, internet: PictureServer, inside: PictureServer) -> None:
        internet.redirect("/2", "/3")
        internet.redirect("/3", f"{inside.url}/secret")
        assert "is the private address" in refusal(internet.redirect("/1", "/2"))
        assert (internet.paths, inside.paths) == (["/1", "/2", "/3"], [])


class Authority:
    """Signs certificates for servers of this test; `file` holds its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of the tests")])
        self.file = folder / "authority.pem"
        own = self._certificate(self.name, self.key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: str) -> ssl.SSLContext:
        """What a server with these names and addresses shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        known = [
            x509.DNSName(name) if name[-1].isalpha() else x509.IPAddress(ipaddress.ip_address(name)) for name in names
        ]
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        certificate = self._certificate(subject, key.public_key(), x509.SubjectAlternativeName(known))
        pem = self.folder / f"{names[0]}.pem"
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pem.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).add_extension(extension, critical=True)
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        return builder.not_valid_after(now + datetime.timedelta(hours=1)).sign(self.key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


class TestTls:
    def test_the_certificate_is_for_the_name_though_the_address_is_connected_to(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = Names({"files.example": [("127.0.0.1",)], "other.example": [("127.0.0.1",)]}).install(monkeypatch)
        chosen = loader(image_hosts=tuple(names.answers))
        with serving(context=authority.context("files.example")) as server:
            server.body("/a", PNG)
            assert chosen.read(f"https://files.example:{server.port}/a") == PNG
            with pytest.raises(ImageError, match=r"cannot be reached .*Hostname mismatch.*SSL_CERT_FILE"):
                chosen.read(f"https://other.example:{server.port}/a")
            assert server.paths == ["/a"]

    def test_strangers_are_not_believed(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        with serving(context=authority.context("127.0.0.1")) as server:
            said = refusal(f"{server.url}/a", image_hosts=("127.0.0.1",))
        assert said.startswith(f"cannot fetch {server.url}/a: {server.url} cannot be reached (")
        assert said.endswith("; if its certificate is signed by an authority of your own, name that in SSL_CERT_FILE")
        assert server.seen == []

    def test_a_file_of_authorities_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        said = refusal("https://127.0.0.1:9/a", image_hosts=("127.0.0.1",))
        assert said.startswith("cannot fetch https://127.0.0.1:9/a: SSL_CERT_FILE or SSL_CERT_DIR cannot be read (")

    def test_ipv6(self, authority: Authority) -> None:
        with serving("::1", authority.context("::1")) as server:
            server.body("/a", PNG)
            assert loader(image_hosts=("::1",)).read(f"{server.url}/a") == PNG
            assert refusal(f"{server.url}/a").endswith(private("::1", "::1"))

    def test_the_key_is_not_carried_from_https_to_http_nor_to_https_elsewhere(self, authority: Authority) -> None:
        """Three hops over the same host: Label Studio by https, a plain server, and another one by https."""
        with (
            serving(context=authority.context("127.0.0.1")) as studio,
            serving() as plain,
            serving(context=authority.context("127.0.0.1")) as elsewhere,
        ):
            studio.redirect("/data/upload/1/a.png", f"{plain.url}/data/upload/1/a.png")
            plain.redirect("/data/upload/1/a.png", f"{elsewhere.url}/data/upload/1/a.png")
            elsewhere.body("/data/upload/1/a.png", PNG)
            key = SecretStr(TOKEN)
            assert loader(label_studio_url=studio.url, label_studio_api_key=key).read("/data/upload/1/a.png") == PNG
            assert studio.seen == [("/data/upload/1/a.png", f"Token {TOKEN}")]
            assert plain.seen == elsewhere.seen == [("/data/upload/1/a.png", None)]

    def test_from_http_to_https_and_back(self, authority: Authority) -> None:
        with serving() as plain, serving(context=authority.context("127.0.0.1")) as secure:
            plain.redirect("/1", f"{secure.url}/2")
            secure.redirect("/2", f"{plain.url}/3")
            plain.body("/3", PNG)
            assert loader().read(f"{plain.url}/1") == PNG


def _same_port(host: str, port: int) -> socket.socket:
    """Somebody who listens on the same port of another address of this machine."""
    return socket.create_server((host, port))


def _untouched(listening: socket.socket) -> bool:
    listening.settimeout(0.05)
    try:
        listening.accept()[0].close()
    except TimeoutError:
        return True
    return False
