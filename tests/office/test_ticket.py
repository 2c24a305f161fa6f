"""A ticket as a line of text: what was written is read, and what was miswritten is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import MalformedError
from backchannel.post.enrolment import Ticket, TicketLine

LINE = TicketLine("geneva", 17, Ticket(bytes(range(32))))
TEXT = LINE.format()


def test_a_ticket_is_one_line_of_three_words() -> None:
    assert TEXT == "geneva 17 aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypt2owd"


@given(st.integers(1, 2**20 - 1), st.binary(min_size=32, max_size=32))
def test_what_was_written_is_read(mailbox: int, ticket: bytes) -> None:
    line = TicketLine("geneva", mailbox, Ticket(ticket))
    assert TicketLine.parse(line.format()) == line
    assert TicketLine.parse(f"  {line.format()}\r\n") == line


@given(st.text())
def test_any_other_text_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(MalformedError, match="this is not a ticket, or it was copied wrongly"):
        TicketLine.parse(text)


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567 "))
def test_one_wrong_letter_makes_it_none(at: int, letter: str) -> None:
    wrong = TEXT[:at] + letter + TEXT[at + 1 :]
    if wrong == TEXT:
        assert TicketLine.parse(wrong) == LINE
        return
    with pytest.raises(MalformedError):
        TicketLine.parse(wrong)


@pytest.mark.parametrize("mailbox", ["0", "-1", "017", "+17", "1048576", "1_7", "٣", "17.0"])
def test_a_number_that_no_mailbox_has_makes_it_none(mailbox: str) -> None:
    with pytest.raises(MalformedError):
        TicketLine.parse(TEXT.replace("17", mailbox))
