"""Sources to vertices. Identifiers and attributes as the daemons read them
(source/identifier.go and solver/pb/attr.go; the names are the same since v0.3).
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from translator.compiled import ImageNeed, LocalUse, Program, ResolvedImage
from translator.diagnostic import InvalidFileError
from translator.llb import back_faults as faults
from translator.llb.giturl import GitUrl
from translator.llb.graph import (
    CopyFiles,
    Edge,
    FileChange,
    FileOp,
    MakeDir,
    MakeFile,
    SourceOp,
    Use,
    Vertex,
)
from translator.llb.locals import literal
from translator.llb.paths import absolute
from translator.platform import Platform
from translator.reference import Reference
from translator.span import Span
from translator.stage import (
    GitSource,
    HttpSource,
    ImageSource,
    InlineSource,
    LocalSource,
    OciLayoutSource,
)

# The attributes of one source: a name, its text, and the feature that it needs ("" for none).
_Attrs: TypeAlias = list[tuple[str, str, str]]
LOCAL = "local://"
SESSION = "local.session"
_INCLUDE, _FOLLOW, HINT = "local.includepattern", "local.followpaths", "local.sharedkeyhint"
UNIQUE = "local.unique"
_FULL_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_STORE_NAME = re.compile(r"[^a-z0-9._-]+")
# Part of an identifier that containerd reads as a reference; nothing is ever fetched from there.
_STORE_HOST = "localhost"


def image_reference(source: ImageSource) -> Reference:
    """The full name of a source's image. Raises InvalidFileError when it has none."""
    try:
        return Reference.parse(source.ref)
    except ValueError as error:
        fault = faults.bad_image(source.ref, str(error), source.span)
        raise InvalidFileError([fault]) from None


def image_need(source: ImageSource | OciLayoutSource, platform: Platform) -> ImageNeed:
    """What has to be resolved of an image, in a stage for ``platform``."""
    platform = source.platform or platform
    if isinstance(source, ImageSource):
        ref = str(image_reference(source))
        return ImageNeed(ref=ref, platform=platform, resolve=source.resolve, span=source.span)
    return ImageNeed(
        ref=source.digest or source.ref,
        platform=platform,
        store=store_id(source),
        path=source.path,
        span=source.span,
    )


def store_id(source: OciLayoutSource) -> str:
    """The id under which the session serves an OCI layout's content.

    It tells folders apart by their place from the build file, so it is the same on all machines.
    """
    if source.store:
        return source.store
    name = _STORE_NAME.sub("-", source.name.lower()).strip("-") or "layout"
    place = posixpath.relpath(source.path, source.span.file.folder)
    return f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


# --- images ----------------------------------------------------------------------------------


def image_vertex(
    source: ImageSource, platform: Platform, images: Mapping[ImageNeed, ResolvedImage]
) -> Vertex:
    """An image of a registry, pinned when ``images`` knows its digest."""
    need = image_need(source, platform)
    resolved = images.get(need)
    reference = image_reference(source)
    ref = reference.pinned(resolved.digest) if resolved else reference
    attrs: _Attrs = []
    if source.resolve != "default":
        # Where "local" is not known, the image is pulled as by default: no reason to refuse.
        feature = "source.image.resolvemode" if source.resolve == "pull" else ""
        attrs.append(("image.resolvemode", source.resolve, feature))
    vertex = _vertex(
        f"docker-image://{ref}",
        attrs,
        uses=("source.image",),
        name=f"load image {reference}",
        span=source.span,
    )
    return replace(vertex, platform=need.platform)


def layout_vertex(
    source: OciLayoutSource, platform: Platform, images: Mapping[ImageNeed, ResolvedImage]
) -> Vertex:
    """An image in an OCI layout. Raises KeyError when its digest is not known."""
    need = image_need(source, platform)
    digest = source.digest or images[need].digest
    vertex = _vertex(
        f"oci-layout://{_STORE_HOST}/{need.store}@{digest}",
        [("oci.store", need.store, "")],
        uses=("source.ocilayout",),
        name=f"load image {source.name}",
        span=source.span,
    )
    return replace(vertex, platform=need.platform)


