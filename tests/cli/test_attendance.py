"""What status says of a post office, where no script comes by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backchannel.cli import attendance
from backchannel.desk import post
from tests.simulation.crash import unsynced
from tests.simulation.desks import introduce, seat
from tests.simulation.office import World


def test_whoever_lost_the_keys_of_packets_with_an_earlier_porter_is_told_to_meet_again(tmp_path: Path) -> None:
    with unsynced():
        world = World()
        anna = seat(world, tmp_path, "Anna Reuter", "west")
        introduce(anna, seat(world, tmp_path, "Mikhail Orlov", "east"))
        for _ in range(3):
            anna.exchange()
            world.run(3)
        anna.exchange()
        desk = anna.desk()
        member = post.membership(desk)
        assert member is not None
        said = member.said()
        assert said is not None
        assert attendance._of_lines(desk, said) == []
        gone = replace(said, lines=tuple(replace(line, roots=()) for line in said.lines))
        ((text, hint),) = attendance._of_lines(desk, gone)
        assert text == "nothing goes to Mikhail Orlov by post: the keys for it went with an earlier porter"
        assert hint == 'backchannel meet --again "Mikhail Orlov" -o FILE'
