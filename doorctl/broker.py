"""One question to a service over NATS, as the operator."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats
import nats.errors

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_SECONDS = 10
INBOX_PREFIX = "_INBOX.operator"


class Failed(Exception):
    """It did not happen; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Where the broker is, and the files that say who asks."""

    url: str
    ca: Path
    cert: Path
    key: Path
    user: str
    password_file: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Operator:
        """What the file of DOORS_OPERATOR_FILE says; without it, the sandbox's. Raises Failed."""
        folder = Path(environment.get("DOORS_DATA_DIR") or ".doors")
        path = Path(environment.get("DOORS_OPERATOR_FILE") or folder / "operator.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files = {name: Path(found[name]) for name in ("ca", "cert", "key")}
            return cls(found["url"], user=found["user"], password_file=Path(found["passwordFile"]), **files)
        except OSError as error:
            raise Failed(
                f"{path}: {error.strerror}; set DOORS_OPERATOR_FILE, or start the sandbox"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Failed(f"{path} is not an operator's file: {error}") from error

    async def ask(self, subject: str, request: dict[str, Any]) -> dict[str, Any]:
        """The service's answer. Raises Failed."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            context.load_cert_chain(self.cert, self.key)
            client = await nats.connect(
                self.url,
                name="doorctl",
                user=self.user,
                password=self.password_file.read_text(encoding="utf-8").strip(),
                tls=context,
                inbox_prefix=INBOX_PREFIX.encode(),
                allow_reconnect=False,
                error_cb=_said_by_the_call,
            )
            try:
                answer = await client.request(subject, json.dumps(request).encode(), timeout=ANSWER_SECONDS)
            finally:
                await client.close()
        except nats.errors.NoRespondersError as error:
            raise Failed("the service does not run") from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Failed(f"the broker at {self.url} cannot be asked: {error!r}") from error
        told: dict[str, Any] = json.loads(answer.data)
        if "problem" in told:
            raise Failed(told["problem"])
        return told


async def _said_by_the_call(_error: Exception) -> None:
    return
