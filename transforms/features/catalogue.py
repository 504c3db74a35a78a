"""Every feature, in the order of its column. Adding one is adding an entry to its family's file."""

import hashlib
from dataclasses import astuple

from transforms.features import buyers, cash, credit_history, sales, service, shop
from transforms.features.feature import Feature

CATALOGUE: tuple[Feature, ...] = tuple(
    feature for family in (sales, buyers, service, cash, credit_history, shop) for feature in family.FEATURES
)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in CATALOGUE}
MODEL_INPUTS: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE if feature.model_input)

if len(BY_NAME) != len(CATALOGUE):
    raise ValueError("two features have one name")


def digest() -> str:
    """Sha-256 of every entry: two equal digests are two equal catalogues."""
    return hashlib.sha256(repr([astuple(feature) for feature in CATALOGUE]).encode()).hexdigest()
