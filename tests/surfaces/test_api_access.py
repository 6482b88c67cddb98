"""Who may call what: everything is refused that is not allowed, whatever is called, and by whomever."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.surfaces.serving import FAST, USUAL, Host, serving
from tests.surfaces.test_api import PROGRAM

from clew.api.calls import ROLES
from clew.api.resources import all_endpoints

SEED = 20261127
MUTATIONS = 200

ENDPOINTS = [(one.method, one.path, one.role) for one in all_endpoints()]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")


class Guarded(Host):
    """A host with a token of every sort."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program("adding", PROGRAM)
        self.tokens = {role: self.token(role) for role in ROLES}
        self.tokens["revoked"] = self.token("admin")
        self.tokens["expired"] = self.token("admin")
        self.clew("token", "revoke", self.tokens["revoked"].split("_")[1])
        with closing(sqlite3.connect(folder / ".clew" / "clew.db")) as store:
            expired = self.tokens["expired"].split("_")[1]
            store.execute("UPDATE tokens SET expires_at = 5 WHERE token_id = ?", (expired,))
            store.commit()
        admin = self.tokens["admin"]
        self.tokens["changed"] = admin[:-7] + ("a" if admin[-7] != "a" else "b") + admin[-6:]
        self.tokens["another's"] = f"clew_{'0' * 16}_{admin.split('_', 2)[2]}"
        self.tokens["cut off"] = admin[:-1]
        self.tokens["something else"] = "letmein"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("guarded"))
    with serving(made):
        yield made


WORTHLESS = ("revoked", "expired", "changed", "another's", "cut off", "something else", "")


@pytest.mark.parametrize(("method", "path", "role"), ENDPOINTS, ids=lambda value: str(value))
def test_nobody_calls_what_their_role_may_not(host: Guarded, method: str, path: str, role: str) -> None:
    """By every token that there is, and by every method; what is allowed fails by nothing but what it says."""
    whole = path.format(run_id="0" * 28, program="nothing", instruction_id="0", token_id="0" * 16)
    declared = {(one, its) for one, its, _ in ENDPOINTS}
    for name in WORTHLESS:
        for each in METHODS:
            reply = host.call(each, whole, token=host.tokens.get(name, ""))
            assert reply.status == 401, (name, each, reply.status)
            assert reply.headers["www-authenticate"].startswith("Bearer")
    for name in ROLES:
        for each in METHODS:
            if (each, path) not in declared:
                reply = host.call(each, whole, token=host.tokens[name])
                assert reply.status == 405 and method in reply.headers["allow"], (name, each)
        reply = host.call(method, whole, token=host.tokens[name])
        is_allowed = ROLES.index(name) >= ROLES.index(role)
        assert (reply.status == 403) is not is_allowed, (name, reply.status, reply.content)
        assert reply.status < 500 or path == "/readyz"


@pytest.mark.parametrize(("method", "path", "role"), ENDPOINTS, ids=lambda value: str(value))
def test_no_other_spelling_of_a_path_leads_around_the_guard(
    host: Guarded, method: str, path: str, role: str
) -> None:
    """Of each 200, none of which answers whoever brings nothing, or the wrong thing."""
    random = Random(f"{SEED} {method} {path}")
    whole = path.format(run_id="0" * 28, program="adding", instruction_id="0", token_id="0" * 16)
    for number in range(MUTATIONS):
        mutated = _mutated(random, whole)
        token = host.tokens["revoked"] if number % 2 else ""
        reply = host.call(method, mutated, token=token)
        is_constant = "/healthz" in mutated and reply.content == b'{"status":"alive"}'
        assert is_constant or reply.status in (400, 401, 414), (mutated, reply.status)


