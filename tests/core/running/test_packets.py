"""Documents of any size travel in packets, those of several attempts mixed, and arrive whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clew.core.running.packets import CANCEL, PACKET_SIZE_MAX, WHOLE, Joiner, packet, packets_of

SIZES = st.integers(0, 3 * PACKET_SIZE_MAX)


@given(st.lists(st.tuples(SIZES, st.randoms(use_true_random=False)), max_size=4))
def test_what_is_packed_is_joined(plans: list[tuple[int, object]]) -> None:
    """No packet is larger than the limit; each document comes out once, under its number."""
    documents = {number: bytes([number]) * size for number, (size, _) in enumerate(plans)}
    streams = [list(packets_of(number, document)) for number, document in documents.items()]
    joiner, joined = Joiner(), {}
    while any(streams):
        for stream in streams:
            if stream:
                message = stream.pop(0)
                assert len(message) <= PACKET_SIZE_MAX
                if complete := joiner.take(message):
                    kind, number, content = complete
                    assert kind == WHOLE and number not in joined
                    joined[number] = content
    assert joined == documents


def test_a_document_larger_than_a_packet_travels_in_parts() -> None:
    """Each packet but the last is full, and together they are the document."""
    document = b"a" * PACKET_SIZE_MAX + b"b"
    first, last = packets_of(7, document)
    joiner = Joiner()
    assert (len(first), joiner.take(first)) == (PACKET_SIZE_MAX, None)
    assert joiner.take(last) == (WHOLE, 7, document)


def test_a_word_in_between_disturbs_nothing() -> None:
    """A cancellation has no parts, and arrives with its number; what had come of a document is dropped."""
    joiner = Joiner()
    first = next(packets_of(7, b"x" * PACKET_SIZE_MAX))
    assert joiner.take(first) is None
    assert joiner.take(packet(CANCEL, 7)) == (CANCEL, 7, b"")
    assert joiner.take(packet(WHOLE, 7, b"y")) == (WHOLE, 7, b"y")
