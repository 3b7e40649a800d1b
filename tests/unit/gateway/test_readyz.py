"""Readiness leaves nothing out that the edge sends requests to."""

from __future__ import annotations

import re

from mesh.edge_config import ROOT


def test_every_cluster_that_is_checked_has_its_part_in_readiness() -> None:
    text = (ROOT / "envoy.yaml").read_text(encoding="utf-8")
    checked = set(re.findall(r"  - name: (\w+)\n(?:    .*\n)*?    health_checks:", text))
    [whole] = re.findall(r"exact: /readyz\}\}\], cluster_min_healthy_percentages: \{(.*)\}\}", text)
    assert set(re.findall(r"(\w+): \{value", whole)) == checked - {
        "audit",
        "notification",
    }  # the others go on without it
    told = re.findall(r"exact: /readyz/(\w+)\}", text)
    parts = set(told)
    assert len(told) == len(parts)  # of two under one path the second is asked by nobody
    whole_parts = {"access", "command", "commands", "status", "streams", "config", "diagnostics"}
    assert parts == whole_parts | {"events", "audit", "notification"}
    assert len(checked - {"access_stream"}) == len(parts)  # which is told with its service
