"""docs/tcu.md, pasted: a new car is enrolled, and a unit that knows nothing but the pages obeys an app."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.typescript_unit import built_unit
from tests.system.documents import ROOT, blocks, paste

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

PAGE = "docs/tcu.md"
EXAMPLE = "examples/unit-typescript/README.md"
USUAL_BASE = 8000


def moved(block: str, mesh: Mesh) -> str:
    """The block with the ports and the folder of this mesh."""
    there = re.sub(r":(8\d{3})\b", lambda port: f":{int(port[1]) - USUAL_BASE + mesh.ports.base}", block)
    return there.replace(".doors/", f"{mesh.data}/")


@pytest.mark.parametrize(("link", "vin"), [("nats", "KMHSH81C7LU700001"), ("mqtt", "KMHSH81C7LU700002")])
def test_the_pages_lines_bring_a_new_unit_to_its_first_command(mesh: Mesh, link: str, vin: str) -> None:
    enrolling, granting = blocks(PAGE, "## Keys, certificate, enrolment")
    (using,) = blocks(PAGE, "## The first command")
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    if link == "mqtt":
        (said,) = re.findall(r"With `(--mqtt \S+)` instead of", page)
        using = re.sub(r"--nats \S+", said, using)
    tells_a_first_command(mesh, enrolling + granting + using, vin, f"tcu-{link}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("link", "vin"), [("nats", "KMHSH81C7LU700003"), ("mqtt", "KMHSH81C7LU700004")])
def test_so_do_those_of_the_unit_in_another_language(mesh: Mesh, link: str, vin: str) -> None:
    program = built_unit() / "dist" / "src" / "main.js"
    enrolling, granting = blocks(PAGE, "## Keys, certificate, enrolment")
    (using,) = blocks(PAGE, "## The first command")
    (starting,) = blocks(EXAMPLE, "## Run it in the sandbox")
    if link == "mqtt":
        page = (ROOT / EXAMPLE).read_text(encoding="utf-8")
        (member, variable) = re.findall(r"^Over MQTT: `(.+)`, and `(.+)`\.$", page, re.MULTILINE)[0]
        starting = starting.replace('"link": "nats"', member)
        starting = re.sub(r"DOORS_NATS_URL=\S+", variable, starting)
    starting = starting.replace("examples/unit-typescript/dist/src/main.js", str(program)).rstrip()
    asking = using.split("& TCU=$!\n", 1)[1]
    tells_a_first_command(
        mesh, f"{enrolling}{granting}{starting} & TCU=$!\n{asking}", vin, f"tcu-node-{link}"
    )


def tells_a_first_command(mesh: Mesh, story: str, vin: str, folder: str) -> None:
    """As a reader would for another car; and whatever fails, the unit does not stay."""
    story = "trap 'kill $TCU 2>/dev/null || true' EXIT\n" + story
    story = story.replace("KMHSH81C7LU700001", vin)
    story = re.sub(r"\.doors/tcu\b", f".doors/{folder}", story)

    done = paste(moved(story, mesh), ROOT, DOORS_DATA_DIR=str(mesh.data))

    said_all = done.stdout + done.stderr
    assert done.returncode == 0, said_all
    assert f"enrolled {vin} " in done.stdout
    assert "admitted until " in done.stdout
    assert "never said" not in done.stdout, said_all
    assert '"SUCCESS"' in done.stdout
    assert vin in done.stdout
