"""The Python and skwing snippets of each page of the docs run, in their order."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from joblib import parallel_config
from small import PLAIN, build_small, trace_once, train_at_most

from skwing import CascadeLandmarkRegressor, save_model
from skwing._cli import main
from skwing._cli.parser import make_parser
from skwing.datasets import make_faces, read_tps, to_sleap_io, write_coco, write_tps
from skwing.images import BoxedImages

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if path.relative_to(DOCS).parts[0] not in ("_build", "api", "gallery", "research-log.md")
)
SNIPPET = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"(?:^|`)(skwing (?:predict|train|evaluate|track|convert|plot|export|describe) [^`\n]*)",
    re.MULTILINE,
)
SCRIPT = re.compile(r"(?<![\w/])(?:benchmarks|docs|examples|tests)/[\w./]+\.py")
PAGES += [path for path in [ROOT / "models" / "README.md"] if path.is_file()]
N_FACES = 24
FAST = {"data.md"}  # all others are slow tests

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")


def snippets(path):
    """Language, number of the first line and code of the snippets of a page."""
    text = path.read_text("utf-8")
    for match in SNIPPET.finditer(text):
        yield match[1], text[: match.start(2)].count("\n") + 1, match[2]


def commands(code):
    """Arguments of the skwing commands of a shell snippet."""
    lines = [shlex.split(line, comments=True) for line in code.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["skwing"]]


def runs(path):
    return any(lang == "python" or commands(code) for lang, _, code in snippets(path))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the pages name: those to download, photographs, annotations, a model."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(DOCS / "files", folder, dirs_exist_ok=True)
    faces = make_faces(N_FACES, image_size=64, random_state=0)
    # Faces that a detector finds.
    own = {"image_size": 64, "random_state": 0, "occlusion": 0, "faces_per_identity": 1}
    found = make_faces(3, pose=np.zeros((3, 3)), **own)
    for name, shown in (("photos", faces), ("new_photos", found)):
        (folder / name).mkdir()
        for i in range(len(shown.data)):
            cv2.imwrite(str(folder / name / f"face{i}.png"), shown.data.decode(i)[..., ::-1])
    paths = [str(folder / f"photos/face{i}.png") for i in range(N_FACES)]
    data = BoxedImages(paths, boxes=faces.data.boxes, schema="ibug68")
    for name in ("annotated.json", "test.json"):
        write_coco(folder / name, data, faces.target, images=folder / "photos")
    video = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 64))
    for _ in range(3):
        video.write(np.ascontiguousarray(faces.data.decode(0)[..., ::-1]))
    video.release()
    names = [f"fly{i // 2}_{('left', 'right')[i % 2]}" for i in range(N_FACES)]
    write_tps(folder / "digitised.tps", data, faces.target, names=names, scale=0.05)
    again = {"names": names[::-1], "scale": 0.05}
    write_tps(folder / "digitised_again.tps", data[::-1], faces.target[::-1] + 1, **again)
    write_tps(folder / "fly_wings.tps", data[:18], faces.target[:18], names=names[:18], scale=0.05)
    with open(folder / "fly_wings.tps", "a", encoding="utf-8") as file:
        for i in range(18, N_FACES):
            file.write(f"LM=0\nIMAGE=photos/face{i}.png\nID={names[i]}\nSCALE=0.05\n")
    blank = [f"LM=0\nIMAGE=new_photos/face{i}.png\nID={i}\n" for i in range(3)]
    (folder / "new.tps").write_text("".join(blank))
    wings = read_tps(folder / "wings.tps")
    to_sleap_io(wings.data, wings.target).save(str(folder / "flies.slp"))
    small = CascadeLandmarkRegressor(networks=(PLAIN,), max_epochs=1, random_state=0)
    small.fit(data, faces.target).calibrate(data, faces.target)
    save_model(small, folder / "model.safetensors")
    (folder / "models").mkdir()
    for name in ("faces", "drawn"):
        save_model(small, folder / f"models/{name}.safetensors")
    portrait = make_faces(1, image_size=256, pose=[[0, 0, 0]], occlusion=0, random_state=0)
    cv2.imwrite(str(folder / "photo.jpg"), portrait.data.decode(0)[..., ::-1])
    return folder


def few_faces(n=N_FACES, image_size=64, **settings):
    return make_faces(min(n, N_FACES if image_size < 256 else 6), image_size=image_size, **settings)


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """A copy of the files; few faces are drawn, networks are tiny, trainings take an epoch."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skwing.datasets.make_faces", few_faces)
    build_small(monkeypatch)
    trace_once(monkeypatch)
    train_at_most(monkeypatch, 1)
    with parallel_config(backend="threading"):  # processes would not be patched
        yield tmp_path


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (page.name not in FAST))
        for page in PAGES
        if runs(page)
    ],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_snippets_run(folder, page):
    namespace = {"__name__": "__main__"}
    for lang, line, code in snippets(page):
        if lang == "python":
            # The place in the page is in the traceback of a snippet that fails.
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)
        for args in commands(code) if lang == "bash" else ():
            assert main([args[0], "-q", *args[1:]]) == 0, f"{page}, line {line}: {args}"


def all_pages():
    """All pages, with those whose snippets do not run, and README.md; name and text."""
    for path in [*PAGES, *(p for p in [ROOT / "README.md"] if p.is_file())]:
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_commands_of_the_pages_have_the_options_of_the_command_line(capsys):
    found = [(page, command) for page, text in all_pages() for command in COMMAND.findall(text)]
    assert len(found) > 30
    told = {}
    for page, command in found:
        name, *words = shlex.split(command, comments=True)[1:]
        if name not in told:
            with pytest.raises(SystemExit):
                make_parser().parse_args([name, "--help"])
            told[name] = re.findall(r"-[-\w]+", capsys.readouterr().out)
        unknown = [word for word in words if word[0] == "-" and word not in told[name]]
        assert unknown == [], f"{page}: {command}"


def test_names_in_the_snippets_of_a_page_are_defined_there(tmp_path):
    ruff = shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    for page, text in all_pages():
        code = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        (tmp_path / page.replace("/", ".").replace(".md", ".py")).write_text("\n".join(code))
    rules = ["--isolated", "--no-cache", "--select", "F821", "--output-format", "concise"]
    done = subprocess.run([ruff, "check", *rules, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_scripts_that_the_pages_name_are_there():
    named = {(page, script) for page, text in all_pages() for script in SCRIPT.findall(text)}
    assert len(named) > 30
    assert [each for each in sorted(named) if not (ROOT / each[1]).is_file()] == []
