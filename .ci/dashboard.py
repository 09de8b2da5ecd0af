"""Checks Grafana's dashboard: ids, places, and every expression as a recording rule for promtool.

    python3 .ci/dashboard.py rules DASHBOARD.json > RULES.yml
    python3 .ci/dashboard.py metrics DASHBOARD.json RULES.yml    # the names of the service's metrics in both
"""

import json
import re
import sys
from pathlib import Path

# What Grafana fills in before Prometheus sees an expression.
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h", "$instance": ".*"}


def targets(dashboard):
    return [target for panel in dashboard["panels"] for target in panel.get("targets", [])]


def check_layout(panels):
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids)), "two panels have one id"
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        assert panel["title"], f"panel {panel['id']} has no title"
        assert place["x"] + place["w"] <= 24, f"{panel['title']} is wider than the grid"
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])):
            other = taken.setdefault(cell, panel["title"])
            assert other == panel["title"], f"{panel['title']} lies over {other}"


def rules(dashboard):
    """Yields a file of recording rules; JSON is YAML."""
    expressions = [target["expr"] for target in targets(dashboard)]
    expressions += [entry["expr"] for entry in dashboard["annotations"]["list"]]
    for name, value in VARIABLES.items():
        expressions = [expression.replace(name, value) for expression in expressions]
    for expression in expressions:
        assert "$" not in expression, f"unknown variable in {expression}"
    # Labels keep equal expressions apart.
    named = [
        {"record": "panel:expr", "expr": expression, "labels": {"at": str(at)}} for at, expression in enumerate(expressions)
    ]
    return {"groups": [{"name": "dashboard", "rules": named}]}


def metrics(text):
    """Returns the metric families that a text names; a histogram counts as one."""
    names = set(re.findall(r"\btft_[a-z_]+\b", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def main():
    command, *paths = sys.argv[1:]
    if command == "metrics":
        print("\n".join(sorted(set().union(*(metrics(Path(path).read_text()) for path in paths)))))
        return
    dashboard = json.loads(Path(paths[0]).read_text())
    check_layout(dashboard["panels"])
    for panel in dashboard["panels"]:
        assert panel["type"] == "row" or panel["targets"], f"{panel['title']} shows nothing"
    print(json.dumps(rules(dashboard)))


if __name__ == "__main__":
    main()
