"""docs/conformance.md says of every sentence of the protocol who looks at it."""

from __future__ import annotations

import re
from pathlib import Path

from conformance.rules import RULES

DOCS = Path("docs")
EXEMPT = {"The vehicle protocol", "Faults", "Vectors"}
"""Sections that say what the page is, and tables that other sections name."""
ROW = re.compile(r"\| ([A-Z]+[0-9]+) \| (.+?) \| ([^|]+) \|")
RULE_ID = re.compile(r"`([a-z0-9-]+)`")
SENTENCE_END = re.compile(r"(?<=[.:;])\s+(?=[A-Z\"*`(])")


def sentences(page: str) -> list[tuple[str, str]]:
    """Section and text: a sentence, or a row of a table. Layouts in bytes are not sentences."""
    found: list[tuple[str, str]] = []
    section, paragraph = "", list[str]()

    def end() -> None:
        found.extend((section, one) for one in SENTENCE_END.split(" ".join(paragraph)) if one)
        paragraph.clear()

    for line in page.splitlines():
        if line.startswith("    ") and not paragraph:
            continue
        if not line or line[0] in "#|-":
            end()
        if line.startswith("#"):
            section = line.lstrip("# ")
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.split("|") if cell.strip(" -")]
            if cells:
                found.append((section, "; ".join(cells)))
            else:  # what is above the line names the columns
                found.pop()
        elif not line:
            continue
        else:
            paragraph.append(line.removeprefix("- ").strip())
    end()
    return found


def rows(first_letters: str) -> list[tuple[str, str, str]]:
    page = (DOCS / "conformance.md").read_text(encoding="utf-8")
    return [row for row in ROW.findall(page) if row[0][0] in first_letters]


def meant(words: str, page: list[str]) -> list[str]:
    """The sentences that a row speaks of: the one that is these words, or else those that have them."""
    return [text for text in page if text == words] or [text for text in page if words in text]


def test_every_sentence_says_who_looks_at_it() -> None:
    page = sentences((DOCS / "vehicle-protocol.md").read_text(encoding="utf-8"))
    texts = [text for _, text in page]
    looked_at = {text for _id, words, _who in rows("KESNOARM") for text in meant(words, texts)}
    missing = [
        f"{section}: {text}" for section, text in page if section not in EXEMPT and text not in looked_at
    ]
    assert not missing, "docs/conformance.md, Every sentence, has no row for:\n" + "\n".join(missing)


def test_every_row_is_about_one_sentence_that_is_there() -> None:
    page = [
        text
        for section, text in sentences((DOCS / "vehicle-protocol.md").read_text(encoding="utf-8"))
        if section not in EXEMPT
    ]
    unclear = {
        row_id: (words, len(meant(words, page)))
        for row_id, words, _who in rows("KESNOARM")
        if len(meant(words, page)) != 1
    }
    assert not unclear, "these words are in no sentence of docs/vehicle-protocol.md, or in more than one"
    unit = " ".join(Path("vehicle/README.md").read_text(encoding="utf-8").split())
    assert not [words for _id, words, _who in rows("V") if words not in unit]


def test_every_row_names_rules_or_says_why_not() -> None:
    ids = [row_id for row_id, _, _ in rows("KESNOARMV")]
    assert len(ids) == len(set(ids)) > 100
    rule_ids = {rule.rule_id for rule in RULES}
    for row_id, _words, who in rows("KESNOARMV"):
        named = set(RULE_ID.findall(who))
        assert named <= rule_ids, row_id
        assert named or who in {"cloud", "explains"} or re.match(r"not playable: .{20}", who), row_id


def test_every_rule_looks_at_a_sentence() -> None:
    named = {rule_id for _id, _words, who in rows("KESNOARMV") for rule_id in RULE_ID.findall(who)}
    assert {rule.rule_id for rule in RULES} - named == set()
