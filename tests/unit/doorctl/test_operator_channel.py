"""Who `doorctl` is and whom it asks, and what it says of services that cannot be asked."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import dead_letter_service_pb2 as contract
from typer.testing import CliRunner

from doorctl.__main__ import app
from doorctl.operator_channel import OperationError, Operator
from mesh.pki import CertificateIdentity, Pki

if TYPE_CHECKING:
    from pathlib import Path

RPC = "ecarus.remotecontrol.access.v1.DeadLetterService/ListDeadLetters"


def write(folder: Path, **changed: Any) -> dict[str, str]:
    pair = Pki(folder, datetime.now(UTC)).ensure(
        CertificateIdentity("operator", uri="spiffe://ecarus/operator", server=False)
    )
    form = {"ca": str(folder / "ca.crt"), "cert": str(pair.cert), "key": str(pair.key), "services": {}}
    file = folder / "operator.json"
    file.write_text(json.dumps({**form, **changed}))
    return {"DOORS_OPERATOR_FILE": str(file)}


def ask(environment: dict[str, str]) -> str:
    with pytest.raises(OperationError) as failed:
        Operator.from_environment(environment).ask(
            "config", RPC, contract.ListDeadLettersRequest(), contract.ListDeadLettersResponse
        )
    return str(failed.value)


def test_the_file_is_found_or_named(tmp_path: Path) -> None:
    assert "set DOORS_OPERATOR_FILE" in ask({"DOORS_DATA_DIR": str(tmp_path)})
    operator = Operator.from_environment(write(tmp_path, services={"config": "127.0.0.1:1"}))
    assert operator.services == {"config": "127.0.0.1:1"}
    assert Operator.from_environment({"DOORS_DATA_DIR": str(tmp_path)}) == operator


def test_without_a_setting_the_file_is_the_repositorys_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorctl.operator_channel._ROOT", tmp_path / "repository")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    sandbox = tmp_path / "repository" / ".doors"
    sandbox.mkdir(parents=True)
    write(sandbox, services={"config": "127.0.0.1:1"})
    assert Operator.from_environment({}).services == {"config": "127.0.0.1:1"}


def test_rights_are_given_under_a_persons_own_certificate_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="the operator's file names none: add person, with cert and key"):
        Operator.from_environment(write(tmp_path)).as_person()
    environment = write(tmp_path, person={"cert": "/alice.crt", "key": "/alice.key"})
    operator = Operator.from_environment(environment)
    assert str(operator.cert) == str(tmp_path / "operator.crt")
    person = operator.as_person()
    assert (str(person.cert), str(person.key)) == ("/alice.crt", "/alice.key")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"ca": "", "cert": "", "key": ""}', '{"ca": 1, "services": []}', "\x00"]
)
def test_what_is_no_operators_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "operator.json").write_text(text)
    assert "is not an operator's file" in ask({"DOORS_DATA_DIR": str(tmp_path)})


def test_a_service_without_an_address_and_a_key_that_is_not_there_are_named(tmp_path: Path) -> None:
    assert "no address of the service config" in ask(write(tmp_path))
    missing = str(tmp_path / "gone.key")
    sentence = ask(write(tmp_path, key=missing, services={"config": "127.0.0.1:1"}))
    assert sentence == f"{missing}: No such file or directory"


def test_a_service_that_does_not_run_is_named_with_its_address(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unused.getsockname()[1]}"
        sentence = ask(write(tmp_path, services={"config": target}))
    assert sentence == f"the service config at {target} does not run, or does not take this certificate"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "DOORS_OPERATR_FILE",
            "doorctl: DOORS_OPERATR_FILE is not read; did you mean DOORS_OPERATOR_FILE?\n",
        ),
        ("DOORS_DATADIR", "doorctl: DOORS_DATADIR is not read; did you mean DOORS_DATA_DIR?\n"),
        ("DOORS_PORT_BASE", ""),
        ("DOORS_DATABASE_URL", ""),
        ("DOORS_OPERATOR_FILE", ""),
    ],
)
def test_a_mistyped_setting_is_said_before_another_deployment_is_operated(
    tmp_path: Path, name: str, said: str
) -> None:
    words = ["keys", "show", str(tmp_path / "none")]
    done = CliRunner().invoke(app, words, env={name: str(tmp_path)})
    assert done.stderr.startswith(said)
    assert ("is not read" in done.stderr) == bool(said)
