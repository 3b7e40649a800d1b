"""A true witness (c2sp.org/tlog-witness), over HTTP on loopback: it remembers how far it has seen each log."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tlog.checkpoints import CheckpointError, open_checkpoint
from tlog.hashing import EMPTY_ROOT, ProofError, verify_consistency
from tlog.notes import COSIGNATURE, NoteKey, cosignature_line, unbase64

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME = 1_768_228_200


@dataclass
class TrueWitness:
    """Knows one log. `answer` is what it says in place of the truth, `asked` what it was sent, `time` what its clock
    says.
    """

    origin: str
    log_keys: list[NoteKey]
    name: str = "witness.test/w1"
    private: Ed25519PrivateKey = field(
        default_factory=lambda: Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    )
    seen: tuple[int, bytes] = (0, EMPTY_ROOT)
    answer: tuple[int, bytes] | None = None
    asked: list[bytes] = field(default_factory=list)
    url: str = ""
    time: int = TIME

    @property
    def key(self) -> NoteKey:
        return NoteKey(self.name, COSIGNATURE, self.private.public_key().public_bytes_raw())

    @property
    def setting(self) -> str:
        return f"{self.key.vkey()} {self.url}"

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        """Status and body, as the document says."""
        self.asked.append(body)
        if self.answer is not None:
            return self.answer
        head, _, note = body.partition(b"\n\n")
        old, *lines = head.decode().split("\n")
        try:
            signed = open_checkpoint(note, self.origin, self.log_keys)
        except CheckpointError as error:
            return (404 if "another log" in str(error) else 403), b""
        size, root = signed.checkpoint.size, signed.checkpoint.root
        old_size = int(old.removeprefix("old "))
        if old_size > size:
            return 400, b""
        if old_size != self.seen[0] or (old_size == size and root != self.seen[1]):
            return 409, b"%d\n" % self.seen[0]
        try:
            verify_consistency(old_size, size, self.seen[1], root, [unbase64(line) for line in lines])
        except ProofError:
            return 422, b""
        self.seen = (size, root)
        return 200, cosignature_line(signed.note.text, self.name, self.private, self.time).encode()


@contextmanager
def serving(witness: TrueWitness) -> Iterator[TrueWitness]:
    """The witness, at its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = witness.add_checkpoint(body) if self.path == "/w/add-checkpoint" else (404, b"")
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    witness.url = f"http://127.0.0.1:{server.server_port}/w"
    try:
        yield witness
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