# --- folders and repositories ----------------------------------------------------------------


def local_vertex(source: LocalSource, use: LocalUse, unique: str, session: str = "") -> Vertex:
    """A folder of the client. ``unique`` keeps runs apart that a daemon has at the same time.

    One that is ``served`` comes from ``session``, and is all of what that serves.
    """
    lists = (
        (_INCLUDE, use.include, "source.local.includepatterns"),
        ("local.excludepatterns", use.exclude, "source.local.excludepatterns"),
        (_FOLLOW, use.follow, "source.local.followpaths"),
    )
    attrs: _Attrs = [(name, _json(values), feature) for name, values, feature in lists if values]
    if source.served:
        attrs.append((SESSION, session, ""))
    title = f"[sources] local {use.name}"
    name = source.served or use.name
    return _local(name, attrs, unique=unique, hint=use.name, title=title, span=source.span)


def below_vertex(source: LocalSource, whole: Edge) -> Vertex:
    """The folder that a source is, out of the ``served`` one that it lies in."""
    change = CopyFiles(source=f"/{literal(source.below)}", target="/")
    return Vertex(
        payload=FileOp(changes=(change,), origin=0),
        inputs=(whole,),
        name=f"[sources] local {source.name}: {source.below}",
        uses=(Use("file.base", source.span),),
        span=source.span,
    )


def stored_program_vertex(ref: str, platform: Platform, span: Span) -> Vertex:
    """The image that holds a program of our own."""
    vertex = _vertex(
        f"docker-image://{ref}", [], uses=("source.image",), name="[sources] helper", span=span
    )
    return replace(vertex, platform=platform)


def program_vertex(program: Program, unique: str, span: Span) -> Vertex:
    """A program of our own, which is alone in its folder."""
    return _local(
        program.name, [], unique=unique, hint=program.name, title="[sources] helper", span=span
    )


def part_of_local(vertex: Vertex, include: tuple[str, ...], follow: tuple[str, ...]) -> Vertex:
    """A part of a local source as a source of its own, so that the rest of it does not matter.

    It is sent for itself, and daemons must not take what they have of the one for the other.
    """
    source = vertex.payload
    assert isinstance(source, SourceOp)  # noqa: S101 -- for the type checker: the caller looked
    chosen = {_INCLUDE: _json(include) if include else "", _FOLLOW: _json(follow) if follow else ""}
    attrs = {**dict(source.attrs), **chosen}
    mark = hashlib.sha256(repr(sorted(chosen.items())).encode()).hexdigest()[:12]
    attrs[HINT] = f"{attrs[HINT]}-{mark}"
    features = {
        _INCLUDE: "source.local.includepatterns",
        _FOLLOW: "source.local.followpaths",
    }
    kept = [use for use in vertex.uses if use.feature not in features.values()]
    added = [Use(features[name], vertex.span) for name, value in chosen.items() if value]
    return replace(
        vertex,
        payload=replace(source, attrs=tuple((k, v) for k, v in attrs.items() if v)),
        uses=(*kept, *added),
    )


def _local(  # noqa: PLR0913 -- what makes a local source, by name
    name: str, attrs: _Attrs, *, unique: str, hint: str, title: str, span: Span
) -> Vertex:
    attrs = [*attrs, (HINT, hint, "source.local.sharedkeyhint")]
    if unique:
        attrs.append((UNIQUE, unique, "source.local.unique"))
    return _vertex(f"{LOCAL}{name}", attrs, uses=("source.local",), name=title, span=span)


