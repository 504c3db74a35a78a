"""Features, labels, scores, decisions and sign-offs."""

from transforms.features.catalogue import CATALOGUE
from transforms.features.evaluate import wanted_sums
from transforms.features.feature import EVER, column_of
from transforms.lending.decide import DECISION_COLUMNS
from transforms.tables.measures import MEASURES
from transforms.tables.table import Column, Table

_SELLER = Column("seller_id", "string not null", "as the source names the seller")
_AS_OF = Column("as_of", "date not null", "the row uses only what was known before this day began")
_RUN = Column("run_id", "string not null", "run that made the slice")
FEATURE_COLUMNS = tuple(
    Column(feature.name, feature.type, f"{feature.meaning}; {feature.unit}; null: {feature.unknown_when}")
    for feature in CATALOGUE
)

SELLER_FEATURES = Table(
    "gold.seller_features",
    row="one seller's features as of one day",
    key=("seller_id", "as_of", "run_id"),
    columns=(_SELLER, _AS_OF, _RUN, *FEATURE_COLUMNS),
    partitioned_by=("as_of", "run_id"),
    leading=1,
    keeps_retired=True,
)

WINDOW_SUMS = Table(
    "gold.window_sums",
    row="one seller known before the as-of day: its sums over windows, from which the next day's are made",
    key=("seller_id", "as_of", "run_id"),
    columns=(
        _SELLER,
        _AS_OF,
        _RUN,
        Column("first_day", "date", "first event day known; null before any event"),
        *(
            Column(
                column_of(name, days),
                "bigint",
                f"{MEASURES[name].meaning}; summed over {'all days' if days == EVER else f'{days} days'} before the"
                " as-of day",
            )
            for name, days in wanted_sums()
        ),
    ),
    partitioned_by=("as_of", "run_id"),
    # sums are read whole: nobody skips in them
    leading=0,
    is_of_numbers=True,
    keeps_retired=True,
)

OUTCOMES = Table(
    "gold.outcomes",
    row="one seller's outcome of one cohort, and why",
    key=("seller_id", "as_of", "run_id"),
    columns=(
        _SELLER,
        Column("as_of", "date not null", "as-of day of the cohort: what follows it is looked at"),
        _RUN,
        Column(
            "sample", "string not null", "origination: loans drawn then; behavioural: the book; given: by the source"
        ),
        Column("outcome", "string not null", "good, bad, indeterminate (30 to 89 days past due) or unknown"),
        Column("why", "string not null", "what decided it"),
        Column("loans", "bigint not null", "loans that the outcome is about: those drawn then, or those in the book"),
        Column("worst_days_past_due", "int", "largest days past due of these loans in the time looked at"),
        Column(
            "bad_on", "date", "day on which the first of them went bad; null unless bad, or where the source gave it"
        ),
        Column("exposure_at_default_fen", "bigint", "outstanding on the days on which they went bad; null unless bad"),
        Column("known_on", "date", "first as-of day on which the outcome is known; null while it is not"),
        Column(
            "approval_probability",
            "double",
            "largest probability with which one of these loans was approved, 1 where its approval tells none;"
            " null where none of them tells one",
        ),
    ),
    partitioned_by=("run_id",),
    checks={
        "an_outcome": "outcome in ('good', 'bad', 'indeterminate', 'unknown')",
        "a_sample": "sample in ('origination', 'behavioural', 'given')",
        "unknown_is_never_good": "outcome = 'unknown' or known_on is not null",
    },
)

TRAINING_SET = Table(
    "gold.training_set",
    row="one seller of one cohort with a known outcome, and its features as known then",
    key=("training_set", "seller_id", "as_of"),
    columns=(
        Column("training_set", "string not null", "id of the set; a set is never edited"),
        _SELLER,
        _AS_OF,
        Column("group_id", "string not null", "connected group: never on both sides of a split"),
        Column("bad", "int not null", "1 bad, 0 good or indeterminate"),
        Column("indeterminate", "boolean not null", "left out of fitting, counted as not bad in calibration"),
        Column("known_on", "date not null", "first as-of day on which the outcome is known"),
        Column("approval_probability", "double", "as in gold.outcomes; below 1 of loans approved at random"),
        *FEATURE_COLUMNS,
    ),
    partitioned_by=("training_set",),
    keeps_retired=True,
)

SCORES = Table(
    "gold.scores",
    row="one seller's score as of one day by one model version",
    key=("seller_id", "as_of", "run_id"),
    columns=(
        _SELLER,
        _AS_OF,
        _RUN,
        Column("bucket", "int not null", "pmod(xxhash64(seller_id), buckets of the lake)"),
        Column("model_name", "string not null", "registered model"),
        Column("model_version", "int not null", "its version"),
        Column("features_run_id", "string not null", "slice of gold.seller_features that was scored"),
        Column("margin", "double not null", "sum of the trees"),
        Column("log_odds", "double not null", "calibrated log-odds of bad"),
        Column("pd", "double not null", "probability of the bad outcome that the model's card defines"),
        Column("score_before_clipping", "double not null", "score on the scale of the policy, unbounded"),
        Column("score", "double not null", "the same within 350 to 950"),
        Column("base_points", "double not null", "score of the reference seller"),
        Column(
            "reference",
            "string",
            "who that is: sellers who just qualify, or average where too few do; null where the version does not tell",
        ),
        Column(
            "points",
            "map<string,double> not null",
            "points by feature; with the base they sum to the score before clipping",
        ),
    ),
    partitioned_by=("as_of", "run_id"),
    checks={"a_probability": "pd > 0 and pd < 1"},
)

DECISIONS = Table(
    "gold.decisions",
    row="one decision: what a seller is offered, or why not, with everything that it rests on",
    key=("seller_id", "as_of", "run_id"),
    columns=(
        *DECISION_COLUMNS,
        _RUN,
        Column("model_name", "string not null", "registered model"),
        Column("model_version", "int not null", "its version"),
        Column("features_run_id", "string not null", "slice of gold.seller_features that was scored"),
        Column("scores_run_id", "string not null", "slice of gold.scores that was decided on"),
    ),
    partitioned_by=("as_of", "run_id"),
    checks={
        "an_outcome": "outcome in ('offer', 'decline', 'not_enough_history', 'not_enough_information')",
        "a_limit_only_with_an_offer": "outcome = 'offer' or limit_fen = 0",
    },
)

SIGNOFFS = Table(
    "gold.signoffs",
    row="one sign-off: a promotion or a roll-back, by whom, on what evidence; the newest row names the champion",
    key=("run_id",),
    columns=(
        _RUN,
        Column("kind", "string not null", "promotion, or rollback to the champion before"),
        Column("model_name", "string not null", "registered model"),
        Column("model_version", "int not null", "version that became champion"),
        Column("previous_version", "int", "champion until then; null of the first"),
        Column("approver", "string not null", "who signed; of a promotion never who trained"),
        Column("trainer", "string not null", "who trained the version"),
        Column(
            "gates",
            "array<struct<gate:string,verdict:string,evidence:string>> not null",
            "what was checked, with its figures",
        ),
        Column(
            "overrides",
            "array<struct<gate:string,reason:string>> not null",
            "gates that did not pass, each with the reason for promoting all the same",
        ),
        Column("reason", "string", "why it was rolled back; null of a promotion"),
        Column("signed_at", "timestamp not null", "UTC"),
    ),
    checks={
        "a_kind": "kind in ('promotion', 'rollback')",
        "a_rollback_has_a_reason": "kind = 'promotion' or reason is not null",
    },
)
