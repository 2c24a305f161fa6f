"""The service: what is answered looks the same always, what is not is closed without a byte, and nobody is kept out."""

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from backchannel.errors import UnavailableError
from backchannel.office.service import HEAD, LINK_LIMIT, Connection, Head, Limits
from backchannel.post import enrolment, link
from backchannel.post import visit as visits
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.visit import ReplyKey, Visit, VisitKey
from tests.office.stand import Stand, head, request, staged, standing
from tests.simulation.office import Generator

SIZE = enrolment.REQUEST_SIZE
BODY = bytes(SIZE)


def lines(*said: str, body: bytes = BODY) -> bytes:
    return "\r\n".join([*said, "", ""]).encode() + body


HOST, LENGTH, POST = "Host: west.test", f"Content-Length: {SIZE}", "POST /key HTTP/1.1"

NOT_ANSWERED: dict[str, bytes] = {
    "a page that is asked for": lines("GET / HTTP/1.1", HOST, body=b""),
    "another method": lines("PUT /key HTTP/1.1", HOST, LENGTH),
    "a method in small letters": lines("post /key HTTP/1.1", HOST, LENGTH),
    "another path": lines("POST /index HTTP/1.1", HOST, LENGTH),
    "a path below": lines("POST /office/key HTTP/1.1", HOST, LENGTH),
    "a path with a query": lines("POST /key?a=b HTTP/1.1", HOST, LENGTH),
    "a whole address as its path": lines("POST http://west.test/key HTTP/1.1", HOST, LENGTH),
    "the older protocol": lines("POST /key HTTP/1.0", HOST, LENGTH),
    "the newer protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "no length": lines(POST, HOST),
    "two lengths": lines(POST, HOST, LENGTH, LENGTH),
    "two lengths in one": lines(POST, HOST, f"Content-Length: {SIZE}, {SIZE}"),
    "a length below zero": lines(POST, HOST, "Content-Length: -1"),
    "a length with a sign": lines(POST, HOST, f"Content-Length: +{SIZE}"),
    "a length in other digits": lines(POST, HOST, "Content-Length: ١٢٣"),
    "a length of nine digits and one": lines(POST, HOST, "Content-Length: 1000000000"),
    "one byte too few for its kind": head("key", SIZE - 1) + BODY[1:],
    "one byte too many for its kind": head("key", SIZE + 1) + BODY + b"x",
    "one byte more than it says": request("key", BODY) + b"x",
    "another request after it": 2 * request("key", BODY),
    "a body in chunks": lines(POST, HOST, "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n"),
    "a body in chunks with a length": lines(POST, HOST, LENGTH, "Transfer-Encoding: chunked"),
    "a wish to be told to go on": lines(POST, HOST, LENGTH, "Expect: 100-continue"),
    "a wish for another protocol": lines(POST, HOST, LENGTH, "Upgrade: websocket", "Connection: Upgrade"),
    "no host": lines(POST, LENGTH),
    "two hosts": lines(POST, HOST, HOST, LENGTH),
    "a field without a colon": lines(POST, HOST, LENGTH, "Cookie"),
    "a field with a space before its colon": lines(POST, HOST, "Content-Length : 10", LENGTH),
    "a field that goes on in the next line": lines(POST, HOST, LENGTH, "Cookie: a", " b"),
    "a line that ends in half": lines(POST, HOST, LENGTH).replace(b"\r\nHost", b"\nHost"),
    "a zero in a field": lines(POST, HOST, LENGTH, "Cookie: a\0b"),
    "too many fields": lines(POST, HOST, LENGTH, *(f"X-{n}: y" for n in range(64))),
    "too long a head": lines(POST, HOST, LENGTH, "Cookie: " + "x" * 8192),
    "a head that never ends": lines(POST, HOST)[:-4] + b"\r\nCookie: " + b"x" * 20_000,
    "garbage": bytes(range(256)) * 8,
    "empty lines": b"\r\n" * 100,
    "a visit of no size that a visit has": request("visit", bytes(5000)),
    "a visit of the right size that does not open": b"",
    "a key asked for that does not open": request("key", BODY),
    "a greeting too large": head("greeting", link.GREETING_LIMIT + 1) + bytes(link.GREETING_LIMIT + 1),
    "a greeting that is none": request("greeting", bytes(5000)),
    "a question of no session": request("link", bytes(5000)),
    "a question too large": head("link", LINK_LIMIT + 1) + bytes(1000),
    "an empty question": request("link", b""),
}


