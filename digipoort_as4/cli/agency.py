"""`digipoort agency`: the receiving endpoint of one government body, in the foreground; agency.py does the work."""

from functools import partial
from pathlib import Path

import click

from digipoort_as4 import agency as endpoint
from digipoort_as4 import gateway
from digipoort_as4.cli.common import FILE, dir_option
from digipoort_as4.errors import UsageError, failure


@click.command(epilog="Example: digipoort agency --config /etc/digipoort/agency.toml")
@click.option("--name", help="An agency of the local post office, whose own process must be stopped first.")
@click.option("--config", "file", type=FILE, help="agency.toml of one that stands alone.")
@dir_option
def agency(name: str | None, file: Path | None, folder: Path) -> int:
    """Run the receiving endpoint of one government body until Ctrl-C or SIGTERM.

    It verifies each delivery, stores it before it answers, hands documents over in its inbox and sets statuses."""
    if (name is None) == (file is None):
        raise failure(UsageError, "name the agency", expected="either --name NAME or --config FILE")
    read = partial(endpoint.read_settings, file) if file else partial(endpoint.local_settings, folder, str(name))
    return gateway.run_until_told(lambda stop: endpoint.run(read(), stop))
