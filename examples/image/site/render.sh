#!/bin/sh
# render.sh FROM TO : HTML of each text in FROM, with its first line as the title.
set -eu
mkdir -p "$2"
for text in "$1"/*.md; do
    name=$(basename "$text" .md)
    title=$(sed -n '1s/^# //p' "$text")
    {
        echo "<!doctype html><meta charset=utf-8><title>$title</title><h1>$title</h1>"
        sed '1d;s/^$/<p>/' "$text"
    } >"$2/$name.html"
    echo "rendered $name.html"
done
