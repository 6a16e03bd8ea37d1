"""Results that daemons send: a folder, a file, or an open stream.

Nothing stands under its final name before ``commit``. What comes is written beside it first, so
that a build that fails, or a disk that fills up, leaves what was there before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO

from daemon_shim.session.archive import ArchiveReceiver
from daemon_shim.session.place import ConflictError, merge
from daemon_shim.session.receiving import BytesReceiver, TreeReceiver
from daemon_shim.session.service import Call, Handler, RpcError
from daemon_shim.session.sinks import FileSink, StreamSink
from daemon_shim.session.tree import Tree

_METADATA = "exporter-md-"
_UNKNOWN = 2


class OutputError(Exception):
    """An output could not be written. ``dest`` is its place as the user gave it."""

    def __init__(self, reason: str, *, dest: str) -> None:
        super().__init__(f"{dest}: {reason}")
        self.reason = reason
        self.dest = dest


class Output(ABC):
    """One output. A daemon's streams fill it; then the caller ends it with ``commit`` or
    ``abandon``, on any thread, after the solve ended.
    """

    def __init__(self, dest: str) -> None:
        self.dest = dest
        self.error: OutputError | None = None
        """Why it failed; the first reason."""
        self.warnings: list[str] = []
        """What was left out of it."""
        self.received: dict[str, str] = {}
        """The exporter's metadata, such as ``containerimage.digest`` (v0.6 and later)."""
        self._missing = 0
        self._streams = 0

    def open(self, call: Call) -> Handler:
        """Answer a call of the daemon. Raises RpcError."""
        for key, values in call.metadata.items():
            if key.startswith(_METADATA):
                self.received[key.removeprefix(_METADATA)] = ",".join(values)
        self._streams += 1
        self._missing += 1
        try:
            return self._receiver(call)
        except OSError as error:
            self.fail(_reason(error))
        except OutputError as error:
            self.fail(error.reason)
        raise RpcError(_UNKNOWN, "client: cannot write the output")

    def complete(self) -> None:
        """A stream is all there (called by its receiver)."""
        self._missing -= 1

    def fail(self, reason: str) -> None:
        """A stream failed (called by its receiver)."""
        self.error = self.error or OutputError(reason, dest=self.dest)

    def warn(self, text: str) -> None:
        """Something was left out (called by a receiver)."""
        self.warnings.append(text)

    def verify(self) -> None:
        """See whether all came. Raises OutputError."""
        self._judge()
        if self.error is not None:
            raise self.error

    def _judge(self) -> None:
        if self.error is None and not self._streams:
            self.fail("the daemon sent nothing")
        elif self.error is None and self._missing:
            self.fail("the daemon did not send all")

    def commit(self) -> None:
        """Put what came in its place, at once. Raises OutputError; nothing is there then."""
        self._judge()
        if self.error is None:
            try:
                self._commit()
            except OSError as error:
                self.fail(_reason(error))
            except ConflictError as error:
                self.fail(str(error))
        self.abandon()
        if self.error is not None:
            raise self.error

    @abstractmethod
    def check(self) -> None:
        """See whether the place can be written, before a build. Raises OutputError."""

    @abstractmethod
    def abandon(self) -> None:
        """Remove what came, unless it was committed. More than once does no harm."""

    @abstractmethod
    def _receiver(self, call: Call) -> Handler:
        """Make the handler of one call."""

    @abstractmethod
    def _commit(self) -> None:
        """Put what came in its place."""


