"""Real BuildKit daemons, a registry and a base image for the tests and for work by hand.

``debian`` fetches the programs, ``engine`` and ``registry`` start them, ``image`` makes the base
image, ``fleet`` holds them together in one supervising process, ``plugin`` hands them to pytest,
and ``python -m tests.real up|down|list`` hands them to a person.
"""
