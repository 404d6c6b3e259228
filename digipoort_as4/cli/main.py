"""`digipoort`: finds the command, and turns every error into one clear message and an exit code.

Imports no command before it is called, so that `--help` is there at once; does no work itself."""

import difflib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final, NamedTuple

import click

import digipoort_as4
from digipoort_as4.cli import streams
from digipoort_as4.errors import DigipoortError, UsageError, failure


class Entry(NamedTuple):
    """One line of the help, and where its command is."""

    place: str  # module:attribute below digipoort_as4.cli
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "demo": Entry("demo:demo", "Play the whole story once: five messages, from envelope to status."),
    "up": Entry("office:up", "Start the post office and its agencies on this machine."),
    "down": Entry("office:down", "Stop them."),
    "send": Entry("send:send", "Send a document, signed, and check the signed receipt."),
    "status": Entry("status:status", "Ask what became of a message."),
    "explain": Entry("explain:explain", "Say what a code means and what to do: status, foutcode, DK-BP, cause."),
    "verify": Entry("verify:verify", "Check the signature of a stored message, with every finding."),
    "pki": Entry("pki:pki", "Make and list test certificates in the shapes of PKIoverheid."),
    "consents": Entry("registers:consents", "List, grant or withdraw consent for copies to a second agency."),
    "clock": Entry("rehearse:clock", "Move the clock of the local post office: 72 hours in a second."),
    "scenario": Entry("rehearse:scenario", "Have the local post office misbehave on purpose."),
    "mandates": Entry("registers:mandates", "List, grant or withdraw mandates: who may act for whom."),
    "routes": Entry("registers:routes", "List, check, set or retire routes: who gets which message."),
    "sidecar": Entry("sidecar:sidecar", "Sign for a program that cannot: plain SOAP in, signed WUS out."),
    "agency": Entry("agency:agency", "Run the receiving endpoint of one government body."),
    "coverage": Entry("coverage:coverage", "Say which operations are done, and what is done in part or not."),
    "version": Entry("version:version", "Say which version this is, and of what it is built."),
}

ABOUT: Final = """An electronic post office for messages to government on your own machine: signed SOAP in, a signed
receipt back, delivery to the right agencies, statuses. Independent, not Logius; never for production keys.

\b
Examples:
  digipoort demo                       the whole story, once
  digipoort up                         the same post office, kept running
  digipoort send return.xbrl --berichtsoort Omzetbelasting --belanghebbende BTW:001000044B37 --follow
"""
EVERYWHERE: Final = ("--debug", "--no-color")  # Good anywhere on the line; main and report read them, no command does


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)  # in the order a newcomer needs them

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (entry := COMMANDS.get(cmd_name)) is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command = getattr(importlib.import_module(f"digipoort_as4.cli.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            fix = f"Did you mean '{near[0]}'?" if near else "digipoort --help lists the commands"
            raise failure(UsageError, f"there is no command '{args[0]}'", fix=fix)
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, help=ABOUT, invoke_without_command=True)
@click.option("--debug", is_flag=True, help="Show the traceback of an error. Good anywhere on the line.")
@click.option("--no-color", is_flag=True, help="No colour, whatever the terminal (also: NO_COLOR). Good anywhere.")
@click.version_option(digipoort_as4.__version__, message="digipoort %(version)s")
@click.pass_context
def cli(ctx: click.Context, debug: bool, no_color: bool) -> None:
    """Show the help when nothing is asked."""
    if ctx.invoked_subcommand is None:
        streams.out(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit: DigipoortError.exit_code of the class, 2 for usage, 130 when interrupted, 1 for a bug of ours."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--no-color" in words:
        os.environ["NO_COLOR"] = "1"
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """One command line to its exit code."""
    asked = [word for word in words if word not in EVERYWHERE]
    try:
        result = cli.main(args=asked, prog_name="digipoort", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except DigipoortError as error:
        return report(error, words)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)  # what click says, in our form
        fix = f"{context.command_path if context else 'digipoort'} --help"
        return report(failure(UsageError, error.format_message().rstrip("."), fix=fix), words)
    except (KeyboardInterrupt, click.Abort):
        streams.note("interrupted")
        return 130
    except BrokenPipeError:
        # The reader has gone (`| head`): nobody to tell, and Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the outermost loop of this process
        what, fix = f"{type(error).__name__}: {error}", "run again with --debug and report what it shows"
        return report(failure(DigipoortError, what, fix=fix), words, error)


def report(error: DigipoortError, words: Sequence[str], cause: BaseException | None = None) -> int:
    """Say on stderr what went wrong, as one JSON object when --json was asked; returns the exit code."""
    if "--debug" in words:
        traceback.print_exception(cause or error)
    if "--json" in words:
        streams.note(json.dumps(streams.as_record(error), ensure_ascii=False))
    else:
        streams.explain(error)
    return error.exit_code


if __name__ == "__main__":
    main()