def _mutated(random: Random, path: str) -> str:
    at = random.randrange(1, len(path) + 1)
    what = random.choice([
        "/", "//", "/./", "/../", "%2f", "%2e%2e/", ";a=b", "?a=b", "%00", "%0a", "\\", "%5c", ".", "..;/", "%c0%af",
        "#", "%25", "/healthz", "/healthz/../", "%ef%bc%8f", "~", "*", "%E2%80%AE", "healthz?",
    ])  # fmt: skip
    mutated = path[:at] + what + path[at:]
    if random.random() < 0.3:
        mutated = "".join(letter.upper() if random.random() < 0.3 else letter for letter in mutated)
    if random.random() < 0.2:
        mutated = f"/healthz/..{mutated}"
    return mutated if mutated.startswith("/") else f"/{mutated}"


def test_whether_it_is_alive_answers_anybody(host: Guarded) -> None:
    """Always the same, also whoever brings a wrong token; and nothing else does."""
    for token in ("", *host.tokens.values()):
        reply = host.call("GET", "/healthz", token=token)
        assert (reply.status, reply.content) == (200, b'{"status":"alive"}')
    for path in ("/", "/healthz/", "/api", "/api/v1", "/docs", "/metrics", "/readyz"):
        assert host.call("GET", path).status == 401


def test_pages_of_other_sites_and_other_names_are_refused(host: Guarded) -> None:
    """A name that was made to lead here is none of ours; a page of another site changes nothing by a browser."""
    admin = host.tokens["admin"]
    for name in ("evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80", "[::1", "[a]:b"):
        assert host.call("GET", "/api/v1/runs", token=admin, headers={"host": name}).status in (400, 421)
    assert (
        host.call("GET", "/api/v1/runs", token=admin, headers={"host": f"localhost:{host.port}"}).status
        == 200
    )
    path, body = "/api/v1/programs/adding/runs", {"variables": {"first": 1}}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert host.call("POST", path, body, token=admin, headers=headers).status == 403
    plain = {"content-type": "text/plain"}
    assert host.call("POST", path, body, token=admin, headers=plain).status == 415
    assert host.call("POST", path, body, token=admin, headers={"origin": host.address}).status == 201


