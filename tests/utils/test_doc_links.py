"""Links to the documentation in the HTML representation of estimators."""

import pytest
from sklearn.utils import estimator_html_repr

from skwing import Augmentation, CascadeLandmarkRegressor, PoseBalancer, PoseResampler
from skwing._utils import doc_links

ESTIMATORS = [Augmentation, CascadeLandmarkRegressor, PoseBalancer, PoseResampler]
URL = "https://skwing.example/docs/"


@pytest.fixture
def project_urls(monkeypatch):
    """Set the entries of [project.urls] that the installed package has."""
    doc_links.documentation_url.cache_clear()

    def set_urls(*entries):
        class Metadata:
            def get_all(self, name):
                return list(entries) or None

        monkeypatch.setattr(doc_links.metadata, "metadata", lambda name: Metadata())

    yield set_urls
    doc_links.documentation_url.cache_clear()


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_estimators_link_to_the_published_documentation(cls, project_urls):
    project_urls("Source, https://source.example", f"Documentation, {URL}")
    page = estimator_html_repr(cls())
    assert f'href="{URL}' in page and "source.example" not in page


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_without_one_there_is_no_link(cls, project_urls):
    project_urls("Source, https://source.example")
    page = estimator_html_repr(cls())
    assert "source.example" not in page and "scikit-learn.org/" not in page


def test_a_class_of_the_user_has_no_link(project_urls):
    project_urls(f"Documentation, {URL}")

    class Mine(CascadeLandmarkRegressor):
        pass

    assert URL not in estimator_html_repr(Mine())


def test_a_copy_that_is_not_installed_has_no_link(project_urls, monkeypatch):
    def missing(name):
        raise doc_links.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doc_links.metadata, "metadata", missing)
    assert doc_links.documentation_url() == ""
