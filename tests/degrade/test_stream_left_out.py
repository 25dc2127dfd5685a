"""Nothing of a source is missing without a word: links are followed, dotted names kept, what is left out is named."""

from __future__ import annotations

import io
import logging
import os
import socket
import tarfile

import pytest
import torch

import degrade
from degrade.images import image_io
from degrade.stream import PairStream, SourceError, open_source

IMAGE = image_io.to_integer(degrade.phantom.chest(degrade.make_keys(0, 1), 48)[0][0])
DATA = image_io.encode(IMAGE, "png")


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(DATA)


@pytest.fixture
def root(tmp_path):
    for name in ("b.png", "real/a.png", "real/deep/c.png"):
        write(tmp_path / "root" / name)
    for name in ("d.png", "more/e.png"):
        write(tmp_path / "outside" / name)
    return tmp_path / "root"


# folders


def test_linked_folders_are_followed_once_each(root, tmp_path):
    plain = open_source(root).ids
    assert plain == ["b", "real/a", "real/deep/c"]
    (root / "m").symlink_to(tmp_path / "outside")
    (root / "real" / "again").symlink_to(tmp_path / "outside")  # twice: the one nearer to the top is kept
    (root / "a").symlink_to(root / "real")  # a folder that is there itself keeps its name
    (root / "real" / "up").symlink_to(root)
    (tmp_path / "outside" / "back").symlink_to(root / "real" / "deep")
    (tmp_path / "outside" / "self").symlink_to(tmp_path / "outside" / "self")
    source = open_source(root)
    assert source.ids == ["b", "m/d", "m/more/e", "real/a", "real/deep/c"]
    assert [source.origin(index) for index in (1, 2)] == ["m/d.png", "m/more/e.png"]
    assert all(torch.equal(source.load(index)["image"], IMAGE) for index in range(5))
    assert source.others == 1  # the link to itself
    assert source.left_out == ["m/self (Too many levels of symbolic links)"]
    (tmp_path / "door").symlink_to(root)
    assert open_source(tmp_path / "door").ids == source.ids


def test_a_cycle_of_links_outside_ends(root, tmp_path):
    (root / "x").symlink_to(tmp_path / "one")
    for here, there in (("one", "two"), ("two", "one")):
        write(tmp_path / here / f"{here}.png")
        (tmp_path / here / "next").symlink_to(tmp_path / there)
        (tmp_path / here / "all").symlink_to(tmp_path)  # everything around, the root included
    found = ["x/one", "x/all/outside/d", "x/all/outside/more/e", "x/all/two/two"]
    assert open_source(root).ids == ["b", "real/a", "real/deep/c", *found]


def test_the_order_does_not_depend_on_the_file_system(root, tmp_path, monkeypatch):
    for name in ("k", "c", "z"):
        write(tmp_path / f"out_{name}" / "f.png")
        (root / name).symlink_to(tmp_path / f"out_{name}")
        (root / f"{name}2").symlink_to(tmp_path / f"out_{name}")
    forth = open_source(root).ids
    assert forth == ["b", "c/f", "k/f", "real/a", "real/deep/c", "z/f"]
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = list(scandir(path))[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert open_source(root).ids == forth


def test_a_link_to_an_image_is_an_image_and_a_broken_one_fails_by_name(root, tmp_path):
    (root / "linked.png").symlink_to(tmp_path / "outside" / "d.png")
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "away").symlink_to(tmp_path / "nowhere")
    source = open_source(root)
    assert source.ids == ["b", "gone", "linked", "real/a", "real/deep/c"]
    assert source.left_out == ["away (a link to nothing)"]
    stream = PairStream(source, "cofe-net", batch_size=5)
    list(stream)
    assert stream.failed == {"gone": "No such file or directory"}


def test_what_a_folder_leaves_out_is_counted_and_named(root, caplog):
    for number in range(20):
        (root / "real" / f"note{number:02d}.txt").write_text("x")
    (root / "Thumbs.db").write_text("x")
    (root / ".hidden.png").write_text("x")  # hidden things are no part of a source
    source = open_source(root)
    assert source.others == 21
    assert source.left_out[:2] == ["Thumbs.db", "real/note00.txt"]
    assert 2 < len(source.left_out) < 21
    for other in (source.subset(["b"]), source.with_maps({"same": open_source(root)})):
        assert other.others == 21
        assert other.left_out == source.left_out


