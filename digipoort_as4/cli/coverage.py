"""`digipoort coverage`: which operations of the koppelvlak are answered, from the table that answers them."""

from __future__ import annotations

from collections import Counter
from typing import Final

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import json_option
from digipoort_as4.wus.operations import SERVICES, Operation, Service

PAGE: Final = """# Coverage

Independent, not Logius.
This page is written by `make pages` from the table of operations (`wus/operations.py`), as `digipoort coverage` is.

*done*: every element of the request counts, and every answer validates against the schema.
*partial*: answered, but for what stands beside it.
*not*: in the WSDL; a request gets a fault that names what is offered.
"""


@click.command()
@json_option
@click.option("--page", is_flag=True, help="As docs/coverage.md.")
def coverage(as_json: bool, page: bool) -> None:
    """Say which operations are done, partial or not there yet."""
    if page:
        streams.out(build_page())
        return
    for service in SERVICES:
        if not as_json:
            streams.out(f"{service.title}  {service.path}")
        for operation in service.operations:
            text = f"  {operation.state:<8} {operation.name:<27} {operation.lacks}".rstrip()
            streams.show(as_json, record_of(service, operation), text)
    streams.note(_summary())


def record_of(service: Service, operation: Operation) -> dict[str, object]:
    """One row for programs."""
    facts = {"service": service.title, "operation": operation.name, "state": operation.state, "lacks": operation.lacks}
    return {**facts, "paths": service.paths, "action": operation.request_action, "official": service.official}


def build_page() -> str:
    """docs/coverage.md, without its last line break."""
    return "\n".join([PAGE, _summary(), *(line for service in SERVICES for line in _section(service))])


def _section(service: Service) -> list[str]:
    origin = "names of the koppelvlak" if service.official else "names ours, by analogy"
    lines = [
        f"\n## {service.title}\n",
        f"Fault `{service.fault}`; {origin}; at {', '.join(map(_code, service.paths))}.",
    ]
    lines += ["\n| operation | request | state | lacks |", "|---|---|---|---|"]
    rows = ((one.name, f"{one.stem}Request", one.state, one.lacks) for one in service.operations)
    return lines + [f"| {_code(name)} | {_code(request)} | {state} | {lacks} |" for name, request, state, lacks in rows]


def _code(text: str) -> str:
    return f"`{text}`"


def _summary() -> str:
    count = Counter(operation.state for service in SERVICES for operation in service.operations)
    return f"{sum(count.values())} operations: {count['done']} done, {count['partial']} partial, {count['not']} not."