def _json(values: tuple[str, ...]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def git_vertex(source: GitSource) -> Vertex:
    """A git repository at a ref. Raises InvalidFileError when its address is none."""
    try:
        url = GitUrl.parse(source.url)
    except ValueError as error:
        fault = faults.bad_git_url(source.url, str(error), source.span)
        raise InvalidFileError([fault]) from None
    subdir = absolute("/", source.subdir).lstrip("/")
    ref = source.ref or source.commit
    # A full hash as the ref needs no check, which only newer daemons can do.
    checked = "" if ref == source.commit and _FULL_HASH.fullmatch(ref) else source.commit
    fragment = f"#{ref}:{subdir}" if subdir else f"#{ref}" if ref else ""
    ssh = source.ssh or ("default" if url.ssh else "")
    rows = (
        ("git.fullurl", url.remote, "source.git.fullurl"),
        ("git.keepgitdir", "true" if source.keep_git_dir else "", "source.git.keepgitdir"),
        ("git.authtokensecret", source.auth_token, "source.git.httpauth"),
        ("git.authheadersecret", source.auth_header, "source.git.httpauth"),
        ("git.mountsshsock", ssh, "source.git.mountsshsock"),
        ("git.checksum", checked, "source.git.checksum"),
        ("git.skipsubmodules", "" if source.submodules else "true", "source.git.skipsubmodules"),
    )
    return _vertex(
        f"git://{url.place}{fragment}",
        [row for row in rows if row[1]],
        uses=(
            "source.git",
            *(("source.git.subdir",) if subdir else ()),
            *(("git.history",) if source.keep_git_dir else ()),
        ),
        name=f"[sources] git {url.place}{fragment}",
        span=source.span,
    )


# --- downloads and text ----------------------------------------------------------------------


def http_filename(source: HttpSource) -> str:
    """The name of a download's file: as given, or the last part of the address."""
    if source.filename:
        return source.filename
    return posixpath.basename(unquote(urlsplit(source.url).path)) or "download"


def http_vertex(source: HttpSource) -> Vertex:
    """A file from the web. Raises InvalidFileError when its address is none."""
    parts = urlsplit(source.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidFileError([faults.bad_http_url(source.url, source.span)])
    rows = (
        ("http.checksum", source.checksum, "source.http.checksum"),
        ("http.filename", http_filename(source), ""),
        ("http.perm", f"0{source.chmod:o}" if source.chmod else "", "source.http.perm"),
        ("http.uid", str(source.uid or ""), "soruce.http.uidgid"),
        ("http.gid", str(source.gid or ""), "soruce.http.uidgid"),
    )
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return _vertex(
        source.url,
        [row for row in rows if row[1]],
        uses=("source.http",),
        name=f"[sources] http {shown}",
        span=source.span,
    )


def inline_vertex(source: InlineSource) -> Vertex:
    """Files whose text stands in the build file, with the folders that they lie in."""
    changes: list[FileChange] = []
    made = {"/"}
    for name, text in source.files:
        path = absolute("/", name)
        folder = posixpath.dirname(path)
        if folder not in made:
            changes.append(MakeDir(path=folder, mode=0o755, parents=True))
            made.add(folder)
        changes.append(MakeFile(path=path, mode=0o644, data=text.encode()))
    return Vertex(
        payload=FileOp(changes=tuple(changes)),
        name=f"[sources] inline {source.name}",
        uses=(Use("file.base", source.span),),
        span=source.span,
    )


def _vertex(identifier: str, attrs: _Attrs, uses: tuple[str, ...], name: str, span: Span) -> Vertex:
    features = (*uses, *(feature for _, _, feature in attrs if feature))
    return Vertex(
        payload=SourceOp(
            identifier=identifier, attrs=tuple((key, value) for key, value, _ in attrs)
        ),
        name=name,
        uses=tuple(Use(feature, span) for feature in features),
        span=span,
    )


PLAIN: Mapping[type, Callable[..., Vertex]] = {
    GitSource: git_vertex,
    HttpSource: http_vertex,
    InlineSource: inline_vertex,
}
"""The sources that need nothing but themselves."""
