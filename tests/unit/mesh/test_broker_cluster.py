"""The configuration of a broker of several nodes: the same accounts everywhere, and a description that is looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mesh.broker_cluster import read_cluster, write_configurations
from mesh.broker_secrets import BrokerSecrets
from mesh.cli import main
from services.registry import ON_THE_BROKER

if TYPE_CHECKING:
    from pathlib import Path


def described(**changes: Any) -> dict[str, Any]:
    nodes = [
        {
            "name": f"n{number}",
            "nats": "0.0.0.0:4222",
            "mqtt": "0.0.0.0:8883",
            "route": "0.0.0.0:6222",
            "peer": f"n{number}.broker.example:6222",
            "advertise": f"n{number}.broker.example:4222",
            "certificate": "/etc/nats/node.crt",
            "key": "/etc/nats/node.key",
            "store": "/var/lib/nats",
        }
        for number in (1, 2, 3)
    ]
    return {
        "cluster": "doors",
        "clientCa": "/etc/nats/broker-clients.crt",
        "vehicleCa": "/etc/nats/vehicle-ca.crt",
        "nodeCa": "/etc/nats/node-ca.crt",
        "nodes": nodes,
        **changes,
    }


def written(tmp_path: Path, description: dict[str, Any]) -> dict[str, str]:
    path = tmp_path / "broker.json"
    path.write_text(json.dumps(description))
    secrets = BrokerSecrets(tmp_path / "secrets")
    paths = write_configurations(read_cluster(path), secrets, tmp_path / "out")
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in paths)
    return {one.stem: one.read_text() for one in paths}


def test_every_node_has_the_same_accounts_and_knows_the_others(tmp_path: Path) -> None:
    texts = written(tmp_path, described())
    accounts = {text[text.index("accounts {") :] for text in texts.values()}
    assert len(texts) == 3
    assert len(accounts) == 1
    for name, text in texts.items():
        assert f'server_name: "{name}"' in text
        assert f'client_advertise: "{name}.broker.example:4222"' in text
        assert "sync_interval: always, strict: true, max_buffered_msgs: 1024" in text
        assert "stream_replicas: 3" in text
        assert 'ca_file: "/etc/nats/node-ca.crt", verify: true' in text
        password = (tmp_path / "secrets" / "broker-cluster.password").read_text()
        (routes,) = [line for line in text.splitlines() if "routes:" in line]
        others = sorted(f"{other}.broker.example" for other in texts if other != name)
        assert json.loads(routes.partition("routes:")[2]) == [
            f"nats://node:{password}@{other}:6222" for other in others
        ]


def test_it_is_the_same_again_with_the_same_secrets(tmp_path: Path) -> None:
    assert written(tmp_path, described()) == written(tmp_path, described())
    for service in ON_THE_BROKER:
        assert (tmp_path / "secrets" / f"nats-{service}.password").read_text() in written(
            tmp_path, described()
        )["n1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nodes": described()["nodes"][:1]}, "nodes"),
        ({"nodes": [described()["nodes"][0]] * 2}, "same name"),
        ({"mqttReplicas": 4}, "mqttReplicas"),
        ({"mqttReplicas": 0}, "mqttReplicas"),
        ({"nodes": [{**one, "peer": None} for one in described()["nodes"]]}, "peer"),
        ({"nodes": [{**described()["nodes"][0], "nats": "4222"}, *described()["nodes"][1:]]}, "nodes.0.nats"),
        (
            {"nodes": [{**described()["nodes"][0], "nats": "a b:1"}, *described()["nodes"][1:]]},
            "nodes.0.nats",
        ),
        ({"cluster": 'doors"\n'}, "cluster"),
        ({"clientCA": "x"}, "clientCA"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "broker.json"
    path.write_text(json.dumps(described(**change)))
    words = [
        "broker-config",
        str(path),
        "--out",
        str(tmp_path / "out"),
        "--secrets",
        str(tmp_path / "secrets"),
    ]
    assert main(words, {}) == 1
    told = capsys.readouterr().err
    assert str(path) in told
    assert said in told
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "secrets").exists()
