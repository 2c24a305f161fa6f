"""What keeps letters private end to end: cards, the meeting, check words, the ratchet, envelopes."""
