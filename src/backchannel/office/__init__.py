"""The office: an edge, where an operator's machine meets disk, network and clock.

`shelf` is its disk, `service` answers porters and the other operators, `peers`
asks these, `clock` turns the rounds, `run` has them all together. `folder` is
where an operator keeps keys and charters, `accounts` what `status` and `doctor`
read there, `cli` the command `backchannel-operator`, and `edge` has the clock,
the generator and the environment. What is decided, is decided in post/.
"""
