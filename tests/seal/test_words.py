"""What two people compare aloud (docs/spec/card.md §4)."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import UsageError
from backchannel.keys import FULL_COST, Cost
from backchannel.seal import words
from backchannel.seal.state import Transcript
from backchannel.seal.wordlist import WORDS
from tests.peer import card_peer as peer

SMALL = Cost(memory=32, passes=1, lanes=1)
KNOWN = [
    (
        bytes(32),
        "b9de87764d2d6321565ea502bbd1849184f75e6c0abc361fab5a5af35cc98a70",
        "right vintage talk olympic stomach mouse floor start",
        "43831 67684 33229 62004 09921 31696",
    ),
    (
        bytes(range(32)),
        "2834f0da678fd71e1515c717b94020a0fee72cc27947c9dc2655474abc1a5212",
        "choice pole custom someone word monitor february rib",
        "56449 86404 60128 64039 86687 47282",
    ),
    (
        b"\xff" * 32,
        "e99240e5b21927f96b63bd5028aaf92060097a31120dd058e89567a80846ef16",
        "trumpet must defense goddess mystery witness pulse jeans",
        "57843 70607 54781 63245 21823 39350",
    ),
]
CHECK = bytes.fromhex(KNOWN[0][1])
RIGHT, DIGITS = KNOWN[0][2], KNOWN[0][3]
CHECKS = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize(("transcript", "check", "spoken", "digits"), KNOWN)
def test_a_transcript_has_these_words_and_digits_at_a_small_cost(
    transcript: bytes, check: str, spoken: str, digits: str
) -> None:
    made = words.check_string(Transcript(transcript), SMALL)
    assert made.hex() == check
    assert " ".join(words.check_words(made)) == spoken
    assert " ".join(words.check_digits(made)) == digits


def test_a_transcript_has_the_words_of_the_page_at_full_cost() -> None:
    # The example of docs/spec/card.md §6, which a test of the vectors reads from there.
    check = words.check_string(Transcript(bytes(32)), FULL_COST)
    assert " ".join(words.check_words(check)) == "tooth sail tunnel enhance waste infant planet twin"
    assert " ".join(words.check_digits(check)) == "58636 39239 54580 71034 09315 02091"


@given(CHECKS)
def test_words_and_digits_are_those_of_a_second_implementation(check: bytes) -> None:
    assert list(words.check_words(check)) == peer.words(check)
    assert list(words.check_digits(check)) == peer.digits(check)


@given(CHECKS, st.integers(0, 31), st.integers(1, 255))
def test_the_words_say_the_first_88_bits_and_nothing_else(check: bytes, at: int, change: int) -> None:
    other = check[:at] + bytes([check[at] ^ change]) + check[at + 1 :]
    assert (words.check_words(check) != words.check_words(other)) == (at < 11)
    if at < 11:
        assert words.check_digits(check) == words.check_digits(other)


def test_the_least_and_the_greatest_check_strings_have_words_and_digits() -> None:
    assert words.check_words(bytes(32)) == ("abandon",) * 8
    assert words.check_digits(bytes(32)) == ("00000",) * 6
    assert words.check_words(b"\xff" * 32) == ("zoo",) * 8
    assert "".join(words.check_digits(b"\xff" * 32)) == str((2**168 - 1) % 10**30)


def test_the_list_is_that_of_bip_39() -> None:
    joined = "".join(f"{word}\n" for word in WORDS)
    assert hashlib.sha256(joined.encode()).hexdigest() == (
        "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    )
    assert len({word[:4] for word in WORDS}) == 2048


@pytest.mark.parametrize(
    "heard",
    [
        RIGHT, RIGHT.upper(), RIGHT.title(), f"  {RIGHT}\n", RIGHT.replace(" ", "   "), RIGHT.replace(" ", "\n"),
        DIGITS, DIGITS.replace(" ", ""), " ".join(DIGITS.replace(" ", "")), f"\n{DIGITS} ",
        DIGITS.replace(" ", "")[:7] + " " + DIGITS.replace(" ", "")[7:],
    ],
)  # fmt: skip
def test_what_was_heard_is_right_in_any_case_spacing_and_grouping(heard: str) -> None:
    assert words.heard_right(CHECK, heard)


@pytest.mark.parametrize("at", range(8))
def test_each_of_the_eight_words_counts(at: int) -> None:
    heard = RIGHT.split()
    heard[at] = "zoo"
    assert not words.heard_right(CHECK, " ".join(heard))


@pytest.mark.parametrize("at", [0, 15, 29])
def test_each_digit_counts(at: int) -> None:
    digits = DIGITS.replace(" ", "")
    assert not words.heard_right(CHECK, digits[:at] + str((int(digits[at]) + 1) % 10) + digits[at + 1 :])


def test_the_order_of_the_words_counts() -> None:
    assert not words.heard_right(CHECK, " ".join(reversed(RIGHT.split())))


@pytest.mark.parametrize(
    ("heard", "message"),
    [
        ("", "all eight words are wanted, these are 0"),
        (RIGHT.rsplit(" ", 1)[0], "all eight words are wanted, these are 7"),
        (RIGHT + " zoo", "all eight words are wanted, these are 9"),
        (RIGHT.replace("vintage", "vintag"), "“vintag” is not a word of the list: did they say “vintage”?"),
        (RIGHT.replace("vintage", "qqqq"), "“qqqq” is not a word of the list"),
        (DIGITS[:-1], "6 groups of 5 digits are wanted, these are 29 digits"),
        (DIGITS + "0", "6 groups of 5 digits are wanted, these are 31 digits"),
        ("٤" * 30, f"“{'٤' * 30}” is not a word of the list"),
    ],
)
def test_what_was_mistyped_is_no_verdict_on_the_other_desk(heard: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        words.heard_right(CHECK, heard)
    assert refused.value.message == message


def fixed(raw: bytes) -> Callable[[int], bytes]:
    return lambda size: raw[:size]


def test_a_passphrase_is_the_first_110_bits_of_what_the_generator_gives() -> None:
    assert words.passphrase(fixed(bytes(16))) == " ".join(["abandon"] * 10)
    assert words.passphrase(fixed(b"\xff" * 16)) == " ".join(["zoo"] * 10)
    # The last of the 110 bits is the third lowest of byte 13; those behind it are not used.
    assert words.passphrase(fixed(bytes(13) + b"\x04\0\0")) == " ".join(["abandon"] * 9 + ["ability"])
    assert words.passphrase(fixed(bytes(13) + b"\x03\xff\xff")) == " ".join(["abandon"] * 10)


@given(st.binary(min_size=16, max_size=16))
def test_every_one_of_the_110_bits_is_in_the_words(raw: bytes) -> None:
    spoken = words.passphrase(fixed(raw)).split()
    assert len(spoken) == 10
    number = 0
    for word in spoken:
        number = number << 11 | WORDS.index(word)
    assert number == int.from_bytes(raw) >> 18
