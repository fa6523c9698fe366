"""The notebook of the ten-minute start: its cells run one after the other."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

PATH = Path(__file__).resolve().parents[2] / "examples" / "ten_minutes.ipynb"

pytestmark = pytest.mark.skipif(not PATH.is_file(), reason="no examples beside the tests")

# The same cells with fewer faces and epochs.
SHORTER = {
    "N_FACES = 200": "N_FACES = 24",
    "EPOCHS = (20, 20)": "EPOCHS = (1, 1)",
    "make_faces(50,": "make_faces(16,",
    "make_faces(40,": "make_faces(12,",
    "verbose=1": "verbose=0",
}


@pytest.fixture(scope="module")
def notebook():
    return json.loads(PATH.read_text("utf-8"))


def code_of(notebook):
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in cells]


def test_the_notebook_is_kept_without_outputs(notebook):
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_all_cells_run(notebook, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    code = "\n\n".join(code_of(notebook))
    for long, short in SHORTER.items():
        assert code.count(long) == 1, long
        code = code.replace(long, short)
    plt.close("all")
    exec(compile(code, str(PATH), "exec"), {"__name__": "__main__"})
    assert len(plt.get_fignums()) == 5
    plt.close("all")
    written = {path.name for path in tmp_path.iterdir()}
    assert {"faces.safetensors", "landmarks.csv", "photo_0.png"} <= written
    assert "mean error:" in capsys.readouterr().out
