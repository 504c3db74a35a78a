"""Connected groups against a union-find over a profile's versions, written for this test alone."""

from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from transforms.groups.groups import LINKING, MOST_SHARERS, groups_at, seller_groups, smallest_reachable
from transforms.windows.asked import Chosen

DAY = date(2025, 3, 1)
SCHEMA = (
    "seller_id string, changed_on date, arrival_day date, owner_id string, payout_account_id string, device_id string,"
    " closed_on date, content_hash bigint"
)


def version(seller: str, owner=None, account=None, device=None, on: int = -10, known: int | None = None):
    """A profile version; days are counted from DAY."""
    changed, arrived = (DAY + timedelta(days=days) for days in (on, on if known is None else known))
    return seller, changed, arrived, owner, account, device, None, 0


def groups(spark: SparkSession, *versions, as_of: date = DAY) -> dict[str, tuple[str, int]]:
    rows = seller_groups(spark.createDataFrame(list(versions), SCHEMA), as_of).collect()
    assert len({row.seller_id for row in rows}) == len(rows)
    return {row.seller_id: (row.group_id, row.members) for row in rows}


def by_union_find(versions, as_of: date) -> dict[str, tuple[str, int]]:
    known = [row for row in versions if row[1] < as_of and row[2] < as_of]
    parent = {row[0]: row[0] for row in known}

    def root(seller: str) -> str:
        while parent[seller] != seller:
            seller = parent[seller]
        return seller

    sharers = defaultdict(set)
    for seller, _, _, *values, _, _ in known:
        for name, value in zip(LINKING, values, strict=True):
            if value is not None:
                sharers[name, value].add(seller)
    for sellers in sharers.values():
        if len(sellers) <= MOST_SHARERS:
            first, *others = sorted(sellers)
            for other in others:
                parent[root(other)] = root(first)
    members = defaultdict(set)
    for seller in parent:
        members[root(seller)].add(seller)
    return {seller: (min(group), len(group)) for group in members.values() for seller in group}


def test_owner_account_and_device_connect_and_a_name_of_another_attribute_does_not(spark: SparkSession) -> None:
    assert groups(
        spark,
        version("d", owner="P1"),
        version("c", owner="P1", account="A1"),
        version("b", account="A1", device="D1"),
        version("a", device="D1"),
        version("e", account="P1"),
        version("f"),
        version("g"),
    ) == {**dict.fromkeys("abcd", ("a", 4)), "e": ("e", 1), "f": ("f", 1), "g": ("g", 1)}


def test_a_link_counts_from_the_day_on_which_it_was_known_and_outlives_a_change(spark: SparkSession) -> None:
    versions = (
        version("a", account="A1", on=-30),
        version("b", account="A1", on=-20, known=-5),
        version("b", account="A2", on=-4),
        version("c", account="A2", on=-3, known=0),
        version("d", account="A2", on=0),
    )
    assert groups(spark, *versions, as_of=DAY - timedelta(days=5)) == {"a": ("a", 1)}
    assert groups(spark, *versions) == {"a": ("a", 2), "b": ("a", 2)}
    assert groups(spark, *versions, as_of=DAY + timedelta(days=1)) == dict.fromkeys("abcd", ("a", 4))


def test_a_value_of_more_than_fifty_links_nobody(spark: SparkSession) -> None:
    of_fifty = [version(f"a{number:02}", device="D1") for number in range(50)]
    one_more = version("b", device="D1", on=-1)
    assert set(groups(spark, *of_fifty).values()) == {("a00", 50)}
    # as of the day before, the fifty are still a group
    rows = groups_at(
        spark.createDataFrame([*of_fifty, one_more], SCHEMA),
        Chosen(spark.createDataFrame([(DAY,), (DAY - timedelta(days=1),)], "as_of date")),
    )
    assert {(row.as_of, row.members) for row in rows.collect()} == {(DAY, 1), (DAY - timedelta(days=1), 50)}


VALUES = st.one_of(st.none(), st.integers(0, 12).map(str))
VERSIONS = st.lists(
    st.builds(
        version,
        st.integers(0, 25).map(lambda number: f"s{number}"),
        VALUES,
        VALUES,
        st.one_of(st.none(), st.just("everyone's")),
        on=st.integers(-6, 1),
        known=st.integers(-6, 1),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=3, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(VERSIONS, min_size=6, max_size=6))
def test_random_profiles_give_the_groups_of_a_union_find(spark: SparkSession, worlds) -> None:
    # six worlds in one evaluation, kept apart by a prefix
    versions = [
        tuple(f"{number}/{value}" if isinstance(value, str) else value for value in row)
        for number, rows in enumerate(worlds)
        for row in rows
    ]
    days = [DAY - timedelta(days=3), DAY]
    rows = groups_at(
        spark.createDataFrame(versions, SCHEMA), Chosen(spark.createDataFrame([(day,) for day in days], "as_of date"))
    ).collect()
    for day in days:
        found = {row.seller_id: (row.group_id, row.members) for row in rows if row.as_of == day}
        assert found == by_union_find(versions, day)


@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=120))
def test_smallest_reachable_is_what_a_walk_finds(nodes: int, links) -> None:
    inside = [(one % nodes, other % nodes) for one, other in links]
    beside = defaultdict(set)
    for one, other in inside:
        beside[one].add(other)
        beside[other].add(one)
    left, right = np.array(inside, dtype=np.int64).reshape(-1, 2).T
    found = smallest_reachable(nodes, left, right)
    for node in range(nodes):
        seen, ahead = {node}, [node]
        while ahead:
            new = beside[ahead.pop()] - seen
            seen |= new
            ahead += new
        assert found[node] == min(seen)


@pytest.mark.parametrize("order", ["along", "shuffled", "alternating"])
def test_a_chain_of_a_hundred_thousand_is_one_group(order: str) -> None:
    nodes = 100_000
    places = {
        "along": np.arange(nodes),
        "shuffled": np.random.default_rng(1).permutation(nodes),
        "alternating": np.arange(nodes).reshape(2, -1).T.ravel(),
    }[order]
    assert not smallest_reachable(nodes, places[:-1], places[1:]).any()
