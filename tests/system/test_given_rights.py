"""Rights that people give each other, through the edge: REST, the event stream, and what is told to whom."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2

from tests.support.app import SAMPLE, App, eventually
from tests.system.test_rights import grant, operator, watching

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def alerts(stream: Any) -> list[str]:
    """The codes of the alerts about access that a stream has shown so far."""
    told = [event["data"] for event in list(stream.events) if event.get("event") == "SYSTEM_ALERT"]
    return [event["data"]["code"] for event in told if event["data"]["code"].startswith("ACCESS_")]


def test_a_key_is_given_used_suspended_and_taken(mesh: Mesh) -> None:
    friend, watcher = f"friend-{uuid.uuid4()}", f"watcher-{uuid.uuid4()}"
    owner, guest = App(mesh, bearer=mesh.token("user-123")), App(mesh, bearer=mesh.token(friend))
    with operator(mesh) as access:
        grant(access, watcher, watcher)
    with owner.stream() as told, watching(mesh, mesh.token(watcher)) as bystander:
        offered = owner.send(
            "POST", "grants", {"principal": friend, "kind": "DIGITAL_KEY", "label": "A phone"}
        )
        assert (offered.status_code, offered.json()["state"]) == (200, "CREATED")
        path = f"grants/{offered.json()['grantId']}"
        refused = eventually(lambda: (a := guest.get("status")).status_code == 403 and a)
        assert refused.json()["code"] == "ACTION_NOT_GRANTED"
        accepted = guest.send("POST", f"{path}/accept", None)
        assert (accepted.json()["state"], accepted.json()["keyRole"]) == ("ACTIVE", "FRIEND")
        eventually(lambda: guest.get("status").status_code == 200)
        assert [each["grantId"] for each in guest.get("grants").json()["grants"]] == [path.split("/")[1]]
        stream = guest.stream()
        with stream:
            assert stream.status == 200
            assert owner.send("POST", f"{path}/suspend", None).json()["state"] == "SUSPENDED"
            assert stream.ended.wait(15), "the stream outlived the right"
        assert guest.order("unlock").status_code == 403
        assert owner.send("POST", f"{path}/resume", None).json()["state"] == "ACTIVE"
        assert owner.send("POST", f"{path}/end", None).json()["state"] == "TERMINATED"
        eventually(lambda: guest.get("status").status_code == 404)
        names = ("OFFERED", "BEGUN", "SUSPENDED", "RESUMED", "ENDED")
        eventually(lambda: [f"ACCESS_{name}" for name in names] == alerts(told)[-5:])
        assert not alerts(bystander), "who has a right is the owner's business alone"
    assert owner.send("POST", f"{path}/end", {}).status_code == 400
    assert owner.send("DELETE", path, None).status_code == 405


def test_a_vehicle_is_handed_over(mesh: Mesh) -> None:
    seller, buyer, friend = (f"{who}-{uuid.uuid4()}" for who in ("seller", "buyer", "friend"))
    vin = "KMHSH81C7LU" + str(uuid.uuid4().int)[:6]
    with operator(mesh) as access:
        for who, role in ((seller, grant_pb2.GRANT_ROLE_OWNER), (friend, grant_pb2.GRANT_ROLE_SHARED_USER)):
            grant(access, who, who, vin=vin, role=role)
    apps = {who: App(mesh, vin=vin, bearer=mesh.token(who)) for who in (seller, buyer, friend)}
    eventually(lambda: apps[friend].get("grants").status_code == 200)
    assert apps[friend].send("POST", "ownership/transfer", {"newOwner": friend}).status_code == 403
    done = eventually(
        lambda: (
            (a := apps[seller].send("POST", "ownership/transfer", {"newOwner": buyer})).status_code == 200
            and a
        )
    ).json()
    assert (done["newOwner"], done["endedGrants"]) == (buyer, 2)
    for former in (seller, friend):
        eventually(lambda former=former: apps[former].get("grants").status_code == 404)
    (own,) = eventually(lambda: apps[buyer].get("grants").json().get("grants"))[:1]
    assert (own["kind"], own["principal"]) == ("OWNER", buyer)


def test_a_vehicle_that_is_not_the_givers_is_unknown(mesh: Mesh) -> None:
    stranger = App(mesh, bearer=mesh.token(f"stranger-{uuid.uuid4()}"))
    nobodys = App(mesh, vin="KMHSH81C7LU999999", bearer=stranger.bearer)
    offer = {"principal": "x", "kind": "VALET"}
    answers = [app.send("POST", "grants", offer) for app in (stranger, nobodys)]
    assert [answer.status_code for answer in answers] == [404, 404]
    one, other = ({**a.json(), "instance": "", "correlationId": ""} for a in answers)
    assert one == other
    assert SAMPLE in answers[0].json()["instance"]


def test_who_shares_a_car_severs_somebody_in_silence(mesh: Mesh) -> None:
    owner, survivor, person = (f"{who}-{uuid.uuid4()}" for who in ("owner", "survivor", "person"))
    vin = "KMHSH81C7LU" + str(uuid.uuid4().int)[:6]
    with operator(mesh) as access:
        for who, role in (
            (owner, grant_pb2.GRANT_ROLE_OWNER),
            (survivor, grant_pb2.GRANT_ROLE_SHARED_USER),
            (person, grant_pb2.GRANT_ROLE_DIGITAL_KEY),
        ):
            grant(access, who, who, vin=vin, role=role)
    apps = {who: App(mesh, vin=vin, bearer=mesh.token(who)) for who in (owner, survivor, person)}
    for app in apps.values():
        eventually(lambda app=app: app.get("grants").status_code == 200)
    with apps[owner].stream() as told, apps[person].stream() as stream:
        assert (told.status, stream.status) == (200, 200)
        severed = apps[survivor].send("POST", "access/sever", {"person": person, "evidence": "file 17/2026"})
        assert severed.status_code == 200
        assert stream.ended.wait(15), "the stream outlived the right"
        eventually(lambda: apps[person].get("grants").status_code == 404)
        path = f"access/severances/{severed.json()['severanceId']}"
        done = eventually(lambda: (a := apps[survivor].get(path).json())["state"] == "DONE" and a)
        assert "dueAt" not in done
        assert apps[owner].get(path).status_code == 404
        assert not alerts(told)
    listed = apps[owner].get("grants").json()["grants"]
    assert not [each for each in listed if each["principal"] == person], "what was severed is nobody's to see"
