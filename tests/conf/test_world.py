"""A world's file: every mistake is named, with its place."""

from pathlib import Path

import pytest

from conf.errors import UserError
from conf.world import load_world


def test_numbers_of_the_command_line_win() -> None:
    world = load_world("demo", sellers=7, days=70, seed=3)
    assert (world.sellers, world.days, world.seed, world.weeks) == (7, 70, 3, 10)
    assert world.digest() != load_world("demo").digest()


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    text = Path("conf/worlds/demo.yml").read_text()
    text = text.replace("visible_share: [0.3, 0.9]", "visible_share: [0.9, 0.3]").replace("broken:", "brocken:")
    file = tmp_path / "mine.yml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_world(str(file))
    told = "\n".join(caught.value.problems)
    assert "visible_share: the lower end 0.9 is above the upper end 0.3" in told
    assert "faults.brocken: unknown key" in told
    assert "faults.broken: is missing" in told


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(UserError, match="known: busy, demo, faulty"):
        load_world("mars")
