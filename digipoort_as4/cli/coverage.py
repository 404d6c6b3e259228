"""`digipoort coverage`: which operations of the koppelvlak are answered, from the table that answers them."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Final

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import json_option
from digipoort_as4.wus.operations import AFLEVEREN, SERVICES, ZET_STATUS, Service

PAGE: Final = """# Coverage

Independent, not Logius.
This page is written by `make pages` from the table of operations (`wus/operations.toml`), as `digipoort coverage` is.

*done*: every element of the request counts, and every answer validates against the schema.
*partial*: answered, but for what stands beside it.
*not*: not there.
"""
BESIDE: Final[dict[str, list[str]]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""What is no operation: subject to state and what there is to say."""
OURS: Final = (AFLEVEREN, ZET_STATUS)
"""Their WSDLs are not public: names by analogy."""


@click.command()
@json_option
@click.option("--page", is_flag=True, help="As docs/coverage.md.")
def coverage(as_json: bool, page: bool) -> None:
    """Say what is done, what in part and what not."""
    if page:
        beside = ["\n## Beside the operations\n", "| subject | state | |", "|---|---|---|"]
        beside += [f"| {subject} | {state} | {said} |" for subject, (state, said) in BESIDE.items()]
        streams.out("\n".join([PAGE, summary(), *(_section(service) for service in SERVICES), *beside]))
        return
    for service in SERVICES:
        if not as_json:
            streams.out(f"{service.title}  {service.path}")
        for one in service.operations:
            row = {"service": service.title, "operation": one.name, "state": one.state, "lacks": one.lacks}
            more = {"paths": service.paths, "action": one.request_action, "official": service not in OURS}
            streams.show(as_json, row | more, f"  {one.state:<8} {one.name:<27} {one.lacks}".rstrip())
    for subject, (state, said) in BESIDE.items():
        text = f"  {state:<8} {subject}{'; ' if said else ''}{said}"
        streams.show(as_json, {"subject": subject, "state": state, "lacks": said}, text)
    streams.note(summary())


def _section(service: Service) -> str:
    names = "names ours, by analogy" if service in OURS else "names of the koppelvlak"
    where = ", ".join(f"`{path}`" for path in service.paths)
    rows = (f"| `{one.name}` | `{one.stem}Request` | {one.state} | {one.lacks} |" for one in service.operations)
    head = f"\n## {service.title}\n\nFault `{service.fault}`; {names}; at {where}.\n"
    return "\n".join([head, "| operation | request | state | lacks |", "|---|---|---|---|", *rows])


def summary() -> str:
    """How many operations are how far."""
    count = Counter(operation.state for service in SERVICES for operation in service.operations)
    return f"{sum(count.values())} operations: {count['done']} done, {count['partial']} partial."
