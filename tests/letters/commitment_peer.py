"""The commitment once more, written straight from docs/spec/commitment.md: one function a sentence, no haste."""

from __future__ import annotations

import hashlib
import hmac
import re

from backchannel.letters import Letter


def framed(*parts: bytes | str | int) -> bytes:
    raws = [
        part.to_bytes(8) if isinstance(part, int) else part.encode() if isinstance(part, str) else part
        for part in parts
    ]
    return b"".join(len(raw).to_bytes(4) + raw for raw in raws)


def label(purpose: str) -> str:
    return "backchannel/v1/commitment/" + purpose


def H(kind: int, data: bytes) -> bytes:  # noqa: N802 - as the page writes it
    return hashlib.sha256(bytes([kind]) + data).digest()


def mac(key: bytes, *parts: bytes | str | int) -> bytes:
    return hmac.new(key, framed(*parts), hashlib.sha256).digest()


def largest_power_below(width: int) -> int:
    power = 1
    while power * 2 < width:
        power *= 2
    return power


def salts(seed: bytes, width: int) -> list[bytes]:
    if width == 1:
        return [mac(seed, label("salt"))]
    left = largest_power_below(width)
    return salts(mac(seed, label("left")), left) + salts(mac(seed, label("right")), width - left)


def tree(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    left = largest_power_below(len(hashes))
    return H(1, tree(hashes[:left]) + tree(hashes[left:]))


def units(paragraph: str) -> list[str]:
    leading = re.match("[ \u200b]*", paragraph)
    assert leading is not None
    found = re.findall("[^ \u200b]+[ \u200b]*", paragraph[leading.end() :])
    return [leading[0] + found[0], *found[1:]] if found else [leading[0]]


def text_pair(seed: bytes, role: str, language: str, index: int, paragraphs: list[list[str]]) -> list[bytes]:
    everything = [unit for paragraph in paragraphs for unit in paragraph]
    context = mac(seed, label("context"), role, language, index)
    salt = salts(mac(seed, label("salts"), context), len(everything))
    leaves = [
        H(0, framed(label("leaf"), context, number, salt[number], unit)) for number, unit in enumerate(everything)
    ]
    table = b"".join(sum(map(len, paragraphs[:number])).to_bytes(8) for number in range(len(paragraphs)))
    return [context, H(2, framed(label("root"), context, len(everything), table, tree(leaves)))]


def letter_root(letter: Letter) -> bytes:
    head = letter.head
    header = [head.sender, head.recipient, head.date, head.place, head.signature, head.state, head.caveat]
    pairs = text_pair(letter.seed, "header", "", 0, [[str(field)] for field in header])
    for index, text in enumerate(letter.texts, start=1):
        paragraphs = [units(paragraph) for paragraph in text.paragraphs]
        pairs += text_pair(letter.seed, text.role, text.language, index, paragraphs)
    return H(3, framed(label("letter"), 1 + len(letter.texts), *pairs))