def test_answers_say_nothing_to_other_sites(host: Guarded) -> None:
    for path, token in (("/healthz", ""), ("/api/v1/runs", ""), ("/api/v1/runs", host.tokens["viewer"])):
        headers = host.call("GET", path, token=token, headers={"origin": "https://evil.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in headers and "server" not in headers


def test_a_token_is_worth_nothing_from_the_moment_it_is_revoked(host: Guarded) -> None:
    """Made and revoked by an admin, over the API; told once, kept as a digest, listed without."""
    admin = host.tokens["admin"]
    made = host.call(
        "POST", "/api/v1/tokens", {"name": "for a moment", "role": "viewer"}, token=admin
    ).document
    assert host.call("GET", "/api/v1/runs", token=made["token"]).status == 200
    path = f"/api/v1/tokens/{made['made']['token_id']}"
    assert host.call("DELETE", path, token=made["token"]).status == 403
    assert host.call("DELETE", path, token=admin).status == 204
    assert host.call("GET", "/api/v1/runs", token=made["token"]).status == 401
    listed = host.call("GET", "/api/v1/tokens", token=admin)
    (found,) = [one for one in listed.document["tokens"] if one["name"] == "for a moment"]
    assert found["revoked_by"] == "api:a admin" and found["used_at"] is not None
    secrets = [
        token.split("_", 2)[2].encode() for token in (made["token"], *host.tokens.values()) if "_" in token
    ]
    stored = b"".join(path.read_bytes() for path in (host.folder / ".clew").rglob("*") if path.is_file())
    assert not any(secret in stored or secret in listed.content for secret in secrets)
    assert host.call("DELETE", "/api/v1/tokens/0000000000000000", token=admin).status == 404


def test_whoever_calls_too_often_waits(tmp_path: Path) -> None:
    """By that token; others go on."""
    host = Host(tmp_path, settings="[api.limits]\ncalls_a_second = 0.01\ncalls_burst = 3\n")
    host.program("adding", PROGRAM)
    one, other = host.token("viewer"), host.token("viewer")
    with serving(host):
        statuses = [host.call("GET", "/api/v1/runs", token=one).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert host.call("GET", "/api/v1/runs", token=other).status == 200
        limited = host.call("GET", "/api/v1/runs", token=one)
        assert int(limited.headers["retry-after"]) >= 1
        guesses = [host.call("GET", "/api/v1/runs", token="clew_x").status for _ in range(5)]
        assert guesses == [401, 401, 401, 429, 429]


def test_before_the_first_token_whoever_sits_there_is_an_admin(tmp_path: Path) -> None:
    """And not from the moment on in which it is made; a wrong token is never better than none."""
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    with serving(host):
        assert host.call("GET", "/api/v1/tokens").status == 200
        assert host.call("GET", "/api/v1/tokens", token="clew_x").status == 401
        token = host.token("viewer")
        assert host.call("GET", "/api/v1/runs").status == 401
        assert host.call("GET", "/api/v1/runs", token=token).status == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('listen = "0.0.0.0:0"', "others reach this address, and would send tokens in the clear"),
        ('listen = "0.0.0.0:0"\nproxies = ["10.0.0.1"]', "nobody has a token yet"),
        ('listen = "127.0.0.1"', "must be an address and a port"),
        ('listen = "127.0.0.1:0"\ncertificate = "no.pem"', "no.pem: can't be used"),
        ('listen = "127.0.0.1:0"\nport = 5', "unknown field `port`"),
        ('listen = "127.0.0.1:0"\n[api.limits]\nbodies = 5', "api.limits.bodies: there is no such limit"),
        ('listen = "203.0.113.7:1"\nproxies = ["10.0.0.1"]', "nobody has a token yet"),
    ],
)  # fmt: skip
def test_what_would_be_open_to_others_does_not_start(tmp_path: Path, settings: str, words: str) -> None:
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    host.clew("run", "programs/adding.yaml", "--var", "first=1")
    host.write("clew.toml", f'programs = ["programs"]\n[api]\n{settings}\n')
    assert words in host.clew("up", code=2).err


def test_it_is_reached_by_tls_of_its_own(tmp_path: Path) -> None:
    """By its name, which others are given; from then on browsers come by TLS alone."""
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    _certify(tmp_path, "clew.example")
    own = 'hosts = ["clew.example"]\ncertificate = "tls.pem"\ncertificate_key = "tls.key"\n'
    host.write("clew.toml", USUAL + own + FAST)
    with serving(host):
        assert host.address.startswith("https://")
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            host.port,
            ca_certs=str(tmp_path / "tls.pem"),
            server_hostname="clew.example",
            retries=False,
        )
        reply = pool.request("GET", "/api/v1/runs", headers={"host": "clew.example"})
        assert (reply.status, reply.headers["strict-transport-security"]) == (200, "max-age=31536000")
        pool.close()
        with pytest.raises(urllib3.exceptions.HTTPError):
            host.pool.request("GET", f"http://127.0.0.1:{host.port}/healthz")


def _certify(folder: Path, name: str) -> None:
    """A certificate of that name for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_listening_can_be_switched_off(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    host.write("clew.toml", USUAL.replace("127.0.0.1:0", "off") + FAST)
    process = host.begin("up")
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "live; Ctrl-C ends this" in said and "API" not in said
    process.terminate()
    process.communicate(timeout=30)


def test_the_log_tells_who_was_refused_and_no_token(tmp_path: Path) -> None:
    """As JSON, one line each, whatever was sent."""
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    token = host.token("viewer")
    with serving(host):
        for _ in range(3):  # said once, and how often it was with the next
            host.call("GET", "/api/v1/runs", token=token[:-1])
            host.call("GET", "/api/v1/tokens", token=token)
        said = host.stop()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("refused", "warning"),
        ("forbidden", "warning"),
    ]
    assert (lines[0]["who"], lines[1]["who"], lines[1]["path"]) == (
        "127.0.0.1",
        "api:a viewer",
        "/api/v1/tokens",
    )
    assert token.split("_", 2)[2][:20] not in said
