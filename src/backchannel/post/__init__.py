"""The post office as pure machines: what is agreed, sent, asked and answered.

Opaque bytes go in and come out: this room knows neither letters nor what seals
them. Time, randomness, KEM and ciphers are arguments; nothing here does I/O.
"""