def test_what_is_no_request_of_a_porter_or_operator_is_closed_at_once_and_without_a_byte() -> None:
    async def test() -> None:
        async with standing() as stand:
            size = len(stand.errands["anna"].body)
            kinds = NOT_ANSWERED | {"a visit of the right size that does not open": request("visit", bytes(size))}
            replies = await asyncio.gather(*(stand.send(raw) for raw in kinds.values()))
            assert dict(zip(kinds, replies, strict=True)) == dict.fromkeys(kinds, b"")
            assert (stand.held, stand.service.buffered, stand.said) == (0, 0, [])
            # After all of them it answers as before.
            assert (await stand.visit()).startswith(b"HTTP/1.1 200 OK\r\n")

    staged(test)


def test_every_answer_has_one_head_that_names_nothing_and_a_size_that_its_kind_has() -> None:
    async def test() -> None:
        async with standing() as stand:
            charter, random = stand.world.charter, Generator("asked")
            asked = {}
            for kind in enrolment.KINDS:
                box = enrolment.seal(
                    kind, b"", ReplyKey(bytes(32)), charter=charter, operator="west", kem=stand.world.kem, random=random
                )
                asked[kind] = await stand.send(request(kind, box))
                size = enrolment.size_of_reply(kind)
                assert len(asked[kind]) == len(HEAD % size) + size
            east = stand.world.houses["east"].machine
            assert east is not None
            greeting, _ = east.greet("west")
            asked["greeting"] = await stand.send(request("greeting", greeting.encode()))
            asked["visit"] = await stand.visit()
            for raw in asked.values():
                answer, _, body = raw.partition(b"\r\n\r\n")
                assert answer + b"\r\n\r\n" == HEAD % len(body)
            assert re.findall(rb"(?i)python|aiohttp|asyncio|server|date|backchannel|[0-9]\.[02-9]", HEAD) == []

    staged(test)


def test_a_path_that_the_charter_gives_is_known_with_and_without_it() -> None:
    async def test() -> None:
        async with standing() as stand:
            (signed,) = stand.machine._charters.all
            seats = tuple(replace(seat, url=seat.url + "/post/office/") for seat in signed.charter.seats)
            stand.machine._charters.all[0] = replace(signed, charter=replace(signed.charter, seats=seats))
            kinds = [Head("/post/office/visit", 1), Head("/office/visit", 1), Head("/visit", 1)]
            sizes = len(stand.errands["anna"].body)
            found = [stand.service.kind(replace(each, length=sizes)) for each in kinds]
            assert found == ["visit", None, "visit"]

    staged(test)


def forged(stand: Stand, change: Callable[[Visit], Visit] = lambda visit: visit, key: VisitKey | None = None) -> bytes:
    """A visit of this round such as anna's porter makes, but for *change* and *key*."""
    charter, machine, number = stand.world.charter, stand.machine, stand.world.round
    carrier = stand.world.carriers["anna"]
    assert carrier.machine is not None
    shares = tuple(bytes(size) for size in visits.share_sizes(charter, number, 0, more=False))
    made = Visit(carrier.mailbox, number, None, False, ReplyKey(bytes(32)), bytes(512), shares)  # noqa: FBT003
    own = carrier.machine.keeping.standings["west"].key
    day = charter.day_of(number)
    private = machine._days.private(day)
    assert private is not None
    to = stand.world.kem.public(private)
    random = Generator("forged")
    return visits.seal(
        change(made), key or own, to, charter=charter, operator="west", kem=stand.world.kem, random=random
    )