@pytest.mark.parametrize("what", ["listing", "entering"])
def test_a_folder_that_cannot_be_read_is_named(root, what, monkeypatch, caplog):
    scandir = os.scandir

    def forbidden(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with caplog.at_level(logging.WARNING, "degrade.stream"):
        source = open_source(root)
    assert source.ids == ["b", "real/a"]
    assert (source.others, source.left_out) == (1, ["real/deep (Permission denied)"])
    assert "real/deep" in caplog.text
    monkeypatch.setattr(os, "scandir", lambda path: forbidden("deep"))
    with pytest.raises(SourceError, match="Permission denied"):
        open_source(root)


def test_pipes_and_sockets_do_not_hang(root):
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe")
    end = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(root)  # the name of a socket is short
    try:
        end.bind("socket")
    finally:
        os.chdir(here)
    source = open_source(root)
    assert source.ids == ["b", "pipe", "real/a", "real/deep/c"]
    assert source.left_out == ["pipe (not a regular file)", "socket (not a regular file)"]
    stream = PairStream(source, "cofe-net", batch_size=4)
    list(stream)
    assert stream.failed == {"pipe": "not a regular file"}
    os.mkfifo(root / "list.txt")
    os.mkfifo(root / "shard.tar")
    for name in ("list.txt", "shard.tar"):
        with pytest.raises(SourceError, match=f"{name}.*not a regular file"):
            open_source(str(root / name))
    end.close()


# lists


def test_lists_leave_nothing_out_without_a_word(root):
    listing = root / "all.txt"
    listing.write_text("b.png\nreal/a.png\n\n# a comment\nb.png\nb.png\n")
    source = open_source(listing)
    assert source.ids == ["b", "real/a"]
    assert (source.others, source.left_out) == (2, ["b.png (named again)", "b.png (named again)"])
    paths = [root / "b.png", root / "real" / "a.png", root / "b.png"]
    assert open_source(paths).left_out == ["b.png (named again)"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"b.png\nx\0.png\n", "line 2: a NUL"),
        (b"b.png\n\xff\xfe.png\n", "line 2: not UTF-8"),
        (b"b.png\n" + b"x" * 5000 + b".png\n", "line 2: 5,004 bytes, more than any path has"),
    ],
)
def test_lists_that_cannot_be_used_name_the_line(root, content, message):
    (root / "bad.txt").write_bytes(content)
    with pytest.raises(SourceError, match=rf"list '.*bad.txt': {message}"):
        open_source(root / "bad.txt")


