"""Scripts: transcripts of a terminal that are played, and must come out the same.

    # A comment.
    $ file letter.txt <<END       the lines up to END become a file
    Dear Anna,
    END
    $ backchannel --desk anna compare Nikita
    < {words}                     typed; what an earlier {words} matched
    <* seven wonders              typed where nothing is echoed
    compared                      a line of standard output
    ! which words did you hear?   a line of standard error
    [4]                           the exit code, when it is not 0

``...`` matches any part of a line, and alone any number of lines of its stream;
``{name}`` matches something once and the same ever after, in commands too. A
line of output that could be read as anything else begins with a backslash.
Commands can read ``< file`` and write ``> file``. What a call with ``--json``
writes must be JSON. Besides ``backchannel`` there are the commands of the table
at the end. Blank lines at the end of what is expected are layout.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from tests.cli.stage import OUT, Result, Stage
from tests.cli.town import Town

TYPED, HIDDEN, TOLD, COMMAND = "< ", "<* ", "! ", "$ "
_HEREDOC = re.compile(r"\$ file \S+ <<(\w+)")
_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MARKED = re.compile(r"[#$<!\[\\]|\.\.\.$")


@dataclass
class Step:
    """One command, what was typed, and what is expected of it."""

    command: str
    number: int  # of its line, from 1
    body: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)


@dataclass
class Script:
    """The lines of a script: texts between the steps, and the steps."""

    parts: list[str | Step]

    @classmethod
    def parse(cls, text: str) -> Script:
        parts: list[str | Step] = []
        lines = text.splitlines()
        numbers = iter(range(len(lines)))
        for i in numbers:
            line, step = lines[i], parts[-1] if parts else None
            if line.startswith(COMMAND):
                step = Step(line.removeprefix(COMMAND), i + 1)
                parts.append(step)
                if heredoc := _HEREDOC.fullmatch(line):
                    end = lines.index(heredoc[1], i)
                    step.body = lines[i + 1 : end]
                    for _ in range(end - i):
                        next(numbers)
            elif line.startswith("#") or not isinstance(step, Step):
                parts.append(line)
            elif line.startswith(HIDDEN) or line == HIDDEN.strip():
                step.hidden.append(line[len(HIDDEN) :])
            elif line.startswith(TYPED) or line == TYPED.strip():
                step.typed.append(line[len(TYPED) :])
            else:
                step.expected.append(line)
        return cls(parts)

    def format(self) -> str:
        lines: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                lines.append(part)
                continue
            lines.append(COMMAND + part.command)
            if heredoc := _HEREDOC.fullmatch(COMMAND + part.command):
                lines += [*part.body, heredoc[1]]
            lines += [(HIDDEN + line).rstrip() for line in part.hidden]
            lines += [(TYPED + line).rstrip() for line in part.typed]
            lines += part.expected
        return "\n".join(lines) + "\n"

    @property
    def steps(self) -> list[Step]:
        return [part for part in self.parts if isinstance(part, Step)]


def play(step: Step, stage: Stage, holes: dict[str, str]) -> list[str]:
    """Do what *step* says on *stage* and return what came of it, as lines of a script."""
    words = shlex.split(_filled(step.command, holes))
    if words[0] in COMMANDS:
        body = "".join(_filled(line, holes) + "\n" for line in step.body)
        return COMMANDS[words[0]](stage, words[1:], body)
    assert words[0] == "backchannel", f"line {step.number}: there is no command {words[0]} in scripts"
    words, source = _redirected(words, "<")
    words, target = _redirected(words, ">")
    typed: str | bytes = "".join(_filled(line, holes) + "\n" for line in step.typed)
    if source:
        typed = Path(source).read_bytes()
    result = stage.run(*words[1:], stdin=typed, hidden=[_filled(line, holes) for line in step.hidden])
    if "--json" in words and "--help" not in words:
        _check_json(result, step)
    if target:
        Path(target).write_text(result.out)
        result = Result(result.code, tuple(chunk for chunk in result.written if chunk[0] != OUT))
    return transcribe(result)


def _check_json(result: Result, step: Step) -> None:
    try:
        if result.out:
            json.loads(result.out)
        for line in result.err.splitlines():
            json.loads(line)
    except ValueError as error:
        raise AssertionError(f"line {step.number}: not JSON: {result.written}") from error


def transcribe(result: Result) -> list[str]:
    """*result* as lines of a script."""
    lines = []
    for stream, chunks in groupby(result.written, key=lambda chunk: chunk[0]):
        for line in "".join(text for _, text in chunks).removesuffix("\n").split("\n"):
            shown = line.rstrip()
            if stream == OUT:
                lines.append(f"\\{shown}" if _MARKED.match(shown) else shown)
            else:
                lines.append((TOLD + shown).rstrip())
    return lines + ([f"[{result.code}]"] if result.code else [])


def agrees(expected: list[str], actual: list[str], holes: dict[str, str]) -> bool:
    """Whether *actual* is what was *expected*; the holes it fills are added to *holes*."""
    names: set[str] = set()
    pattern = "".join(_pattern(line, holes, names) for line in _trimmed(expected))
    found = re.fullmatch(pattern, "".join(line + "\n" for line in _trimmed(actual)))
    if found is None:
        return False
    holes |= {name: found[name] for name in names}
    return True


def _pattern(line: str, holes: dict[str, str], names: set[str]) -> str:
    if line in ("...", TOLD + "..."):
        return r"(?:(?!! ).*\n)*?" if line == "..." else r"(?:! .*\n)*?"
    out = []
    for part in re.split(r"(\.\.\.|\{[a-z][a-z0-9_]*\})", line):
        hole = _HOLE.fullmatch(part)
        if part == "...":
            out.append(".*?")
        elif hole is None or hole[1] in holes:
            out.append(re.escape(holes[hole[1]] if hole else part))
        else:
            out.append(f"(?P={hole[1]})" if hole[1] in names else f"(?P<{hole[1]}>.+?)")
            names.add(hole[1])
    return "".join(out) + r"\n"


def _filled(text: str, holes: dict[str, str]) -> str:
    return _HOLE.sub(lambda hole: holes.get(hole[1], hole[0]), text)


def _redirected(words: list[str], sign: str) -> tuple[list[str], str | None]:
    if sign not in words:
        return words, None
    at = words.index(sign)
    return words[:at] + words[at + 2 :], words[at + 1]


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(lines).rstrip("\n").split("\n") if any(lines) else []


def _clock(stage: Stage, words: list[str], _: str) -> list[str]:
    amount, unit = int(words[0]), words[1].removesuffix("s")
    stage.time += amount * {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[unit]
    return []


def _file(_: Stage, words: list[str], body: str) -> list[str]:
    Path(words[0]).write_text(body)
    Path(words[0]).chmod(0o600)
    return []


def _cat(_: Stage, words: list[str], __: str) -> list[str]:
    return transcribe(Result(0, ((OUT, Path(words[0]).read_text()),)))


def _exists(_: Stage, words: list[str], __: str) -> list[str]:
    return [f"! {word}: absent" for word in words if not Path(word).exists()]


def _absent(_: Stage, words: list[str], __: str) -> list[str]:
    return [f"! {word}: exists" for word in words if Path(word).exists()]


def _empty(_: Stage, words: list[str], __: str) -> list[str]:
    return [f"! {path}: left behind" for word in words for path in sorted(Path(word).rglob("*"))]


def _cp(_: Stage, words: list[str], __: str) -> list[str]:
    source, target = map(Path, words)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
    return []


def _mv(_: Stage, words: list[str], __: str) -> list[str]:
    Path(words[0]).rename(words[1])
    return []


def _rm(_: Stage, words: list[str], __: str) -> list[str]:
    for path in map(Path, words):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return []


def _chmod(_: Stage, words: list[str], __: str) -> list[str]:
    Path(words[1]).chmod(int(words[0], 8))
    return []


def _flip(_: Stage, words: list[str], __: str) -> list[str]:
    path, at = Path(words[0]), int(words[1])
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return []


def _cut(_: Stage, words: list[str], __: str) -> list[str]:
    os.truncate(words[0], int(words[1]))
    return []


def _passphrase(stage: Stage, words: list[str], _: str) -> list[str]:
    stage.passphrase = " ".join(words)
    return []


def _met(stage: Stage, words: list[str], _: str) -> list[str]:
    """Two desks, made, met and, unless told otherwise, compared: what meeting.txt shows step by step."""
    one, other, *rest = words
    names = {desk: NAMES[desk] for desk in (one, other)}
    for desk, name in names.items():
        _quietly(stage, "--desk", desk, "init", "--name", name)
    _quietly(stage, "--desk", one, "card", "--for", names[other], "-o", f"{one}.card")
    _quietly(stage, "--desk", other, "meet", f"{one}.card", "-o", f"{other}.card")
    _quietly(stage, "--desk", one, "meet", f"{other}.card")
    if not rest:
        shown = json.loads(_quietly(stage, "--desk", one, "compare", names[other], "--show", "--json"))["words"]
        for desk, name in ((one, names[other]), (other, names[one])):
            _quietly(stage, "--desk", desk, "compare", name, typed=shown + "\n")
    return []


def _quietly(stage: Stage, *arguments: str, typed: str = "") -> str:
    result = stage.run(*arguments, stdin=typed)
    assert result.code == 0, (arguments, result)
    return result.out


def _env(stage: Stage, words: list[str], _: str) -> list[str]:
    name, _equals, value = words[0].partition("=")
    stage.put(name, value)
    return []


def _editor(stage: Stage, words: list[str], _: str) -> list[str]:
    stage.editor = None if not words else "" if words == ["none"] else shlex.join(words)
    return []


def _limit(stage: Stage, words: list[str], _: str) -> list[str]:
    stage.limit = int(words[0]) if words else None
    return []


def _fill(_: Stage, words: list[str], __: str) -> list[str]:
    Path(words[0]).write_bytes(b"\x00\xff" * (int(words[1]) // 2))
    return []


def _office(stage: Stage, words: list[str], _: str) -> list[str]:
    if stage.town is None:
        stage.town = Town(stage)
    match words:
        case ["charter", path]:
            stage.town.write(Path(path))
        case ["unsigned", path]:
            stage.town.unsigned(Path(path))
        case ["ticket", issuer, path]:
            stage.town.ticket(Path(path), issuer)
        case ["rounds", count, *desks]:
            stage.town.rounds(int(count), desks)
        case ["stop", name]:
            stage.town.stop(name)
        case ["amend"]:
            stage.town.amend()
        case _:
            raise AssertionError(words)
    return []


NAMES = {"anna": "Anna Reuter", "mikhail": "Mikhail Orlov", "irene": "Irene Maddox"}

COMMANDS: dict[str, Callable[[Stage, list[str], str], list[str]]] = {
    "clock": _clock,  # clock +3 days
    "file": _file,  # file NAME <<END, readable by its owner only
    "cat": _cat,  # cat FILE
    "exists": _exists,  # exists PATH...
    "absent": _absent,  # absent PATH...
    "empty": _empty,  # empty FOLDER...: nothing lies in it
    "cp": _cp,  # cp FROM TO, folders too
    "mv": _mv,  # mv FROM TO
    "rm": _rm,  # rm PATH..., folders too
    "chmod": _chmod,  # chmod 644 FILE
    "flip": _flip,  # flip FILE OFFSET: one bit of the byte there
    "cut": _cut,  # cut FILE SIZE: what is behind is gone
    "fill": _fill,  # fill FILE SIZE: so many bytes that are no text
    "passphrase": _passphrase,  # passphrase WORDS...: what is typed, unseen, wherever one is asked for
    "met": _met,  # met DESK DESK [uncompared]: two desks that have met
    "office": _office,  # office charter FILE | unsigned FILE | ticket OPERATOR FILE | rounds N DESK... | stop OPERATOR | amend
    "env": _env,  # env NAME=VALUE, or NAME= for none
    "editor": _editor,  # editor COMMAND..., or none: somebody sits at the terminal, with that editor; alone: nobody does
    "limit": _limit,  # limit SIZE: the disk takes no file larger than this; no size: it does
}