REFUSED: dict[str, Callable[[Stand], bytes]] = {
    "of the round before": lambda stand: forged(stand, lambda visit: replace(visit, round=visit.round - 1)),
    "of a round to come": lambda stand: forged(stand, lambda visit: replace(visit, round=visit.round + 1)),
    "of a mailbox that nobody has": lambda stand: forged(stand, lambda visit: replace(visit, mailbox=5)),
    "of a mailbox that there is not": lambda stand: forged(stand, lambda visit: replace(visit, mailbox=2**63)),
    "of another key": lambda stand: forged(stand, key=VisitKey(b"k" * 32)),
    "of another desk's mailbox": lambda stand: forged(
        stand, lambda visit: replace(visit, mailbox=stand.world.carriers["mikhail"].mailbox)
    ),
    "a second one, which differs": forged,
}


def test_a_visit_that_is_refused_gets_an_answer_of_the_usual_size_at_the_usual_instant() -> None:
    async def test() -> None:
        async with standing() as stand:
            right = await stand.visit()
            for name, make in REFUSED.items():
                raw = await stand.send(request("visit", make(stand)))
                assert len(raw) <= len(right), name
                collect = visits.reply_size(stand.world.charter, more=False)
                assert raw[-collect:] != right[-collect:]
                assert raw[:-collect] == HEAD % collect, name
            assert len(stand.machine._rounds[stand.world.round].visits) == 1

    staged(test)


def test_the_same_visit_again_gets_the_same_bytes_and_is_no_second_visit() -> None:
    async def test() -> None:
        async with standing() as stand:
            first = await stand.visit()
            assert [await stand.visit(), await stand.visit()] == [first, first]
            assert len(stand.machine._pending[stand.world.round]) == 1

    staged(test)


def test_a_ticket_that_is_used_again_gets_an_answer_like_any_other() -> None:
    async def test() -> None:
        async with standing() as stand:
            ((mailbox, ticket),) = stand.machine.issue(1)
            replies: list[bytes] = []
            for asked in (ticket, ticket, Ticket(bytes(32))):
                number = len(replies)
                body = Enrolment(mailbox, asked.token(mailbox, "west"), VisitKey(bytes([number]) * 32)).encode()
                box = enrolment.seal(
                    "enrol",
                    body,
                    ReplyKey(bytes(32)),
                    charter=stand.world.charter,
                    operator="west",
                    kem=stand.world.kem,
                    random=Generator(number),
                )
                replies.append(await stand.send(request("enrol", box)))
            assert len({len(raw) for raw in replies}) == 1
            said = [
                enrolment.decode_enrolled(
                    enrolment.open_reply(
                        "enrol",
                        raw.partition(b"\r\n\r\n")[2],
                        ReplyKey(bytes(32)),
                        cipher=stand.machine._ciphers.replies,
                    )
                )
                for raw in replies
            ]
            assert said[0] is not None
            assert said[1:] == [None, None]

    staged(test)


def test_a_reply_leaves_at_its_instant_whether_it_is_a_right_one_or_not() -> None:
    async def test() -> None:
        async with standing(early=300) as stand:
            desk = max(stand.errands, key=lambda name: stand.errands[name].instant)
            loop = asyncio.get_running_loop()
            began = loop.time()

            async def took(body: bytes) -> float:
                assert await stand.send(request("visit", body))
                return loop.time() - began

            mailbox = stand.world.carriers[desk].mailbox
            wrong = forged(stand, lambda visit: replace(visit, mailbox=mailbox), VisitKey(b"k" * 32))
            times = await asyncio.gather(took(stand.errands[desk].body), took(wrong))
            assert all(0.29 < each < 10 for each in times), times

    staged(test)


def test_a_head_and_a_body_that_drip_in_meet_a_deadline() -> None:
    async def drip(stand: Stand, whole: bytes, rest: bytes) -> tuple[float, bytes]:
        loop = asyncio.get_running_loop()
        reader, writer = await stand.connect()
        began = loop.time()
        writer.write(whole)
        came = asyncio.create_task(stand.rest(reader))
        for at in range(len(rest)):
            if came.done() or loop.time() - began > 10:
                break
            writer.write(rest[at : at + 1])
            await asyncio.sleep(0.02)
        raw = await came
        writer.close()
        return loop.time() - began, raw

    async def test() -> None:
        async with standing(Limits(head_time=0.3, body_time=0.3)) as stand:
            raw = request("visit", stand.errands["anna"].body)
            end = raw.index(b"\r\n\r\n") + 4
            slow = await asyncio.gather(
                drip(stand, b"", b"POST /visit HTTP/1.1\r\nHost: west.test\r\nCookie: " + b"x" * 1000),
                drip(stand, raw[:end], raw[end:]),
                drip(stand, b"", b""),
            )
            for seconds, came in slow:
                assert came == b""
                assert 0.25 < seconds < 10
            assert stand.held == 0
            assert await stand.visit()

    staged(test)


