"""The porter at work: an edge, where its machine gets a disk, a clock and a network.

`store` keeps what it carries, encrypted as a desk is; `visits` sends the errands
of a round, each at its instant; `run` goes from round to round and exchanges the
tray's files with the desk. What is sent is decided elsewhere (post/porter.py).
"""
