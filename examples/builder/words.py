"""Counts the words of every text in a folder: one step for each, whatever files there are.

What a build file cannot say is which steps there are, as long as nobody has looked.
"""

import posixpath
from shlex import quote

from buildfile import Client, Result
from translator.state import bind, image, local


def build(client: Client) -> Result:
    """Look which texts there are, count each in a step of its own, and add them up."""
    name = client.opts.get("image", "docker.io/library/alpine:3.20")
    found = client.resolve_image(name, platform=client.platform)
    base = image(name, digest=found.digest, config=found.config)
    code = local("code")

    texts = client.solve(code).ref.read_dir("/texts", include="*.txt")
    if not texts:
        client.warn("there is nothing to count")

    counts = []
    for text in texts:
        stem = posixpath.splitext(text.name)[0]
        script = f"mkdir /count; wc -w </text >/count/{quote(stem)}"
        step = base.named(stem).run(script, bind("/text", code, f"texts/{text.name}"))
        counts.append(bind(f"/counts/{stem}", step, "count"))

    script = "mkdir /out; for f in /counts/*/*; do echo $(basename $f) $(cat $f); done >/out/words"
    total = base.named("words").run(script, *counts).image(cmd=("cat", "/out/words"))
    config = total.compile(platform=client.platform).image_config
    return Result.one(client.solve(total).ref, config=config)
