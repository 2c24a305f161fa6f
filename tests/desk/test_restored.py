"""A desk that was put back, or moved: it reads and does not write, until it meets again or is at home."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backchannel.desk import carriage, introductions, writing
from backchannel.desk.records import Stage
from backchannel.errors import RefusedError, UsageError
from backchannel.seal.meeting import Fate
from tests.desk.two_desks import ANNA, DAY, MIKHAIL, Side, Two, prose, side, two_desks, unchanged


def copy(each: Side, to: Path) -> None:
    each.close()
    shutil.copytree(each.folder, to)


def put_back(each: Side, kept: Path) -> None:
    """The whole folder as it was; the counter, which lies elsewhere, is not in it."""
    each.close()
    shutil.rmtree(each.folder)
    shutil.copytree(kept, each.folder)


def old_copy(two: Two, tmp_path: Path) -> Two:
    """Anna's desk put back to before her second letter left and his answer came."""
    anna, mikhail = two
    anna.write(prose("before the copy"))
    mikhail.receive(anna.pack())
    draft = anna.save(prose("a draft in the copy"))
    copy(anna, tmp_path / "kept")
    anna.send(draft)
    mikhail.receive(anna.pack())
    mikhail.write(prose("an answer to what the copy never wrote"))
    anna.receive(mikhail.pack())
    put_back(anna, tmp_path / "kept")
    return two


def test_an_old_copy_reads_and_refuses_all_that_writes(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = old_copy(two, tmp_path)
        assert anna.desk.restored
        assert [entry.stage for entry in anna.listing()] == [Stage.LEFT]
        assert "before the copy" in anna.text(1)
        assert "a draft in the copy" in anna.desk.draft(1).text
        assert anna.words() == mikhail.words()
        mikhail.write(prose("and another"))
        pouch = mikhail.pack()
        assert carriage.peek(anna.desk, pouch)[0].name == MIKHAIL
        attempts: dict[str, Callable[[], object]] = {
            "send": lambda: anna.send(1),
            "send --empty": anna.write_nothing,
            "write": lambda: anna.save(prose("new")),
            "unpack": lambda: anna.unpack(pouch),
            "pack": anna.pack,
            "destroy": lambda: anna.destroy(1),
            "discard": lambda: anna.desk.commit(writing.discard(anna.desk.draft(1))),
            "compare": lambda: anna.compare(mikhail.words()),
            "card": lambda: anna.card("Karl Weiss"),
            "commit": lambda: anna.desk.commit({}),
        }
        for what, attempt in attempts.items():
            with unchanged(anna), pytest.raises(RefusedError, match="this desk is an old copy") as refused:
                attempt()
            assert refused.value.exit_code == 4, what
        anna.reopen()
        assert anna.desk.restored
        # Nor does time: what lapses is erased by the newer copy.
        two.clock.time += 400 * DAY
        with unchanged(anna):
            anna.desk.lapse(anna.now)


def test_an_old_copy_takes_over_by_meeting_again_and_everything_else_is_frozen(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        karl = side(tmp_path, "Karl Weiss", ANNA, clock=two.clock)
        as_to_karl = Side(tmp_path, ANNA, "Karl Weiss", two.clock, _desk=two.first.desk)
        as_to_karl.introduced(karl.answer(as_to_karl.card()))
        as_to_karl.compare(karl.words())
        anna, mikhail = old_copy(two, tmp_path)
        card = anna.card(again=True)
        assert not anna.desk.restored
        assert anna.state.frozen == "this desk is an old copy"
        to_karl = Side(tmp_path, ANNA, "Karl Weiss", two.clock, _desk=anna.desk)
        for each in (anna, to_karl):
            with unchanged(anna), pytest.raises(RefusedError, match="is frozen: this desk is an old copy"):
                each.write_nothing()
        # What comes is read all the same, as far as the old keys go.
        karl.write(prose("from Karl"), uncompared=True)
        to_karl.receive(karl.pack())
        anna.introduced(mikhail.answer(card, again=True))
        two.compare()
        assert not anna.state.frozen
        anna.send(1)
        (number,) = mikhail.receive(anna.pack())
        assert "a draft in the copy" in mikhail.text(number)
        mikhail.write(prose("good to hear from you again"))
        assert len(anna.receive(mikhail.pack())) == 1
        assert to_karl.state.frozen
        karl.close()


def test_an_old_copy_that_answers_a_card_takes_over_too(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = old_copy(two, tmp_path)
        mikhail.introduced(anna.answer(mikhail.card(again=True), again=True))
        assert not anna.desk.restored
        two.compare()
        assert not anna.state.frozen
        assert anna.desk.keys(anna.person, 1).frozen
        assert not mikhail.state.frozen
        anna.write(prose("again"))
        mikhail.receive(anna.pack())


def test_a_card_that_waits_in_an_old_copy_is_withdrawn_when_it_takes_over(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        karl = side(tmp_path, "Karl Weiss", ANNA, clock=two.clock)
        answer = karl.answer(anna.card("Karl Weiss"))
        copy(anna, tmp_path / "kept")
        anna.introduced(answer)
        put_back(anna, tmp_path / "kept")
        with unchanged(anna), pytest.raises(RefusedError, match=r"^this answers a card that was withdrawn$"):
            anna.introduced(answer)
        anna.card(again=True)
        assert {spent.fate for spent in anna.desk.register.spent.values()} >= {Fate.WITHDRAWN}
        with unchanged(anna), pytest.raises(RefusedError, match=r"^this answers a card that was withdrawn$"):
            anna.introduced(answer)
        assert introductions.waiting_card(anna.desk, anna.person)
        karl.close()
        assert mikhail.person.generation == 1


def test_the_newer_copy_becomes_the_old_one_when_the_other_takes_over(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, _ = two
        copy(anna, tmp_path / "other")
        anna.write(prose("here"))
        anna.close()
        other = Side(tmp_path, ANNA, MIKHAIL, two.clock, place="other")
        other.card(again=True)
        with unchanged(anna), pytest.raises(RefusedError, match="this desk is an old copy"):
            anna.write(prose("here too"))
        assert anna.desk.restored
        other.close()


def test_a_moved_desk_writes_when_its_owner_says_that_it_is_the_only_one(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        with unchanged(anna), pytest.raises(UsageError, match=r"^this desk is at home here already$"):
            anna.desk.move_in()
        # To a machine that has no counters yet.
        anna.close()
        for path in (tmp_path / "counters").iterdir():
            path.rename(tmp_path / path.name)
        assert anna.desk.restored
        assert anna.desk.store.counter_missing
        with unchanged(anna), pytest.raises(RefusedError, match="this desk is an old copy, or was moved"):
            anna.write_nothing()
        anna.desk.move_in()
        assert not anna.reopen().restored
        anna.write(prose("from the new machine"))
        mikhail.close()
        mikhail.desk.move_in()
        assert mikhail.receive(anna.pack()) == [1]
        anna.reopen()
        assert not anna.desk.restored


def test_an_old_copy_is_never_at_home_where_a_newer_one_was_used(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, _ = old_copy(two, tmp_path)
        with unchanged(anna), pytest.raises(RefusedError, match="a newer one has been used on this machine"):
            anna.desk.move_in()
        assert anna.desk.restored
