"""Cells that hold or name media: what is read, what is refused, what is written."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.errors import (
    BlockedAddress,
    BlockedFile,
    ConnectionFailed,
    HuggingFaceError,
    InputError,
    InvalidAnswer,
    InvalidInput,
    PayloadTooLarge,
    ServiceTimeout,
    Unavailable,
)
from huggingface_api_handler.media import loading
from huggingface_api_handler.media.loading import MAX_BYTES, identity, load, write
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Kind
from tests.unit.loopback import Loopback, answer
from tests.unit.rights import open_folder, without_rights

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 40
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 40
GIF = b"GIF89a" + b"\x00" * 40
WEBP = b"RIFF" + struct.pack("<I", 36) + b"WEBPVP8 " + b"\x00" * 40
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + b"\x00" * 40
FLAC = b"fLaC" + b"\x00" * 40
MP3 = b"ID3\x03" + b"\x00" * 40
OGG = b"OggS" + b"\x00" * 40
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00" * 40
M4A = b"\x00\x00\x00\x18ftypM4A \x00\x00\x02\x00isomiso2" + b"\x00" * 40
WEBM = b"\x1aE\xdf\xa3" + b"\x00" * 20 + b"B\x82\x84webm" + b"\x00" * 40
ASF = bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C") + b"\x00" * 60
AVI = b"RIFF\x24\0\0\0AVI LIST" + b"\0" * 40
FLV = b"FLV\x01\x04\0\0\0\x09" + b"\0" * 40
MKV = b"\x1aE\xdf\xa3" + b"\x00" * 20 + b"B\x82\x88matroska" + b"\x00" * 40
MOV = b"\x00\x00\x00\x14ftypqt  " + b"\x00" * 40
PDF = b"%PDF-1.7" + b"\x00" * 40
ODD = bytes(range(128, 256)) * 2
CLOSED = UrlPolicy()


def take(cell: Any, kind: Kind = Kind.IMAGE, **options: Any) -> Media:
    policy = options.pop("policy", CLOSED)
    options.setdefault("transport", Transport(policy))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "MAX_BYTES", options.pop("max_bytes", MAX_BYTES))
        return load(cell, kind, timeout=options.pop("timeout", 5), **options)


def both(*roots: str) -> list[Callable[[Any], Any]]:
    """The two functions that look at a cell, which must judge it alike."""
    return [lambda cell: take(cell, roots=roots), lambda cell: identity(cell, Kind.IMAGE, roots)]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as one:
        yield one


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "tom.png").write_bytes(PNG)
    (folder / "song.wav").write_bytes(WAV)
    (tmp_path / "secret.png").write_bytes(PNG + b"secret")
    return folder


# --- bytes and text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "found"),
    [
        (PNG, Kind.IMAGE, "image/png"), (JPEG, Kind.IMAGE, "image/jpeg"), (GIF, Kind.IMAGE, "image/gif"),
        (WEBP, Kind.IMAGE, "image/webp"), (b"BM" + b"\x00" * 40, Kind.IMAGE, "image/bmp"),
        (WAV, Kind.AUDIO, "audio/x-wav"), (FLAC, Kind.AUDIO, "audio/x-flac"), (MP3, Kind.AUDIO, "audio/mpeg"),
        (OGG, Kind.AUDIO, "audio/ogg"), (M4A, Kind.AUDIO, "audio/m4a"), (WEBM, Kind.AUDIO, "audio/webm"),
        (MP4, Kind.AUDIO, "audio/m4a"), (MP4, Kind.VIDEO, "video/mp4"), (WEBM, Kind.VIDEO, "video/webm"),
        (ASF, Kind.AUDIO, "audio/x-ms-wma"), (ASF, Kind.VIDEO, "video/x-ms-wmv"),
        (MKV, Kind.AUDIO, "audio/x-matroska"), (MKV, Kind.VIDEO, "video/x-matroska"),
        (MOV, Kind.AUDIO, "audio/m4a"), (MOV, Kind.VIDEO, "video/quicktime"),
        (AVI, Kind.AUDIO, "application/octet-stream"), (AVI, Kind.VIDEO, "video/x-msvideo"),
        (FLV, Kind.AUDIO, "application/octet-stream"), (FLV, Kind.VIDEO, "video/x-flv"),
        (GIF, Kind.VIDEO, "image/gif"), (ODD, Kind.IMAGE, "application/octet-stream"),
    ],
)  # fmt: skip
def test_types_are_found_in_the_bytes(data: bytes, kind: Kind, found: str) -> None:
    for cell in (data, bytearray(data), memoryview(data), base64.b64encode(data).decode(), Media(data, "x/y")):
        assert take(cell, kind) == Media(data, found)
    # Not what somebody says they are.
    assert take(f"data:text/html;base64,{base64.b64encode(data).decode()}", kind) == Media(data, found)


def test_the_declared_type_speaks_where_the_bytes_do_not() -> None:
    packed = base64.b64encode(ODD).decode()
    assert take(f"data:image/x-odd;base64,{packed}").type == "image/x-odd"
    assert take(f"data:IMAGE/X-ODD;charset=x;base64,{packed}").type == "image/x-odd"
    assert take(f"data:audio/x-odd;base64,{packed}").type == "application/octet-stream"
    assert take(f"data:;base64,{packed}").type == "application/octet-stream"


@pytest.mark.parametrize(
    "declared",
    ["image/x\r\nX-Evil: 1", "image/\xe9", "image/\u202e", "image/<b>", "image/", "image/x y", "image/" + "x" * 99],
)
def test_a_declared_type_that_is_none_is_not_handed_on(declared: str) -> None:
    """It becomes a header; one that no header can hold was once taken for a fault of the settings, of all rows."""
    packed = base64.b64encode(ODD).decode()
    assert take(f"data:{declared};base64,{packed}").type == "application/octet-stream"


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (PNG, Kind.AUDIO, "image/png, not sound"), (WAV, Kind.IMAGE, "audio/x-wav, not an image"),
        (PNG, Kind.VIDEO, "image/png, not a video"), (PDF, Kind.IMAGE, "application/pdf, not an image"),
        (b"<!DOCTYPE html><html>", Kind.IMAGE, "web page"), (b"\xef\xbb\xbf \n<?xml?>", Kind.AUDIO, "web page or XML"),
        (b"<svg xmlns='x'/>", Kind.IMAGE, "SVG"), (b'{"error": "no"}', Kind.IMAGE, "text, not an image"),
        (b"plain text\n", Kind.AUDIO, "text, not sound"), (b"", Kind.IMAGE, "empty"), (b"PK\x03\x04" + b"\0" * 40,
         Kind.IMAGE, "zip"),
    ],
)  # fmt: skip
def test_other_things_are_refused_by_name(data: bytes, kind: Kind, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        take(data, kind)
    assert not caught.value.retryable


@pytest.mark.parametrize("cell", [None, 5, 1.5, True, [PNG], {"a": PNG}, object()])
def test_cells_that_hold_no_medium(cell: Any) -> None:
    for do in both():
        with pytest.raises(InvalidInput):
            do(cell)


def test_base64_of_all_makes() -> None:
    data = JPEG + bytes(range(256))
    standard = base64.b64encode(data).decode()
    assert standard.startswith("/9j/")  # looks like a path, is none
    lines = "\n".join(standard[n : n + 76] for n in range(0, len(standard), 76))
    for text in (standard, standard.rstrip("="), lines, f" {lines}\r\n", base64.urlsafe_b64encode(data).decode()):
        assert take(text).data == data
        assert take(text, roots=("/srv/media",)).data == data
        assert take(f"data:image/jpeg;base64,{text}").data == data
    assert take("data:image/jpeg;base64," + standard.replace("/", "%2F").replace("+", "%2B")).data == data
    assert take("data:image/png," + "".join(f"%{byte:02x}" for byte in PNG)).data == PNG


@pytest.mark.parametrize(
    "text",
    ["", " ", "hello", "a cat on a mat", "data:image/png;base64", "data:image/png;base64,!!!!", "data:,", "aGVsbG8=",
     "data:,\ud800%41",
     "x" * 5000 + "!", " " * 100_000 + "!", "a" * 100_001, base64.b64encode(b"just some text, no image").decode()],
)  # fmt: skip
def test_text_that_is_nothing(text: str) -> None:
    with pytest.raises(InvalidInput):
        take(text)


@given(st.text(max_size=80) | st.binary(max_size=80))
def test_any_cell_is_a_medium_or_a_rows_own_error(cell: Any) -> None:
    for kind in (Kind.IMAGE, Kind.AUDIO, Kind.VIDEO):
        try:
            assert isinstance(take(cell, kind, roots=("/nowhere",)), Media)
        except InputError:
            pass
        try:
            hash(identity(cell, kind, ("/nowhere",)))
        except InputError:
            pass


def test_the_limit_is_exact() -> None:
    data = PNG + b"\0" * 1000
    packed = base64.b64encode(data).decode()
    for cell in (data, packed, f"data:;base64,{packed}"):
        assert take(cell, max_bytes=len(data)).data == data
        with pytest.raises(PayloadTooLarge):
            take(cell, max_bytes=len(data) - 1)
    with pytest.raises(PayloadTooLarge):
        take("data:;base64," + "A" * 10_000_000, max_bytes=1000)


# --- URLs -----------------------------------------------------------------------------------------


def test_a_url_is_fetched_without_credentials(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "z" * 34)
    server.speak = answer(PNG, content_type="text/plain")
    policy = UrlPolicy((server.url,), (f"127.0.0.1:{server.port}",))
    assert take(f" {server.url}/cat?size=big ", policy=policy) == Media(PNG, "image/png")
    heard = server.heard[0]
    assert (heard.method, heard.target) == ("GET", "/cat?size=big")
    assert "authorization" not in heard.headers
    assert heard.headers["accept"].startswith("image/*")


def test_urls_of_one_transport_share_connections(server: Loopback) -> None:
    server.speak = answer(PNG, content_type="image/png")
    policy = UrlPolicy((), (f"127.0.0.1:{server.port}",))
    with_own = Transport(policy)
    for _ in range(5):
        take(f"{server.url}/a", policy=policy, transport=with_own)
    assert server.connections == 1
    another = Transport(policy)
    for _ in range(5):
        take(f"{server.url}/a", policy=policy, transport=another)
    assert server.connections == 2


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/a.png", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "https://localhost/",
     "http://2130706433/", "HTTP://0x7f.1/a.png", "https://user:pw@1.1.1.1/", "http://10.0.0.1:6379/", "http:/x",
     "https:"],
)  # fmt: skip
def test_the_inside_is_not_fetched(url: str) -> None:
    with pytest.raises(BlockedAddress):
        take(url)


def test_a_redirect_to_the_inside_is_not_followed(server: Loopback) -> None:
    with Loopback(answer(PNG)) as inside:
        server.speak = answer(b"", 302, Location=f"{inside.url}/admin")
        with pytest.raises(BlockedAddress):
            take(f"{server.url}/a.png", policy=UrlPolicy((), (f"127.0.0.1:{server.port}",)))
        assert inside.heard == []


@pytest.mark.parametrize(
    ("speak", "kind"),
    [
        (answer("<html>Please log in</html>", content_type="text/html"), InvalidInput),
        (answer("<html>", content_type="image/png"), InvalidInput),
        (answer(b"", content_type="image/png"), InvalidInput),
        (answer("gone", 404, "text/plain"), InvalidInput),
        (answer("no", 401, "text/plain"), InvalidInput),
        (answer("slow down", 429, "text/plain"), Unavailable),
        (answer("broken", 500, "text/plain"), Unavailable),
        (answer(WAV, content_type="audio/wav"), InvalidInput),
    ],
)
def test_what_a_url_leads_to(server: Loopback, speak: Any, kind: type[HuggingFaceError]) -> None:
    server.speak = speak
    with pytest.raises(HuggingFaceError) as caught:
        take(f"{server.url}/a.png?signature=s3cret", policy=UrlPolicy((), (f"127.0.0.1:{server.port}",)))
    assert type(caught.value) is kind
    assert not caught.value.fatal
    assert "s3cret" not in str(caught.value)


def test_a_url_has_its_limits(server: Loopback) -> None:
    policy = UrlPolicy((), (f"127.0.0.1:{server.port}",))
    server.speak = answer(PNG + b"\0" * 5000, content_type="image/png")
    with pytest.raises(PayloadTooLarge):
        take(f"{server.url}/a.png", policy=policy, max_bytes=1000)
    server.speak = lambda heard, sock: server.wait(20)
    with pytest.raises(ServiceTimeout):
        take(f"{server.url}/a.png", policy=policy, timeout=0.3)
    server.close()
    with pytest.raises(ConnectionFailed):
        take(f"{server.url}/b.png", policy=policy)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_inside_a_root(root: Path) -> None:
    roots = ("/nowhere", str(root))
    for text in (f"{root}/cats/tom.png", f"{root}/cats/../cats/./tom.png", f"file://{root}/cats/tom.png",
    "cats/tom.png",
                 f" {root}//cats/tom.png\n"):  # fmt: skip
        assert take(text, roots=roots) == Media(PNG, "image/png")
    assert take(f"{root}/song.wav", Kind.AUDIO, roots=roots).type == "audio/x-wav"
    with pytest.raises(InvalidInput, match="not an image"):
        take(f"{root}/song.wav", roots=roots)


def test_without_roots_no_file_is_opened(root: Path) -> None:
    for text in (f"{root}/cats/tom.png", "/etc/passwd", "file:///etc/passwd", "cats/tom.png", "~/.ssh/id_rsa"):
        for do in both():
            with pytest.raises(BlockedFile, match="media_roots"):
                do(text)


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "cats/../../secret.png", "/etc/passwd", "file:///etc/passwd", "file:///../etc/passwd",
     "{root}/../secret.png", "{root}x/secret.png", "{root}/cats/../../secret.png", "/proc/self/environ",
     "/dev/zero", "~/secret.png", "./../secret.png", "file://{root}/%2e%2e/secret.png", "C:\\secret.png"],
)  # fmt: skip
def test_the_way_out_is_blocked(root: Path, name: str) -> None:
    sibling = Path(f"{root}x")
    sibling.mkdir()
    shutil.copy(root.parent / "secret.png", sibling / "secret.png")
    for do in both(str(root)):
        with pytest.raises(BlockedFile) as caught:
            do(name.format(root=root))
        assert "secret" not in str(caught.value)
        assert str(root) not in str(caught.value)


def test_what_is_not_there(root: Path) -> None:
    roots = (str(root),)
    for text in (f"{root}/none.png", f"{root}/cats/tom.png/x.png", f"{root}/" + "a" * 300 + ".png"):
        for do in both(str(root)):
            with pytest.raises(InvalidInput, match="no such file"):
                do(text)
    # Outside, it is not said whether something is there.
    said = set()
    for text in ("/etc/passwd", "/etc/none.png"):
        with pytest.raises(BlockedFile) as caught:
            take(text, roots=roots)
        said.add(str(caught.value))
    assert len(said) == 1


def test_links_may_stay_inside_but_not_lead_out(root: Path) -> None:
    roots = (str(root),)
    (root / "inside.png").symlink_to(root / "cats" / "tom.png")
    (root / "folder").symlink_to(root / "cats")
    assert take(f"{root}/inside.png", roots=roots).data == PNG
    assert take(f"{root}/folder/tom.png", roots=roots).data == PNG
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "up").symlink_to(root.parent)
    (root / "chain.png").symlink_to("out.png")
    (root / "environ.png").symlink_to("/proc/self/environ")
    (root / "loop.png").symlink_to("loop.png")
    for name in ("out.png", "up/secret.png", "chain.png", "environ.png", "loop.png"):
        for do in both(str(root)):
            with pytest.raises(BlockedFile):
                do(f"{root}/{name}")
    with pytest.raises((BlockedFile, InvalidInput)):
        take("out.png", roots=roots)


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    for text in (f"{alias}/cats/tom.png", f"{root}/cats/tom.png", "cats/tom.png"):
        assert take(text, roots=(str(alias),)).data == PNG
    with pytest.raises(BlockedFile):
        take(f"{alias}/../secret.png", roots=(str(alias),))


def test_a_link_put_there_between_look_and_opening_is_not_followed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loading._inside

    def swapped(text: str, roots: tuple[str, ...]) -> tuple[str, str] | None:
        found = real(text, roots)
        target = root / "cats"
        if not target.is_symlink():
            shutil.rmtree(target)
            outside = root.parent / "cats"
            outside.mkdir()
            (outside / "tom.png").write_bytes(PNG + b"secret")
            target.symlink_to(outside)
        return found

    monkeypatch.setattr(loading, "_inside", swapped)
    with pytest.raises((BlockedFile, InvalidInput)):
        take(f"{root}/cats/tom.png", roots=(str(root),))


def test_a_race_of_links_never_reads_outside(root: Path) -> None:
    inside, outside, spot = root / "a.png", root.parent / "secret.png", root / "spot.png"
    inside.write_bytes(PNG)
    stop = threading.Event()

    def swap() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            other = root / f".{turn % 2}"
            other.unlink(missing_ok=True)
            other.symlink_to(outside) if turn % 2 else shutil.copy(inside, other)
            os.replace(other, spot)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(1500):
            try:
                assert b"secret" not in take(str(spot), roots=(str(root),)).data
            except InputError:
                pass
    finally:
        stop.set()
        swapper.join()


def test_only_plain_files(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(root)  # names of sockets are short
        try:
            one.bind("socket.png")
        finally:
            os.chdir(here)
        for name in ("pipe.png", "socket.png", "cats", "cats/", "", "."):
            with pytest.raises((BlockedFile, InvalidInput)):
                take(f"{root}/{name}", roots=(str(root),))
    for folder, name in (
        ("/", "/dev/zero"),
        ("/dev", "/dev/null"),
        ("/proc", "/proc/self/environ"),
        ("/", "/proc/cpuinfo"),
    ):
        with pytest.raises(BlockedFile):
            take(name, roots=(folder,))


def test_a_file_that_may_not_be_read() -> None:
    def work() -> bool:
        with pytest.raises(BlockedFile, match="may not read"):
            take(str(secret), roots=(str(folder),))
        return len(take(str(other), roots=(str(folder),)).data) == len(PNG)

    with open_folder() as folder:
        secret, other = folder / "tom.png", folder / "tim.png"
        for file in (secret, other):
            file.write_bytes(PNG)
        secret.chmod(0)
        assert without_rights(work)


def test_a_file_has_its_limit(root: Path) -> None:
    big = root / "big.png"
    big.write_bytes(PNG)
    os.truncate(big, MAX_BYTES * 1000)
    with pytest.raises(PayloadTooLarge):
        take(str(big), roots=(str(root),))
    assert len(take(f"{root}/cats/tom.png", roots=(str(root),), max_bytes=len(PNG)).data) == len(PNG)
    with pytest.raises(PayloadTooLarge):
        take(f"{root}/cats/tom.png", roots=(str(root),), max_bytes=len(PNG) - 1)


@pytest.mark.parametrize("text", ["\0", "a\0.png", "/srv/\0/x.png", "a" * 5000 + ".png", "a\nb.png", "\ud800.png"])
def test_names_that_no_file_has(root: Path, text: str) -> None:
    for cell in (text, f"{root}/{text}"):
        with pytest.raises(InputError):
            take(cell, roots=(str(root),))
        with pytest.raises(InputError):
            identity(cell, Kind.IMAGE, (str(root),))


def test_no_descriptor_is_left_open(root: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    before = open_files()
    for name in ("cats/tom.png", "none.png", "cats", "../secret.png") * 20:
        for do in both(str(root)):
            try:
                do(f"{root}/{name}")
            except InputError:
                pass
    assert open_files() == before


# --- identity -------------------------------------------------------------------------------------


def test_what_makes_two_cells_the_same(root: Path) -> None:
    roots = (str(root),)

    def of(cell: Any) -> Any:
        return identity(cell, Kind.IMAGE, roots)

    assert of(PNG) == of(bytearray(PNG)) == of(memoryview(PNG)) == of(Media(PNG, "image/png"))
    assert of(PNG) != of(JPEG)
    assert of("https://x.example/a.png") == of(" https://x.example/a.png ") == ("url", "https://x.example/a.png")
    assert of("https://x.example/a.png") != of("https://x.example/b.png")
    packed = base64.b64encode(PNG).decode()
    assert of(packed) == of(f"{packed}\n") != of(base64.b64encode(JPEG).decode())
    assert of("cats/tom.png") == of(f"{root}/cats/tom.png") == of(f"file://{root}/cats/tom.png")
    (root / "alias.png").symlink_to("cats/tom.png")
    assert of("alias.png") == of("cats/tom.png")
    assert len({of(PNG), of("https://x.example/a.png"), of(packed), of("cats/tom.png")}) == 4


def test_a_changed_file_is_another(root: Path) -> None:
    file = root / "cats" / "tom.png"
    before = identity(str(file), Kind.IMAGE, (str(root),))
    os.utime(file, ns=(1, 1))
    after = identity(str(file), Kind.IMAGE, (str(root),))
    assert before != after
    file.write_bytes(PNG + b"\0")
    os.utime(file, ns=(1, 1))
    assert identity(str(file), Kind.IMAGE, (str(root),)) not in (before, after)


def test_nothing_is_fetched_to_tell_urls_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*args: Any, **options: Any) -> Any:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", no)
    monkeypatch.setattr(socket, "getaddrinfo", no)
    identity("https://x.example/a.png", Kind.IMAGE)


# --- writing --------------------------------------------------------------------------------------


def uri(data: bytes = PNG, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_generated_media_become_files(root: Path) -> None:
    folder = f"{root}/out/2026"
    path = write(uri(), "key-1", folder, (str(root),))
    assert Path(path).read_bytes() == PNG
    assert Path(path).parent == Path(folder)
    assert path.endswith(".png")
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o022 == 0
    # The same answer is the same file; another is another.
    assert write(uri(), "key-1", folder, (str(root),)) == path
    assert write(uri(), "key-2", folder, (str(root),)) != path
    assert len(os.listdir(folder)) == 2


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("image/jpeg", "jpg"), ("audio/mpeg", "mp3"), ("audio/flac", "flac"), ("audio/x-wav", "wav"), ("video/mp4", "mp4"),
     ("image/../../x", "bin"), ("", "bin"), ("application/octet-stream", "bin"), ("image/svg+xml", "bin"),
     ("image/php", "bin"), ("text/html", "bin"), ("image/x-sh", "bin"), ("image/webp", "webp")],
)  # fmt: skip
def test_suffixes(root: Path, kind: str, suffix: str) -> None:
    assert write(uri(kind=kind), "../../key", str(root), (str(root),)).endswith(f".{suffix}")


def test_nothing_is_written_outside(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "link").symlink_to(outside)
    for folder in (str(outside), f"{root}/../outside", f"{root}/link", f"{root}/link/x", "out", "/etc", "/proc/self"):
        with pytest.raises(BlockedFile):
            write(uri(), "k", folder, (str(root),))
    with pytest.raises(BlockedFile):
        write(uri(), "k", str(root), ())
    assert os.listdir(outside) == []


def test_a_link_in_the_files_place_is_replaced_not_followed(root: Path) -> None:
    path = write(uri(), "k", str(root), (str(root),))
    secret = root.parent / "secret.png"
    before = secret.read_bytes()
    os.unlink(path)
    os.symlink(secret, path)
    assert write(uri(), "k", str(root), (str(root),)) == path
    assert secret.read_bytes() == before
    assert Path(path).read_bytes() != before
    assert not os.path.islink(path)


def test_another_answer_to_the_same_question_is_another_file(root: Path) -> None:
    first = write(uri(), "k", str(root), (str(root),))
    stored = Path(first).read_bytes()
    second = write(uri(JPEG), "k", str(root), (str(root),))
    assert first != second
    assert Path(first).read_bytes() == stored


def test_writing_that_fails_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BlockedFile, match="no space left"):
        write(uri(), "k", f"{root}/out", (str(root),))
    assert os.listdir(root / "out") == []


@pytest.mark.parametrize("text", ["", "data:", "hello", "data:image/png;base64,!!"])
def test_answers_that_are_no_media(root: Path, text: str) -> None:
    with pytest.raises(InvalidAnswer):
        write(text, "k", str(root), (str(root),))


def test_a_file_where_the_folder_should_be(root: Path) -> None:
    with pytest.raises(BlockedFile):
        write(uri(), "k", f"{root}/song.wav", (str(root),))