class FolderOutput(Output):
    """A folder, for the local exporter. Several streams may fill it, one for each platform.

    An existing folder is merged with: other files in it stay, unless ``delete``, which makes it
    like the result (mode=delete of v0.31, here with any daemon). A new one appears when all of it
    is there. ``devices`` has device nodes made, which takes root; otherwise they are left out with
    a warning, where buildctl makes them or fails. All belongs to the user who runs this.
    """

    def __init__(
        self, dest: str | os.PathLike[str], *, delete: bool = False, devices: bool = False
    ) -> None:
        super().__init__(os.fspath(dest))
        self._delete = delete
        self._devices = devices
        self._place = Path(dest).resolve()
        self._partial: Path | None = None
        self._mode = 0o755
        self._tree: Tree | None = None

    def check(self) -> None:
        """See whether the place is a folder that can be written, or can be made."""
        if self._place.exists() and not self._place.is_dir():
            raise OutputError("is not a folder", dest=self.dest)
        _check_writable(self._place if self._place.is_dir() else self._place.parent, self.dest)

    def _receiver(self, call: Call) -> Handler:
        if self._tree is None:
            self.check()
            self._partial = self._make_partial()
            self._tree = Tree(self._partial)
        return TreeReceiver(call, self, self._tree, devices=self._devices)

    def _make_partial(self) -> Path:
        """Make the temporary folder, on the file system where its content will lie."""
        beside = self._place.parent
        beside.mkdir(parents=True, exist_ok=True)
        if self._place.is_dir() and not _same_file_system(beside, self._place):
            beside = self._place
        partial = _partial_name(self._place, beside)
        partial.mkdir()
        self._mode = stat.S_IMODE(partial.stat().st_mode)  # what the user's umask makes of it
        partial.chmod(0o700)
        return partial

    def _commit(self) -> None:
        assert self._tree is not None and self._partial is not None  # noqa: S101
        if not self._place.is_dir():
            self._tree.settle()
            self._partial.chmod(self._mode)
            self._partial.rename(self._place)
            return
        merge(self._partial, self._place, delete=self._delete)
        self._tree.move(self._place)
        self._tree.settle()

    def abandon(self) -> None:
        """Remove the temporary folder."""
        if self._tree is not None:
            self._tree.close()
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)


class FileOutput(Output):
    """A file, for the tar, oci and docker exporters. It appears when all of it is there.

    If ``archived``, it is an archive that is made here of what a local exporter sends.
    """

    def __init__(self, dest: str | os.PathLike[str], *, archived: bool = False) -> None:
        super().__init__(os.fspath(dest))
        self._receiver_type = ArchiveReceiver if archived else BytesReceiver
        self._place = Path(dest).resolve()
        self._partial: Path | None = None
        self._fd = -1

    def check(self) -> None:
        """See whether the place is a file, or can be made."""
        if self._place.is_dir():
            raise OutputError("is a folder; a file is wanted", dest=self.dest)
        if self._place.exists() and not self._place.is_file():
            raise OutputError("is not a plain file", dest=self.dest)
        self._check_beside()

    def _check_beside(self) -> None:
        """See whether the partial file can be written."""
        _check_writable(self._place.parent, self.dest)

    def _receiver(self, call: Call) -> Handler:
        if self._partial is not None:
            raise OutputError("a second stream came for one file", dest=self.dest)
        self.check()
        self._place.parent.mkdir(parents=True, exist_ok=True)
        self._partial = _partial_name(self._place, self._place.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._partial, flags, 0o666)
        if self._place.exists():
            os.fchmod(self._fd, stat.S_IMODE(self._place.stat().st_mode) & 0o777)
        return self._receiver_type(call, self, lambda _: FileSink(self._fd))

    @property
    def partial(self) -> Path:
        """The file that came, until ``commit``."""
        assert self._partial is not None  # noqa: S101 - a stream came
        return self._partial

    def _commit(self) -> None:
        self._close()
        self.partial.replace(self._place)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def abandon(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._close()
        if self._partial is not None:
            with contextlib.suppress(OSError):
                self._partial.unlink(missing_ok=True)


class StreamOutput(Output):
    """An open stream such as standard output, for the exporters that send one file.

    What is written there cannot be taken back, so that a failed build may leave a part.
    ``archived`` is as for a file.
    """

    def __init__(self, stream: BinaryIO, name: str = "-", *, archived: bool = False) -> None:
        super().__init__(name)
        self._stream = stream
        self._receiver_type = ArchiveReceiver if archived else BytesReceiver

    def check(self) -> None:
        """A stream is open already."""

    def _receiver(self, call: Call) -> Handler:
        if self._streams > 1:
            raise OutputError("a second stream came for one file", dest=self.dest)
        return self._receiver_type(
            call, self, lambda failure: StreamSink(call, self._stream, failure)
        )

    def _commit(self) -> None:
        self._stream.flush()

    def abandon(self) -> None:
        """Nothing can be taken back."""


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _partial_name(place: Path, beside: Path) -> Path:
    return beside / f".{place.name[:200]}.{uuid.uuid4().hex[:8]}.partial"


def _same_file_system(parent: Path, folder: Path) -> bool:
    return os.access(parent, os.W_OK | os.X_OK) and parent.stat().st_dev == folder.stat().st_dev


def _check_writable(folder: Path, dest: str) -> None:
    """Check the nearest folder that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", dest=dest)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written", dest=dest)