def test_idle_connections_take_nobodys_place() -> None:
    async def test() -> None:
        async with standing(Limits(connections=8, head_time=60)) as stand:
            idle = [await stand.connect() for _ in range(20)]
            await stand.until(lambda: stand.held == 8)
            # The oldest are closed, without a byte; the newest are still there.
            assert [await stand.rest(reader) for reader, _ in idle[:12]] == [b""] * 12
            assert not any(reader.at_eof() for reader, _ in idle[12:])
            assert (await stand.visit()).startswith(b"HTTP/1.1 200 OK\r\n")
            for _, writer in idle:
                writer.close()

    staged(test)


def test_a_flood_above_the_cap_drops_no_visit_that_has_been_accepted() -> None:
    async def test() -> None:
        async with standing(Limits(connections=16, head_time=60), early=800) as stand:
            desk = max(stand.errands, key=lambda name: stand.errands[name].instant)
            mailbox = stand.world.carriers[desk].mailbox
            wrong = request("visit", forged(stand, lambda visit: replace(visit, mailbox=mailbox), VisitKey(b"k" * 32)))
            honest = asyncio.create_task(stand.visit(desk))
            await stand.until(lambda: len(stand.service.heard) == 1)
            # Refused visits wait for their instant, too; and so does the honest one, sent again.
            flood = [asyncio.create_task(stand.send(wrong)) for _ in range(60)]
            flood += [asyncio.create_task(stand.visit(desk)) for _ in range(20)]
            flood += [asyncio.create_task(stand.send(b"POST /vis")) for _ in range(60)]
            came = await honest
            assert came == HEAD % len(came.partition(b"\r\n\r\n")[2]) + came.partition(b"\r\n\r\n")[2]
            most = stand.held
            stand.service.close()
            dropped = [raw for raw in await asyncio.gather(*flood) if raw == b""]
            assert most <= 16
            assert len(dropped) >= 100

    staged(test)


def test_bodies_that_do_not_end_take_a_bounded_amount_of_memory() -> None:
    async def test() -> None:
        async with standing(Limits(buffered=300_000, body_time=60)) as stand:
            store, seen = stand.service.store, [0]

            def watched(connection: Connection, size: int) -> bool:
                there = store(connection, size)
                seen.append(stand.service.buffered)
                return there

            stand.service.store = watched  # type: ignore[method-assign]
            writers = []
            for number in range(20):
                reader, writer = await stand.connect()
                writer.write(head("link", LINK_LIMIT) + bytes(60_000))
                writers.append(writer)
                # Each has come, or has been dropped for the next, before another comes.
                before = min(number + 1, 4)
                await stand.until(lambda: stand.service.buffered > before * 60_000 - 60_000 or reader.at_eof())  # noqa: B023
            assert 200_000 < max(seen) <= 300_000
            assert stand.held <= 5
            assert await stand.visit()
            for writer in writers:
                writer.close()

    staged(test)


def refused_for_long(stand: Stand, **changes: Any) -> bytes:
    """A visit that is refused, from the beginning of its round on: its answer waits for the latest desk's instant."""
    stand.now = stand.world.charter.agreed_by(stand.world.round) + 1
    desk = max(stand.errands, key=lambda name: stand.errands[name].instant)
    assert stand.errands[desk].instant - stand.now > 20_000
    mailbox = stand.world.carriers[desk].mailbox
    box = forged(stand, lambda visit: replace(visit, mailbox=mailbox, **changes), VisitKey(b"k" * 32))
    return request("visit", box)


