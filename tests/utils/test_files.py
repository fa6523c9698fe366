"""Files are whole or as they were, whatever happens while one is written."""

import ast
import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

import skwing
from skwing import BoxedImages
from skwing._utils import files
from skwing.datasets import write_csv, write_pts_folder
from skwing.schema import IBUG68

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and pipes of POSIX")


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.csv"
    files.write_text(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), files.replacing(path) as file:
            file.write("half")
            raise error
    with pytest.raises(ValueError, match=r"out\.csv: .* cannot be written as UTF-8"):
        files.write_text(path, "\udcff")
    assert path.read_bytes() == "ä\n".encode()
    assert os.listdir(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open", "fchmod"])
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, monkeypatch, call):
    path = tmp_path / "out.csv"
    path.write_text("old")
    monkeypatch.setattr(files.os, call, full_disk)
    with pytest.raises(OSError, match=r"No space left.*out\.csv") as caught:
        files.write_text(path, "new")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.csv"]


def test_the_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="photo"), files.replacing(tmp_path / "a"):
        (tmp_path / "photo.jpg").read_bytes()
    assert os.listdir(tmp_path) == []


def test_the_content_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        true = getattr(os, name)
        monkeypatch.setattr(
            files.os, name, lambda *a, name=name, true=true: (calls.append(name), true(*a))[1]
        )
    files.write_bytes(tmp_path / "a", b"1")
    assert calls[:2] == ["fsync", "replace"]
    if os.name == "posix":  # and the folder after it
        assert calls == ["fsync", "replace", "fsync"]


@POSIX
def test_permissions_are_kept_and_new_files_follow_the_umask(tmp_path):
    path = tmp_path / "a"
    for umask, mode in ((0o022, 0o644), (0o077, 0o600)):
        old = os.umask(umask)
        try:
            files.write_text(tmp_path / f"{mode}", "1")
            path.write_text("0")
            path.chmod(0o640)
            files.write_text(path, "1")
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / f"{mode}").stat().st_mode) == mode
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


@POSIX
def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    for name in ("old", "new"):  # one that is there, and one that is not yet
        link = tmp_path / name
        link.symlink_to(Path("there", name))
    (there / "old").write_text("0")
    for name in ("old", "new"):
        files.write_text(tmp_path / name, "1")
        assert (tmp_path / name).is_symlink()
        assert not (there / name).is_symlink()
        assert (there / name).read_text() == "1"
    assert sorted(os.listdir(there)) == ["new", "old"]


@POSIX
def test_only_regular_files_are_replaced_or_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os_path = os.path.relpath(tmp_path / "socket")  # the system's limit is 108 characters
        server.bind(os_path)
        for path, kind in (
            (tmp_path / "pipe", "named pipe"),
            (tmp_path / "socket", "socket"),
            ("/dev/null", "device"),
            (tmp_path, "folder"),
        ):
            with pytest.raises(ValueError, match=f"is a {kind}, expected"):
                files.write_text(path, "1")
            with pytest.raises(ValueError, match=f"is a {kind}, expected"):
                files.read_bytes(path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["pipe", "socket"]


def test_nowhere_to_write(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        files.write_text(tmp_path / "none" / "out.csv", "1")
    (tmp_path / "file").write_text("0")
    for name in (tmp_path / "new\0", "", str(tmp_path / "new") + os.sep):
        with pytest.raises(ValueError, match="expected the name of a file"):
            files.write_text(name, "1")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        files.write_text(tmp_path / "file" / "out.csv", "1")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may do it")
def test_read_only_files_and_folders_stay(tmp_path):
    path = tmp_path / "a"
    path.write_text("0")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        files.write_text(path, "1")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match="folder"):
        files.write_text(tmp_path / "b", "1")
    tmp_path.chmod(0o755)


def test_names_as_long_as_a_system_takes(tmp_path):
    path = tmp_path / ("ä" * 120 + ".csv")
    files.write_text(path, "1")
    assert path.read_text() == "1"


def test_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "a"
    texts = [str(i) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=files.write_text, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_file_of_every_writer(tmp_path, monkeypatch):
    data = BoxedImages(["a.jpg"], schema="ibug68")
    writers = {
        "a.json": IBUG68.to_json,
        "a.csv": lambda path: write_csv(path, data, [[[1.0, 2.0]] * 68]),
    }
    monkeypatch.setattr(files.os, "fsync", full_disk)
    for name, write in writers.items():
        path = tmp_path / name
        path.write_text("old")
        with pytest.raises(OSError, match=f"No space left.*{name}"):
            write(path)
        assert path.read_text() == "old"


@pytest.mark.parametrize("error", [full_disk, KeyboardInterrupt])
def test_a_folder_of_files_tells_what_was_written(tmp_path, monkeypatch, error):
    for name in "abc":
        (tmp_path / f"{name}.pts").write_text("old")
    n_calls = 0

    def replace(source, target, true=os.replace):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            if error is KeyboardInterrupt:
                raise KeyboardInterrupt
            error()
        true(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    data = BoxedImages(["a.jpg", "b.jpg", "c.jpg"])
    kind = KeyboardInterrupt if error is KeyboardInterrupt else OSError
    with pytest.raises(kind) as caught:
        write_pts_folder(tmp_path, data, [[[1, 2]]] * 3, overwrite=True)
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "1 of 3 files were written" in told
    assert "a.pts" in told
    assert "b.pts" in told
    assert [(tmp_path / f"{name}.pts").read_text() == "old" for name in "abc"] == [
        False,
        True,
        True,
    ]
    assert sorted(os.listdir(tmp_path)) == ["a.pts", "b.pts", "c.pts"]


# Methods and functions of modules that write files; json.dumps and the like do not.
WRITERS = {
    *("write_text", "write_bytes", "tofile", "savez", "savez_compressed", "savetxt", "save"),
    *("imwrite", "savefig", "to_csv", "to_pickle", "dump", "NamedTemporaryFile", "mkstemp"),
    *("rename", "replace_file", "symlink_to", "touch", "fdopen", "copyfile", "move", "save_file"),
}


def writes(call):
    """Whether a call writes a file in another way than by the functions of files."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in WRITERS:
        return True
    if isinstance(function, ast.Attribute) and function.attr == "replace":
        return getattr(function.value, "id", None) == "os"
    name = getattr(function, "id", getattr(function, "attr", None))
    if name != "open":
        return False
    modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    modes += [k.value.value for k in call.keywords if k.arg == "mode"]
    return any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes)


@pytest.mark.slow
def test_one_module_writes_the_files_of_the_package():
    root = Path(skwing.__file__).parent
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in root.rglob("*.py")
        if path.relative_to(root).as_posix() != "_utils/files.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes(node)
    ]
    assert found == []
    assert any(writes(node) for node in calls_in("open('a', 'w')\nPath('a').write_text('b')"))


def calls_in(text):
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
