"""The catalogue as a page: `python -m transforms.features.reference > docs/features.md`."""

from collections.abc import Sequence
from itertools import groupby

from transforms.features.catalogue import BY_NAME, CATALOGUE, MODEL_INPUTS, STATES, made_of
from transforms.features.feature import Feature
from transforms.tables.measures import MEASURES

_HEAD = """# Features

Written from the catalogue in `transforms/features/` by `make features-doc`; a test fails where this page is old.

{count} features; {inputs} of them are model inputs, the others (marked *rule* below) serve a policy's rules. Each is
one column of `gold.seller_features` and uses only what had happened **and** was known before the as-of day. A window
of 90 days is the 90 days before it. Amounts are fen, shares fractions of 1. **Null is unknown, 0 is none**: a feature
whose kind of record or field no source tells is null for every seller, also as of the days before its first load; where
a kind is told, a seller without a record of it has 0. Ratios are null where 0 or less is below the line. What needs a
whole earlier period is null where no order (of money: no payment) is known from before it: of the time before a shop's
orders or account were connected nothing is known, however long its other history (`history_days`).

A formula is SQL over window sums (`paid_fen_90d` is the measure `paid_fen` summed over 90 days), states and other
features. *Made of* says what has to be kept for it: **additive** sums of day tiles; **pair**: what a seller and a buyer
have done; **item**: what a seller sold of an item; **day series**: a seller's days in order; **loan**: the loan book;
**profile**: versions of the profile; **graph**: the connected group. *Risk* is how it is expected to move when the
feature rises; a model may find otherwise, and the direction is checked before it is promoted.

Region, owner type, gender and age of the owner are never model inputs, nor are a lender's own earlier refusals.

`seller-credit features --explain NAME --seller S --as-of D` shows one seller's value and what it was made of.
"""

_ADDING = """## Adding a feature

An entry in its family's file, and its value worked out by hand on the tiny ledger of the tests:

```diff
--- a/transforms/features/service.py
+    *ratios(
+        "confirmation_rate",
+        "confirmed_orders",
+        "paid_orders",
+        (90,),
+        family=_SERVICE,
+        unit="share",
+        meaning="confirmed orders over paid orders",
+        unknown_when=_NO_ORDER,
+        risk="falls",
+    ),
--- a/tests/transforms/features/test_by_hand.py
+    "confirmation_rate_90d": (3 / 7, 0, None),
```

Then `make features-doc`. The column, its comment, the sums that the engine keeps, the model input, the words on the
seller's page and this page come from the entry. A formula that names what there is not, a window that no state holds, a
name used twice or a feature made of itself is refused when the catalogue is loaded, in a sentence that names the entry.
The next day has it. `seller-credit features --renew` publishes the days of before once more, all features by the
catalogue and of the sources as they are now; what was published first stays, and decisions rest on it.

A new **measure** is an entry in `transforms/tables/measures.py`, with the kinds of record that it needs; the
next `aggregate` adds it to the tiles of the closed days. What cannot be summed is a **state** in
`transforms/features/states/`.
"""

_NOT_HERE = (
    (
        "days of delivery that 9 of 10 orders keep to",
        "sums keep how many were late, not how late each was",
        "late_delivery_rate_90d",
        "delivery_hours_mean_90d",
    ),
    (
        "forecast of the next 90 days' sales; growth after the season",
        "a forecast is a model of its own; its parts are here",
        "season_index_next_90d",
        "gmv_growth_on_year_90d",
    ),
    ("season of the category", "days are summed by seller, not by category", "season_index_next_90d"),
    ("sales lost with the ten best buyers", "the same number as their share", "top_ten_buyer_share_90d"),
    ("money held in escrow; days until it is settled", "no kind of payment event tells it", "inflow_sum_90d"),
    ("restocking over sales", "stock is not told, payments to suppliers are", "supplier_rate_90d"),
    (
        "use of the limit, and its change",
        "a limit is the lender's own decision, and would feed it back",
        "outstanding_principal",
        "debt_rate",
    ),
    (
        "days from a draw to the first repayment; sales taken elsewhere after a draw",
        "no state keeps the day of a loan's first repayment; what is sold elsewhere is in no ledger",
        "mean_days_drawn",
        "cash_out_share_365d",
    ),
    ("suppliers shared with other shops", "groups go by owner, device and payout account", "group_members"),
)
"""Ideas that the catalogue has no entry for: what, why, and the features nearest to it."""


def reference() -> str:
    """The page, as Markdown."""
    parts = [_HEAD.format(count=len(CATALOGUE), inputs=len(MODEL_INPUTS))]
    by_family = sorted(CATALOGUE, key=_order)
    for family, features in groupby(by_family, key=lambda feature: feature.family):
        parts.append(f"## {family[:1].upper()}{family[1:]}\n\n{_table(list(features))}\n")
    measures = [(f"`{m.name}`", m.meaning, _needs(m.needs)) for m in MEASURES.values()]
    states = [(f"`{s.name}`", s.made_of, s.meaning, _needs(s.needs)) for s in STATES.values()]
    parts += [
        "## Measures\n\nAdditive integers of one seller and event day; each is unknown in a lake none of whose sources "
        f"tells what it needs.\n\n{_rows(('measure', 'meaning', 'needs'), measures)}\n",
        "## States\n\nWhat is not a sum, as of the as-of day.\n\n"
        f"{_rows(('state', 'made of', 'meaning', 'needs'), states)}\n",
        _ADDING,
        "## Not here\n\nWhat is asked for elsewhere, and what stands nearest to it here.\n\n"
        f"{_rows(('idea', 'why not', 'nearest'), [_absent(*idea) for idea in _NOT_HERE])}\n",
    ]
    return "\n".join(parts)


def _order(feature: Feature) -> int:
    """Families in the order in which the catalogue first names them."""
    return [other.family for other in CATALOGUE].index(feature.family)


def _table(features: list[Feature]) -> str:
    header = ("name", "formula", "unit", "meaning", "risk", "made of", "unknown when")
    return _rows(
        header,
        [
            (
                f"`{f.name}`" + ("" if f.model_input else " *rule*"),
                f"`{f.formula}`",
                f.unit,
                f.meaning,
                f.risk or "either",
                ", ".join(made_of(f)),
                f.unknown_when,
            )
            for f in features
        ],
    )


def _absent(idea: str, why: str, *nearest: str) -> tuple[str, ...]:
    return idea, why, ", ".join(f"`{BY_NAME[name].name}`" for name in nearest)


def _rows(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ("---",) * len(header), *rows))


def _needs(kinds: tuple[str, ...]) -> str:
    return ", ".join(kind.replace("_event.", ": ") for kind in kinds) or "-"


if __name__ == "__main__":
    print(reference(), end="")
