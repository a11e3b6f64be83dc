"""Paths written by people who want to read the server's files, sent through a whole query.

A planted file looks like a picture and would be taken for one: its bytes may be in no request, in no form.
"""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.media import loading
from tests.unit.end_to_end import LABELS, PNG, engine, model, predict
from tests.unit.loopback import Loopback, answer

SECRET = b"planted-secret-8d1f"
PLANTED = PNG + SECRET * 4
GOOD = PNG + b"good"


class House:
    """A root with one good picture, and around it everything that must not be read."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "media"
        self.outside = folder / "outside"
        self.sibling = folder / "media-private"
        for made in (self.root, self.outside, self.sibling, self.root / "sub"):
            made.mkdir()
        (self.root / "cat.png").write_bytes(GOOD)
        (self.root / "sub" / "cat two.png").write_bytes(GOOD)
        for place in (self.outside, self.sibling):
            (place / "secret.png").write_bytes(PLANTED)
        (self.root / "link.png").symlink_to(self.outside / "secret.png")
        (self.root / "linked").symlink_to(self.outside)
        (self.root / "up").symlink_to("..")
        (self.root / "chain.png").symlink_to("link.png")
        (self.root / "loop.png").symlink_to("loop.png")
        (self.root / "slash").symlink_to("/")
        (self.root / "self").symlink_to("/proc/self")
        (self.root / "zero.png").symlink_to("/dev/zero")
        os.mkfifo(self.root / "fifo.png")
        self._listener = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(self.root)  # a socket's path has at most 108 characters
        try:
            self._listener.bind("socket.png")
        finally:
            os.chdir(here)
        self.open = os.open(self.outside / "secret.png", os.O_RDONLY)

    def close(self) -> None:
        os.close(self.open)
        self._listener.close()

    def paths(self) -> list[str]:
        root, outside, secret = str(self.root), str(self.outside), f"{self.outside}/secret.png"
        climbing = "../" * 30
        return [
            # the file itself, plainly and as a URL
            secret, f"file://{secret}", f"FILE://{secret}", f"file:{secret}", f"file://localhost{secret}",
            f"file://{secret.replace('/', '%2f')}", f" {secret} ", f"{secret}\n", f"//{secret}",
            f"{outside}//secret.png",
            f"{outside}/./secret.png", f"{secret}/", f"{secret}/.", f"{secret}\0.png", f"{secret}?.png",
            f"{secret}#.png",
            str(self.sibling / "secret.png"), f"{root}-private/secret.png", f"{root}/../media-private/secret.png",
            # out of the root
            f"{root}/../outside/secret.png", f"{root}/sub/../../outside/secret.png", "../outside/secret.png",
            "sub/../../outside/secret.png", f"{climbing}{secret[1:]}", f"{root}/{climbing}{secret[1:]}",
            f"{root}/..%2foutside%2fsecret.png", f"{root}/%2e%2e/outside/secret.png",
            f"file://{root}/%2e%2e/outside/secret.png",
            f"{root}/..\\outside\\secret.png", "..\\outside\\secret.png", f"{root}/....//outside/secret.png",
            f"{root}/..;/outside/secret.png", f"{root}/sub/..\0/../outside/secret.png",
            f"{root}/．．/outside/secret.png",
            f"{root}/nowhere/../../outside/secret.png", f"{root}/cat.png/../../outside/secret.png",
            # through links
            "link.png", f"{root}/link.png", "linked/secret.png", f"{root}/linked/secret.png", "chain.png",
            "up/outside/secret.png",
            f"{root}/up/outside/secret.png", f"slash{secret}", f"{root}/slash{secret}", "loop.png",
            "sub/../linked/secret.png",
            f"{root}/linked/../outside/secret.png",
            # by the kernel's doors
            f"/proc/self/root{secret}", f"/proc/{os.getpid()}/root{secret}", f"/proc/self/fd/{self.open}",
            f"/dev/fd/{self.open}", f"/proc/thread-self/fd/{self.open}", "/proc/self/environ", "/proc/self/mem",
            f"self/fd/{self.open}", f"{root}/self/fd/{self.open}", f"{root}/self/root{secret}", "self/environ",
            "slash/proc/self/environ",
            # what is no plain file
            "fifo.png", "socket.png", "zero.png", f"{root}/fifo.png", "/dev/zero", "/dev/random", "/dev/stdin",
            "/dev/tty",
            "/dev/tcp/127.0.0.1/80", root, f"{root}/", "sub", ".", "..", "/", "",
            # what a shell would make of it
            "~/secret.png", "~root/secret.png", "$HOME/secret.png", "${PWD}/secret.png", f"`cat {secret}`",
            f"| cat {secret}",
            f"{root}/*", f"{outside}/secret.*", f"{outside}/secre?.png",
            # what has nothing to do with files, but is somewhere taken for one
            "/etc/passwd", "/etc/shadow", "C:\\Windows\\win.ini", "\\\\server\\share\\secret.png",
            "\\\\?\\C:\\secret.png",
            "/" + "a" * 5000, "a./" * 2500, f"{root}/{'b' * 300}.png", f"{root}/\udcff.png",
            f"data:image/png,@{secret}", f"data:text/plain;url={secret},x", f"data:{secret}",
        ]  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    one = House(tmp_path)
    yield one
    one.close()


@pytest.fixture
def service() -> Iterator[Loopback]:
    with Loopback(answer(LABELS)) as one:
        yield one


def _holds_secret(body: bytes) -> bool:
    """Whether a body holds the planted bytes, plainly or in base64 at any offset."""
    if SECRET in body:
        return True
    forms = [base64.b64encode(b"\0" * shift + SECRET * 2)[8:24] for shift in range(3)]
    return any(form in body for form in forms) or base64.b64encode(PLANTED)[-40:] in body


def _ask(house: House, service: Loopback, cells: list[Any], task: str = "image-classification", **using: Any) -> Any:
    at = engine(service, **using)
    return predict(at, model(at, task=task, input_column="path"), {"path": cells}, timeout=5)


def test_the_battery_is_large_and_its_bait_is_good(house: House, service: Loopback) -> None:
    paths = house.paths()
    assert len(set(paths)) >= 90
    # Where the owner does allow it, the very same file is read and sent: the battery would see it.
    assert list(_ask(house, service, [f"{house.outside}/secret.png"], media_roots=str(house.outside))["y"]) == ["cat"]
    assert _holds_secret(service.heard[0].body)


@pytest.mark.parametrize("rooted", [True, False], ids=["with a root", "without a root"])
def test_no_path_leads_out(house: House, service: Loopback, rooted: bool) -> None:
    paths = house.paths()
    good = ["cat.png", f"{house.root}/cat.png", "sub/cat two.png", f"file://{house.root}/sub/cat%20two.png"]
    good += [f"file:{house.root}/cat.png", f"FILE://localhost{house.root}/cat.png"]
    using = {"media_roots": str(house.root)} if rooted else {}
    found = _ask(house, service, [*good, *paths], **using)
    assert list(found["y"][:6]) == (["cat"] * 6 if rooted else [None] * 6)
    assert [path for path, value in zip(paths, found["y"][6:], strict=True) if value is not None] == []
    kinds = dict(zip(paths, found["y_error_type"][6:], strict=True))
    assert {kind for kind in kinds.values() if kind} <= {"blocked_file", "invalid_input"}
    assert not any(_holds_secret(heard.body) for heard in service.heard)
    assert len(service.heard) == (2 if rooted else 0)
    # Nor is told whether a file is there.
    there, not_there = f"{house.outside}/secret.png", f"{house.outside}/none.png"
    texts = list(_ask(house, service, [there, not_there], **using)["y_error"])
    assert texts[0].replace("row 1", "") == texts[1].replace("row 2", "")


@pytest.mark.parametrize("task", ["automatic-speech-recognition", "image-to-text", "video-classification"])
def test_nor_in_other_tasks(house: House, service: Loopback, task: str) -> None:
    found = _ask(house, service, house.paths(), task, media_roots=str(house.root))
    assert set(found["y"]) == {None}
    assert service.heard == []


def test_text_that_names_a_file_is_only_text(house: House, service: Loopback) -> None:
    """The libraries below take names of files in places: what reaches them must be a text or bytes."""
    secret = f"{house.outside}/secret.png"
    for task in ("text-classification", "summarization", "feature-extraction"):
        _ask(house, service, [secret, "cat.png"], task, media_roots=str(house.root))
    assert service.heard
    assert not any(_holds_secret(heard.body) for heard in service.heard)


def test_no_race_is_won(house: House, service: Loopback) -> None:
    """A file and a folder that become links to the secret, over and over, while they are read."""
    flapping, folder = house.root / "flap.png", house.root / "flap"
    ended = threading.Event()

    def flap() -> None:
        spare_link, spare_file = house.root / "spare-link", house.root / "spare-file"
        while not ended.is_set():
            spare_file.write_bytes(GOOD)
            os.replace(spare_file, flapping)
            spare_link.symlink_to(house.outside / "secret.png")
            os.replace(spare_link, flapping)
            folder.mkdir(exist_ok=True)
            (folder / "secret.png").write_bytes(GOOD)
            (folder / "secret.png").unlink()
            folder.rmdir()
            folder.symlink_to(house.outside)
            folder.unlink()

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        for _ in range(100):
            _ask(house, service, ["flap.png", "flap/secret.png"] * 5, media_roots=str(house.root))
    finally:
        ended.set()
        thread.join()
    assert not any(_holds_secret(heard.body) for heard in service.heard)


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_what_was_judged_is_what_is_read(
    house: House, service: Loopback, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """The very moment between judging a path and opening it, in which it becomes a link."""
    judge = loading._inside
    calls: list[str] = []
    moved = house.root / "sub" / "cat two.png" if swapped == "file" else house.root / "sub"

    def judge_and_swap(text: str, roots: tuple[str, ...]) -> tuple[str, str] | None:
        judged = judge(text, roots)
        calls.append(text)
        if len(calls) == 2:  # the first judges for the cache's key, the second for reading
            moved.rename(house.root / "aside")
            moved.symlink_to(house.outside / "secret.png" if swapped == "file" else house.outside)
        return judged

    (house.outside / "cat two.png").write_bytes(PLANTED)
    monkeypatch.setattr(loading, "_inside", judge_and_swap)
    found = _ask(house, service, ["sub/cat two.png"], media_roots=str(house.root))
    assert moved.is_symlink()
    assert list(found["y"]) == [None]
    assert service.heard == []


# --- writing --------------------------------------------------------------------------------------


def test_no_output_dir_leads_out(house: House, service: Loopback) -> None:
    at = engine(service, media_roots=str(house.root))
    refused = [
        str(house.outside), f"{house.root}/../outside", f"{house.root}/linked", f"{house.root}/up/outside", "/",
        "/tmp/x",
        f"{house.root}/slash/tmp", "out", "../outside", f"{house.root}-private", "/proc/self/cwd",
        f"{house.root}/self/cwd",
        f"{house.root}/x\0/y", "~", f"file://{house.root}", str(house.root).upper(),
    ]  # fmt: skip
    for folder in refused:
        with pytest.raises(SettingsError):
            model(at, task="text-to-image", input_column="t", output_dir=folder)
    good = model(at, task="text-to-image", input_column="t", output_dir=f"{house.root}/made")
    service.speak = answer(PNG, content_type="image/png")
    path = predict(at, good, {"t": ["a hut"]}, timeout=5)["y"][0]
    assert Path(path).parent == house.root / "made"
    assert Path(path).read_bytes() == PNG


@pytest.mark.parametrize(
    "kind",
    ["image/php", "text/html", "image/svg+xml", "image/x-sh", "image/../../x", "image/png/../../../x", "image/é"],
)
def test_what_a_service_says_becomes_neither_a_path_nor_a_script(house: House, service: Loopback, kind: str) -> None:
    at = engine(service, media_roots=str(house.root))
    of = model(at, task="text-to-image", input_column="t", output_dir=f"{house.root}/made")
    encoded = base64.b64encode(b"<?php echo 1; ?>" + b"\0" * 20).decode()
    service.speak = answer({"image": f"data:{kind};base64,{encoded}"})
    predict(at, of, {"t": ["a hut"]}, timeout=5)
    service.speak = answer(b"\x01\x02<?php", content_type=kind if kind.isascii() else "image/x")
    predict(at, of, {"t": ["a hat"]}, timeout=5)
    assert {path.suffix for path in (house.root / "made").glob("*")} <= {".bin", ".png"}
    assert sorted(os.listdir(house.outside)) == ["secret.png"]
