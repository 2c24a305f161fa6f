"""What a desk writes down: encode and decode are inverses, and other bytes are refused as malformed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.desk import records
from backchannel.desk.desk import keys_name
from backchannel.desk.records import Entry, Owner, Person, PersonId, PouchNote, Renewed, Stage, StoredDraft, number_name
from backchannel.desk.writing import sent_name
from backchannel.encoding import Value, encode
from backchannel.errors import MalformedError
from backchannel.keys import Digest, LetterId
from backchannel.letters import Enclosure
from backchannel.seal.card import Terms

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.integers(0, 2**64 - 1)
person_id = st.binary(min_size=8, max_size=8).map(PersonId)
digest = st.binary(min_size=32, max_size=32)

owners = st.builds(Owner, text, number)
terms = st.builds(Terms, text, text, number, archive=st.none() | digest.map(Digest))
people = st.builds(
    Person,
    person_id,
    text,
    st.lists(terms, max_size=2).map(tuple),
    number,
    st.lists(st.builds(Renewed, number, number, number), max_size=3).map(tuple),
    number,
)
entries = st.builds(
    Entry,
    number=number,
    person=person_id,
    outgoing=st.booleans(),
    stage=st.sampled_from(Stage),
    generation=number,
    index=number,
    id=st.none() | digest.map(LetterId),
    kind=text,
    dated=text,
    words=number,
    sealed=number,
    left=number,
    pouch=number,
    uncompared=st.booleans(),
    root=st.binary(max_size=32),
)
files = st.builds(Enclosure, st.sampled_from(["a.csv", "b"]), st.just("text/csv"), st.binary(max_size=9))
drafts = st.builds(StoredDraft, number, person_id, text, st.lists(files, max_size=2).map(tuple), number)
notes = st.builds(
    PouchNote,
    number=number,
    seal=text,
    person=person_id,
    outgoing=st.booleans(),
    date=number,
    letters=st.lists(number, max_size=4).map(tuple),
    whole=st.booleans(),
)

Record = Owner | Person | Entry | StoredDraft | PouchNote
TYPES = (Owner, Person, Entry, StoredDraft, PouchNote)

leaf = st.integers(0, 2**64 - 1) | st.binary(max_size=40) | text
values: st.SearchStrategy[Value] = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=16).map(tuple), max_leaves=40
)


@given(owners | people | entries | drafts | notes)
def test_a_record_is_what_was_written(record: Record) -> None:
    assert type(record).decode(record.encode()) == record


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.binary(max_size=60) | values.map(encode))
def test_any_bytes_are_a_record_or_malformed(kind: type[Record], data: bytes) -> None:
    try:
        record = kind.decode(data)
    except MalformedError:
        return
    assert isinstance(record, kind)


@given(st.data())
def test_one_field_of_another_type_is_a_record_or_malformed(data: st.DataObject) -> None:
    record: Record = data.draw(owners | people | entries | drafts | notes)
    value = list(record._value())  # type: ignore[arg-type]
    value[data.draw(st.integers(0, len(value) - 1))] = data.draw(values)
    try:
        type(record).decode(encode(tuple(value)))
    except MalformedError as error:
        assert "a record of the desk does not parse" in error.message  # noqa: PT017 - it may also parse


@pytest.mark.parametrize("name", ["../x", "", "a/b", "x\x07"])
def test_a_draft_with_a_file_that_no_letter_encloses_is_malformed(name: str) -> None:
    value = (1, bytes(8), "text", ((name, "text/csv", b"x"),), 0)
    with pytest.raises(MalformedError, match=r"^a record of the desk does not parse: StoredDraft$"):
        StoredDraft.decode(encode(value))


def test_a_stage_that_is_none_is_malformed() -> None:
    entry = Entry(1, PersonId(bytes(8)), False, Stage.TRAY, 1, 1, None, "empty", "", 0, 0)  # noqa: FBT003
    value = list(entry._value())  # type: ignore[arg-type]
    value[3] = "under way"
    with pytest.raises(MalformedError, match=r"^a record of the desk does not parse: Entry$"):
        Entry.decode(encode(tuple(value)))


@given(st.lists(st.integers(0, 2**63), unique=True, max_size=20))
def test_names_sort_as_numbers(numbers: list[int]) -> None:
    names = {number_name(number): number for number in numbers}
    assert [names[name] for name in sorted(names)] == sorted(numbers)


@given(person_id, person_id, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), number, number)
@example(PersonId(bytes(8)), PersonId(bytes(8)), 1, 256, 0, 0)
def test_no_two_keys_or_letters_have_one_name(
    one: PersonId, other: PersonId, first: int, second: int, index: int, further: int
) -> None:
    persons = [Person(each, "", generation=1) for each in (one, other)]
    assert (keys_name(persons[0], first) == keys_name(persons[1], second)) == ((one, first) == (other, second))
    assert (sent_name(one, first, index) == sent_name(other, second, further)) == (
        (one, first, index) == (other, second, further)
    )


def test_a_record_of_no_kind_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        records._Record().encode()
    with pytest.raises(AssertionError):
        records._Record.decode(encode(()))


def test_every_room_has_its_own_name() -> None:
    rooms = [value for name, value in vars(records).items() if name.isupper() and isinstance(value, str)]
    assert len(rooms) == 14
    assert len(set(rooms)) == len(rooms)


def test_somebody_met_has_generations_newest_first() -> None:
    person = Person(PersonId(bytes(8)), "Karl")
    assert not person.met
    assert person.generations == ()
    person = Person(PersonId(bytes(8)), "Karl", (), 4, (Renewed(2, 20, 0), Renewed(3, 30, 25)), 0)
    assert person.generations == (4, 3, 2)
    assert [generation for generation in range(6) if person.vouched(generation)] == [3]
