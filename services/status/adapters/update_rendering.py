"""What is told of an update, to which reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import structlog
from ecarus.remotecontrol.access.v1.door_watch_service_pb2 import WatchedUpdate
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdateType
from google.protobuf.message import DecodeError

from protocol.subjects import origin_of_update
from services.live_updates.documents import document_text
from services.live_updates.origins import is_for_owners
from services.status.adapters import translate
from services.status.domain.updates import ForeignUpdateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate

    from services.status.adapters.event_ids import EventIds
    from services.status.domain.updates import Update
    from services.status.usecases.hub import Watcher

T = TypeVar("T")
_log = structlog.get_logger()


def watched_update(ids: EventIds, update: Update) -> WatchedUpdate:
    """Return the update as gateways are told it, for no watch yet, made once for all of them. Raises what
    `translate.update_message` raises.
    """
    if update.watched is None:
        update.watched = watched_message(translate.update_message(ids, update))
    return update.watched  # type: ignore[return-value]  # the domain does not know what is made of it


def watched_message(message: DoorUpdate) -> WatchedUpdate:
    """Return what happened as gateways are told it."""
    kind = DoorUpdateType.Value.Name(message.type)
    return WatchedUpdate(id=message.id, type=kind, document=document_text(message))


def may_be_told(watcher: Watcher, update: Update) -> bool:
    """Return whether this reader is told of it: some is for owners alone."""
    return watcher.right.is_owner or not is_for_owners(origin_of_update(update.subject))


def readable(render: Callable[[EventIds, Update], T], ids: EventIds, update: Update) -> T | None:
    """Return what is told of it. An update that is none, cannot be told, or is not its publisher's to tell, is no
    reason to end a reader's stream: it would end again at each resumption.
    """
    try:
        return render(ids, update)
    except ForeignUpdateError as error:
        _log.error("update_rejected", position=str(update.position), told_by=str(error))
        return None
    except (DecodeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        _log.error("update_unreadable", position=str(update.position), reason=reason)
        return None
