import importlib.util
import sys

import pytest

import skwing.runtime


def import_afresh():
    """Run skwing/runtime.py once more, apart from the module that is in use."""
    spec = importlib.util.spec_from_file_location("runtime", skwing.runtime.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class NoSystemLibrary:
    """What the import system finds where libGL.so.1 is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file", name="cv2")


def test_opencv_is_passed_on():
    assert import_afresh().cv2 is sys.modules["cv2"]


def test_without_opencv_both_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"Install `opencv-python`.*`opencv-python-headless`"):
        import_afresh()


def test_without_a_system_library_its_package_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(sys, "meta_path", [NoSystemLibrary(), *sys.meta_path])
    with pytest.raises(ImportError, match=r"libGL\.so\.1.*apt-get install libgl1.*headless"):
        import_afresh()
