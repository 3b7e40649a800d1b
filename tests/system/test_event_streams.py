"""Event streams and the rights they run on, through Envoy in the running mesh."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2

from tests.support.app import App, Car, eventually
from tests.system.test_rights import grant, operator

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def test_a_right_that_is_given_again_is_watched_on_at_once(mesh: Mesh) -> None:
    Car(mesh).meet()
    guest = f"guest-{uuid.uuid4()}"
    app = App(mesh, bearer=mesh.token(guest))
    with operator(mesh) as access:
        for turn in range(6):
            grant(access, f"{guest}-{turn}", guest)
            with app.stream() as stream:
                assert stream.status == 200
                assert stream.wait_for(lambda event: event["event"] == "STREAM_OPENED")["id"]
            assert app.get("status").status_code == 200
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=f"{guest}-{turn}"), timeout=30)


def test_a_right_that_another_grant_carries_is_watched_on_at_once(mesh: Mesh) -> None:
    guest = f"guest-{uuid.uuid4()}"
    app = App(mesh, bearer=mesh.token(guest))
    with operator(mesh) as access:
        grant(access, f"{guest}-kept", guest)
        for turn in range(6):
            grant(access, f"{guest}-{turn}", guest)
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=f"{guest}-{turn}"), timeout=30)
            with app.stream() as stream:
                assert stream.status == 200
                assert stream.wait_for(lambda event: event["event"] == "STREAM_OPENED")
                assert not stream.ended.is_set()


def test_a_new_key_is_shown_nothing_of_what_was_before(mesh: Mesh) -> None:
    owner, car = App(mesh), Car(mesh)
    car.meet()
    guest = f"guest-{uuid.uuid4()}"
    with owner.stream() as stream:
        place = stream.wait_for(lambda event: event["event"] == "STREAM_OPENED")["id"]
        for action in ("unlock", "lock"):
            accepted = eventually(lambda action=action: (a := owner.order(action)).status_code == 202 and a)
            assert owner.end_of(accepted.json()["commandId"])["status"] == "SUCCESS"
        stream.wait_for(lambda event: event["data"]["data"].get("status") == "SUCCESS")
    with operator(mesh) as access:
        grant(access, guest, guest)
    with App(mesh, bearer=mesh.token(guest)).stream(place) as theirs:
        first = theirs.wait_for(lambda _: True)
        assert first["data"]["data"]["code"] == "UPDATES_RESET"
        accepted = eventually(lambda: (a := owner.order("lock")).status_code == 202 and a)
        command_id = accepted.json()["commandId"]
        theirs.wait_for(lambda event: event["data"]["data"].get("commandId") == command_id)
        told = {event["data"]["data"].get("commandId") for event in theirs.events[1:]}
        assert told <= {command_id, None}
    with owner.stream(place) as all_of_it:  # whose right is older is shown it
        all_of_it.wait_for(lambda event: event["data"]["data"].get("status") == "SUCCESS")
        assert all(event["data"]["data"].get("code") != "UPDATES_RESET" for event in all_of_it.events)


def test_an_id_that_is_none_resets_and_refuses_nobody(mesh: Mesh) -> None:
    Car(mesh).meet()
    for nonsense in ("nonsense", "e1-7", "x" * 2_000):
        with App(mesh).stream(nonsense) as stream:
            assert stream.status == 200
            assert stream.wait_for(lambda _: True)["data"]["data"]["code"] == "UPDATES_RESET"