def test_refused_visits_that_wait_for_their_instant_take_a_bounded_amount_of_memory() -> None:
    async def test() -> None:
        async with standing(Limits(waiting=100_000)) as stand:
            # To the one that would collect the most, the largest answer there is is given.
            wrong = refused_for_long(stand, collect=(1, True))
            size = visits.reply_size(stand.world.charter, more=True)
            flood = [asyncio.create_task(stand.send(wrong)) for _ in range(100)]
            await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
            await stand.until(lambda: sum(each.done() for each in flood) >= 100 - 100_000 // size)
            assert stand.service.waiting <= 100_000
            assert len(stand.service.refused) == stand.service.waiting // size == 100_000 // size
            stand.service.close()
            assert set(await asyncio.gather(*flood)) == {b""}
            assert (stand.service.waiting, stand.held) == (0, 0)

    staged(test)


def test_refused_visits_that_wait_take_no_place_from_a_visit_that_is_still_coming_in() -> None:
    async def test() -> None:
        async with standing(Limits(connections=16, head_time=60)) as stand:
            wrong = refused_for_long(stand)
            raw = request("visit", stand.errands["anna"].body)
            flood = [asyncio.create_task(stand.send(wrong)) for _ in range(16)]
            await stand.until(lambda: len(stand.service.refused) == 16)
            _, writer = await stand.connect()
            writer.write(raw[:1000])
            await stand.until(lambda: len(stand.service.unfinished) == 1)
            # However many come after it, one by one, while it has still to be said.
            for number in range(20):
                flood.append(asyncio.create_task(stand.send(wrong)))
                await stand.until(lambda: sum(each.done() for each in flood) == number + 2)  # noqa: B023
                await stand.until(lambda: len(stand.service.refused) == 15)
            writer.write(raw[1000:])
            await stand.until(lambda: len(stand.service.heard) == 1)
            writer.close()
            stand.service.close()
            await asyncio.gather(*flood)

    staged(test)


def test_an_answer_that_is_not_taken_is_given_up() -> None:
    async def test() -> None:
        async with standing(Limits(reply_time=0.3)) as stand:
            answer: Any = stand.service.answer
            large = enrolment.size_of_reply("charter") * 100
            stand.service.answer = lambda kind, body: replace(answer(kind, body), body=bytes(large))  # type: ignore[method-assign]
            with socket.socket() as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                raw.setblocking(False)  # noqa: FBT003
                loop = asyncio.get_running_loop()
                await loop.sock_connect(raw, ("127.0.0.1", stand.port))
                await loop.sock_sendall(raw, request("visit", stand.errands["anna"].body))
                await stand.until(lambda: stand.held == 1)
                await stand.until(lambda: stand.held == 0)

    staged(test)


def test_who_hangs_up_leaves_nothing_behind() -> None:
    async def test() -> None:
        async with standing(early=60_000) as stand:
            for raw in (b"", b"POST /visit", request("visit", stand.errands["anna"].body)):
                _, writer = await stand.connect()
                writer.write(raw)
                await stand.until(lambda: stand.held == 1)
                writer.close()
                await stand.until(lambda: stand.held == 0)
            assert stand.service.buffered == 0

    staged(test)


def test_on_a_full_disk_nothing_is_said_to_strangers_and_one_line_a_round_to_the_log() -> None:
    async def test() -> None:
        async with standing() as stand:

            def full(_: object) -> None:
                raise UnavailableError("cannot write the shelf: the disk is full")

            ((mailbox, ticket),) = stand.machine.issue(1)
            stand.world.houses["west"].shelf.commit = full  # type: ignore[method-assign, assignment]
            body = Enrolment(mailbox, ticket.token(mailbox, "west"), VisitKey(bytes(32))).encode()
            box = enrolment.seal(
                "enrol",
                body,
                ReplyKey(bytes(32)),
                charter=stand.world.charter,
                operator="west",
                kem=stand.world.kem,
                random=Generator("full"),
            )
            for _ in range(3):
                assert await stand.send(request("enrol", box)) == b""
            assert stand.said == ["cannot write the shelf: the disk is full"]

    staged(test)
