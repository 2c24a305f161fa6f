"""The command line: an edge, where time, randomness and files come in.

`app` knows the verbs and no more of them than a name and a line of help; each
verb is a module of its own that is imported when it is called. `edge` has the
clock, the generator and the environment, `talk` asks and answers, `typeset`
sets letters and tables, `visible` keeps strangers' text from drawing on the
terminal.
"""

from backchannel.cli.app import main

__all__ = ["main"]
