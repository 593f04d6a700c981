"""Redis over TLS: rows go both ways, and what is not trusted or not allowed is a typed error without the password."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from feast import FeatureView
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32

from feature_repo.stores.errors import StoreUnavailable
from tests.feature_repo.stores.small_repo import (
    DAY,
    PACKED,
    entity_key,
    feast_store,
    feature_view,
    user,
    write,
)
from tests.redis_server import free_port

PASSWORD = "correct horse: battery $taple"


@dataclass(frozen=True)
class Authority:
    """What signs certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, name: str) -> "Authority":
        """One that signs itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = (
            _certificate(name, key).issuer_name(_name(name)).add_extension(constraints, critical=True)
        )
        return cls(key, certificate.sign(key, hashes.SHA256()))

    def write(self, path: Path) -> Path:
        """The certificate, for those who trust this authority."""
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def issue(self, host: str, folder: Path) -> tuple[Path, Path]:
        """The files of a server's certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        signed = (
            _certificate(host, key)
            .issuer_name(self.certificate.subject)
            .add_extension(names, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        certificate, private = folder / "server.crt", folder / "server.key"
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, private


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The settings for a server that talks TLS only, and asks for a password."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority.new("the tests' authority")
    trusted = authority.write(folder / "ca.crt")
    certificate, private = authority.issue("localhost", folder)
    port = free_port()
    options = {
        "port": 0,
        "tls-port": port,
        "tls-cert-file": certificate,
        "tls-key-file": private,
        "tls-ca-cert-file": trusted,
        "tls-auth-clients": "no",
        "requirepass": PASSWORD,
        "save": "",
        "dir": folder,
    }
    command = [
        "redis-server",
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _wait_for(process, port)
        yield {
            "type": PACKED,
            "backend": "redis",
            "port": port,
            "password": PASSWORD,
            "tls": True,
            "tls_ca_certs": str(trusted),
        }
    finally:
        process.kill()
        process.communicate()


def _wait_for(process: "subprocess.Popen[str]", port: int) -> None:
    for _ in range(200):
        if process.poll() is not None:
            said = process.communicate()[0]
            if "tls-port" in said:
                pytest.skip(f"this redis-server was built without TLS: {said}")
            raise AssertionError(said)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"redis-server does not listen at port {port}")


@pytest.fixture
def view() -> FeatureView:
    return feature_view("view", {"a": Float32}, ttl=timedelta(0))


def test_rows_go_both_ways(tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView) -> None:
    store = feast_store(tmp_path, tls_redis)
    store.apply([user, view])
    write(store, view, entity_key(user_id=1), {"a": Value(float_val=3)}, DAY)
    assert store.get_online_features(["view:a"], {"user_id": [1, 2]}).to_dict()["a"] == [3, None]
    with pytest.raises(redis.ConnectionError):  # the wire is TLS indeed
        redis.Redis(port=tls_redis["port"], password=PASSWORD).ping()


def test_connection_strings_of_both_forms(
    tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView
) -> None:
    port, trusted = tls_redis["port"], tls_redis["tls_ca_certs"]
    escaped = "correct%20horse%3A%20battery%20%24taple"
    for number, text in enumerate(
        (
            f"rediss://:{escaped}@localhost:{port}/0?ssl_ca_certs={trusted}",
            f"localhost:{port},ssl=true,ssl_ca_certs={trusted},password={PASSWORD}",
        )
    ):
        settings = {"type": PACKED, "backend": "redis", "connection_string": text}
        store = feast_store(tmp_path / str(number), settings)
        store.apply([user, view])
        write(store, view, entity_key(user_id=number), {"a": Value(float_val=3)}, DAY)
        assert store.get_online_features(["view:a"], {"user_id": [number]}).to_dict()["a"] == [3]
        assert not any(password in repr(store.config.online_store) for password in (PASSWORD, escaped))


def _refusal(settings: dict[str, Any], folder: Path, view: FeatureView) -> str:
    """What a read that must fail says."""
    store = feast_store(folder, settings)
    with pytest.raises(StoreUnavailable) as caught:
        store._get_provider().online_read(store.config, view, [entity_key(user_id=1)])
    text = str(caught.value)
    assert text.startswith(f"Redis at {settings.get('host', 'localhost')}:{settings['port']}: ")
    assert settings["password"] not in text + repr(store.config.online_store)
    return text


def test_a_wrong_password_is_refused(tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView) -> None:
    assert "password" in _refusal({**tls_redis, "password": "hunter2"}, tmp_path, view)


def test_a_certificate_of_somebody_else_is_not_trusted(
    tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView
) -> None:
    stranger = Authority.new("a stranger").write(tmp_path / "stranger.crt")
    assert "certificate" in _refusal({**tls_redis, "tls_ca_certs": str(stranger)}, tmp_path, view)


def test_without_an_authority_the_systems_own_are_asked(
    tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView
) -> None:
    assert "certificate" in _refusal({**tls_redis, "tls_ca_certs": ""}, tmp_path, view)


def test_a_certificate_for_another_host_is_not_trusted(
    tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView
) -> None:
    assert "127.0.0.1" in _refusal({**tls_redis, "host": "127.0.0.1"}, tmp_path, view)


def test_a_file_of_authorities_that_is_not_there(
    tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView
) -> None:
    missing = tmp_path / "missing.crt"
    assert "No such file" in _refusal({**tls_redis, "tls_ca_certs": str(missing)}, tmp_path, view)


def test_a_plain_connection_is_refused(tls_redis: dict[str, Any], tmp_path: Path, view: FeatureView) -> None:
    assert "Redis at" in _refusal({**tls_redis, "tls": False, "timeout_seconds": 0.5}, tmp_path, view)


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    settings = {"type": PACKED, "backend": "redis", "password": "${NO_SUCH_PASSWORD}"}
    with pytest.raises(ValueError, match="the environment variable NO_SUCH_PASSWORD is not set"):
        feast_store(tmp_path, settings)
