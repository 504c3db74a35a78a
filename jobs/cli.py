"""The command line: every step by its name, and several in one process joined by the word `then`."""

import sys

import click

from jobs import (
    aggregate,
    audit,
    daily,
    decide,
    features,
    ingest,
    promote,
    quarantine,
    record,
    release,
    replay,
    review,
    score,
    simulate,
    source,
    status,
    train,
    training_set,
    verify,
)
from jobs.lakehouse.command import run_command

STEPS = (
    simulate,
    ingest,
    quarantine,
    release,
    aggregate,
    features,
    verify,
    training_set,
    audit,
    train,
    review,
    promote,
    score,
    decide,
    record,
    replay,
    daily,
    status,
)

_HELP = """Credit for sellers, from a ledger of their orders, payments and loans.

\b
The way of the data:
  simulate       a marketplace's ledger as files, to try everything on
  source         mapping files: try one on your ledger, start a new one
  ingest         a ledger's files -> bronze tables; refused records are kept with their reasons
  quarantine     which records were refused, and why; release takes them in under a mended mapping
  aggregate      bronze -> silver day tiles and loan book; closes arrival days
  features       silver -> every seller's features as of a day, as known then
  verify         proves that three ways of computing the features agree
  training-set   outcomes of loans, with features as known before they were drawn
  audit          looks for leaks in a training set
  train          fit, evaluate and register a model with its card
  review         a version's gates; promote makes it the champion, or rolls back to the one before
  score          every seller's probability of default, score and points
  decide         grade, limit, price, reasons, by a versioned policy
  record         one seller's page
  replay         makes a decision again from what it rests on, and compares
  daily          ingest to decide for one more day
  status         what is published, and what it cost

\b
Several steps in one process, which starts Spark once:
  seller-credit aggregate --lake demo/lake then features --lake demo/lake --as-of 2024-09-01

\b
A lake's root, the registry and the rest are settings: conf/base.yml, a profile (--profile), SELLER_CREDIT_*
variables (SELLER_CREDIT_LAKE__ROOT=/data/lake), --set lake.root=/data/lake; the last one wins.
Exit codes: 0 done, 2 wrong input or settings, 1 could not be done.
"""


@click.group("seller-credit", help=_HELP, context_settings={"max_content_width": 120})
@click.version_option(package_name="seller-credit")
def steps() -> None:
    """Gather the steps."""


for module in STEPS:
    steps.add_command(module.command)
steps.add_command(source.command)


def main() -> None:
    """Run one step, or several joined by `then`; stops at the first that does not end well."""
    arguments = sys.argv[1:]
    chain: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "then":
            chain.append([])
        else:
            chain[-1].append(argument)
    for words in chain:
        code = run_command(steps, words)
        if code != 0:
            sys.exit(code)


if __name__ == "__main__":
    main()
