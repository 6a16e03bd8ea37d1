#!/bin/sh
# queue.sh put WORD | take | selftest : a queue of words in the file $QUEUE.
set -eu
QUEUE=${QUEUE:-/tmp/queue}
here=$(dirname "$0")
[ ! -s "$here/debug.sh" ] || . "$here/debug.sh"

put() { echo "$1" >>"$QUEUE"; }
take() {
    head -n 1 "$QUEUE"
    sed -i 1d "$QUEUE"
}
selftest() {
    put one
    put two
    [ "$(take)" = one ] && [ "$(take)" = two ] && [ ! -s "$QUEUE" ] && echo "queue: ok"
}
"$@"