def test_a_list_that_cannot_be_opened_is_said(root, monkeypatch):
    (root / "all.txt").write_text("b.png\n")
    import builtins

    def broken(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(builtins, "open", broken)
    with pytest.raises(SourceError, match=r"list '.*all.txt': Input/output error"):
        open_source(root / "all.txt")


def test_bad_names_in_a_list_cost_nothing_but_themselves(root):
    (root / "all.txt").write_text(f"b.png\n{'n' * 300}.png\nreal/a.png\ngone.png\n")
    stream = PairStream(root / "all.txt", "cofe-net", batch_size=4)
    list(stream)
    assert {reason for id_, reason in stream.failed.items() if id_.startswith("n")} == {"File name too long"}
    assert stream.failed["gone"] == "No such file or directory"
    stream = PairStream([root / "b.png", str(root / "x\0.png")], "cofe-net", batch_size=2)
    list(stream)
    assert len(stream.failed) == 1


@pytest.mark.parametrize(
    "where", ["a\0b", "n" * 300, "n" * 5000, "a\0b.txt", "a\0b.tar", "n" * 300 + ".txt", "x{.tar", "${NO}.tar"]
)
def test_names_that_no_file_has_are_refused(where):
    with pytest.raises(SourceError):
        open_source(where)


# shards


def shard(path, names, extra=()):
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(DATA)
            archive.addfile(info, io.BytesIO(DATA))
        for info in extra:
            archive.addfile(info)
    return open_source(path)


def members(source) -> dict[str, list[str]]:
    return {id_: sorted(entry.members) for id_, entry in zip(source.ids, source._entries, strict=True)}


@pytest.mark.parametrize(
    ("names", "expected", "left_out"),
    [
        (["p3.2021.png", "p3.2022.png"], {"p3.2021": ["image"], "p3.2022": ["image"]}, []),
        (
            ["left/a.png", "left/a.vessels.png", "left/a.mask.png", "left/b.mask.png", "left/b.png"],
            {"left/a": ["image", "mask", "vessels"], "left/b": ["image", "mask"]},
            [],
        ),
        (
            ["p3.2021.png", "p3.2021.vessels.png", "p3.2022.png", "p3.2022.vessels.tif"],
            {"p3.2021": ["image", "vessels"], "p3.2022": ["image", "vessels"]},
            [],
        ),
        (["a.png", "a.1.png", "a.2.png"], {"a": ["image"], "a.1": ["image"], "a.2": ["image"]}, []),
        (["p1.left.png", "p1.right.png"], {"p1.left": ["image"], "p1.right": ["image"]}, []),
        (
            ["a.png", "a.vessels.png", "b.vessels.png", "c.d.png"],
            {"a": ["image", "vessels"], "c.d": ["image"]},
            ["b.vessels.png (a map without its image)"],
        ),
        (["a.png", "a.json", "a.cls"], {"a": ["image"]}, ["a.json", "a.cls"]),
        (["a.png", "a.jpg", "a.png"], {"a": ["image"]}, ["a.jpg (named again)", "a.png (named again)"]),
        (["a.png", "a.b.png", "a.b.c.png"], {"a": ["b", "image"], "a.b.c": ["image"]}, []),
        (["./a.PNG", "./a.mask.TIFF", ".hidden.png"], {"a": ["image", "mask"]}, []),
        (["v1.2/a.png", "v1.2/a.mask.png"], {"v1.2/a": ["image", "mask"]}, []),
        (["1.2.840.10008.png", "1.2.840.10009.png"], {"1.2.840.10008": ["image"], "1.2.840.10009": ["image"]}, []),
        (["noext", "a.png"], {"a": ["image"]}, ["noext"]),
    ],
)  # fmt: skip
def test_the_names_of_a_shard(names, expected, left_out, tmp_path):
    source = shard(tmp_path / "a.tar", names)
    assert members(source) == expected
    assert (source.others, source.left_out) == (len(left_out), left_out)
    assert all(source.load(index)["image"].shape == IMAGE.shape for index in range(len(source)))


def test_maps_of_one_shard_are_maps_in_all(tmp_path):
    shard(tmp_path / "0.tar", ["a.vessels.png", "b.png"])
    shard(tmp_path / "1.tar", ["c.png", "c.vessels.png"])
    source = open_source(str(tmp_path / "{0,1}.tar"))
    assert members(source) == {"b": ["image"], "c": ["image", "vessels"]}
    assert source.left_out == ["0.tar:a.vessels.png (a map without its image)"]


def test_links_and_pipes_in_shards_are_named(tmp_path):
    extra = []
    for name, kind in (
        ("link.png", tarfile.SYMTYPE),
        ("hard.png", tarfile.LNKTYPE),
        ("pipe.png", tarfile.FIFOTYPE),
        ("folder.png", tarfile.DIRTYPE),
    ):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        extra.append(info)
    source = shard(tmp_path / "a.tar", ["a.png"], extra)
    assert source.ids == ["a"]
    assert source.others == 3
    assert source.left_out == [f"{name}.png (not a regular file)" for name in ("link", "hard", "pipe")]


def test_shards_count_over_all_of_them(tmp_path):
    for number in range(3):
        shard(tmp_path / f"{number}.tar", [f"{number}.png", f"{number}.json"])
    source = open_source(str(tmp_path / "{0..2}.tar"))
    assert source.others == 3
    assert source.left_out == ["0.tar:0.json", "1.tar:1.json", "2.tar:2.json"]
