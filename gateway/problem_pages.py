"""The catalogue of problems for people: an entry for each code of the contract, at the address that is its `type`.

Nothing of it is written here: it is what the OpenAPI document says (`x-problems`), which is made from the contract.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.portal_layout import PROBLEMS, layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SENT = re.compile(r"`([^`]+)`")
_METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Operation:
    """Where a problem may be answered."""

    name: str
    tag: str
    method: str
    path: str
    summary: str


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One problem. `may_have_acted` is whether a request that is answered so may have been carried out all the same."""

    code: str
    status: int
    grpc_code: str
    title: str
    when: str
    retryable: bool
    may_have_acted: bool
    remedy: str
    guidance: str
    operations: tuple[Operation, ...]

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return self.code.lower().replace("_", "-")

    def told(self) -> dict[str, Any]:
        """Return it as JSON, with the words of a problem document where there are such."""
        return {
            "code": self.code,
            "title": self.title,
            "status": self.status,
            "grpcCode": self.grpc_code,
            "when": self.when,
            "retryable": self.retryable,
            "mayHaveSucceeded": self.may_have_acted,
            "remedy": self.remedy,
            "guidance": self.guidance,
            "operations": [
                {"operationId": each.name, "method": each.method, "path": each.path}
                for each in self.operations
            ],
        }


def catalogue_of(document: Mapping[str, Any]) -> list[CatalogueEntry]:
    """Return the catalogue of an OpenAPI document. Raises KeyError where it has none."""
    known = {
        operation["operationId"]: Operation(
            operation["operationId"], operation["tags"][0], method.upper(), path, operation["summary"]
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in _METHODS
    }
    return [
        CatalogueEntry(
            code=each["code"],
            status=each["status"],
            grpc_code=each["grpcCode"],
            title=each["title"],
            when=each["when"],
            retryable=each["retryable"],
            may_have_acted=each["mayHaveSucceeded"],
            remedy=each["remedy"],
            guidance=each["guidance"],
            operations=tuple(known[name] for name in each["operations"]),
        )
        for each in document["components"]["schemas"]["Problem"]["x-problems"]
    ]


def _text(words: str) -> str:
    """Return text as markup: what stands between backticks is what is sent to the letter."""
    return _SENT.sub(r"<code>\1</code>", html.escape(words))


def _acted(entry: CatalogueEntry) -> str:
    if entry.may_have_acted:
        return (
            "Perhaps: the request may have been carried out all the same. <code>mayHaveSucceeded</code> of the answer "
            "says it of that request; the command's own page or the vehicle's status says what became of it."
        )
    return "No. The vehicle does nothing because of this request."


def _again(entry: CatalogueEntry) -> str:
    if entry.retryable and entry.may_have_acted:
        return "Yes, with the same <code>X-Correlation-ID</code>: it is then carried out once at most."
    if entry.retryable:
        return "Yes: the same request may succeed later, and repeating it is safe."
    return "No: the same request is answered alike. Something has to change first."


def _operations(entry: CatalogueEntry) -> str:
    if not entry.operations:
        return (
            "<p>No endpoint of its own: the edge answers it for any request, or an RPC that is called over gRPC "
            "alone.</p>"
        )
    lines = []
    for each in entry.operations:
        address = f"/portal/#/{each.tag.replace(' ', '_')}/{each.name}"
        lines.append(
            f'<li><a href="{html.escape(address)}"><code>{each.method} {html.escape(each.path)}</code></a> '
            f"{_text(each.summary)}</li>"
        )
    return f"<ul>{''.join(lines)}</ul>"


def page(entry: CatalogueEntry) -> str:
    """Return the page of one problem."""
    main = [
        f"<h1>{html.escape(entry.title)}</h1>",
        f'<p class="facts"><code>{entry.code}</code> <span>HTTP {entry.status}</span> '
        f"<span>gRPC {entry.grpc_code}</span></p>",
        f"<p>{_text(entry.when)}</p>",
        "<dl>",
        f"<dt>Could the vehicle have acted?</dt><dd>{_acted(entry)}</dd>",
        f"<dt>Is a retry safe?</dt><dd>{_again(entry)}</dd>",
        f"<dt>What your client does</dt><dd>{_text(entry.remedy)}</dd>",
        f"<dt>What your user reads</dt><dd>“{_text(entry.guidance)}”</dd>",
        "</dl>",
        "<h2>Where it is answered</h2>",
        _operations(entry),
        f'<p class="small">As JSON: <a href="{PROBLEMS}{entry.slug}.json">{entry.slug}.json</a>. '
        f'<a href="{PROBLEMS}">All problems</a></p>',
    ]
    return layout(entry.title, "\n".join(main))


def index(catalogue: Sequence[CatalogueEntry]) -> str:
    """Return the page of all problems."""
    rows = [
        f'<tr><th scope="row"><a href="{PROBLEMS}{each.slug}"><code>{each.code}</code></a></th><td>{each.status}</td>'
        f"<td>{_text(each.when)}</td><td>{'perhaps' if each.may_have_acted else 'no'}</td>"
        f"<td>{'yes' if each.retryable else 'no'}</td></tr>"
        for each in catalogue
    ]
    main = [
        "<h1>Problems</h1>",
        "<p>Every refusal is a problem document (RFC 9457): its <code>code</code> is one of these, and its "
        "<code>type</code> leads to the entry. <code>retryable</code> says whether the same request may succeed later, "
        "<code>mayHaveSucceeded</code> whether something may have happened all the same. Decide by <code>code</code>; "
        "new ones may be added, so treat one that you do not know by its status.</p>",
        '<div class="scrolls" role="region" aria-label="All problems" tabindex="0"><table><thead><tr>'
        '<th scope="col">code</th><th scope="col">status</th><th scope="col">when</th>'
        '<th scope="col">acted?</th><th scope="col">again?</th></tr></thead>',
        f"<tbody>{''.join(rows)}</tbody></table></div>",
        f'<p class="small">As JSON: <a href="{PROBLEMS}index.json">index.json</a></p>',
    ]
    return layout("Problems", "\n".join(main))
