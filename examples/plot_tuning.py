"""
How do I tune w, the learning rate, or anything else?
=====================================================

A regressor has the parameters of scikit-learn's estimators, so
:class:`sklearn.model_selection.GridSearchCV` searches over all of them. A heat map shows what
matters.
"""

# %%
# The search
# ----------
# Six candidates, each fitted on two folds, with all photographs of a person in one fold. A small
# network, few faces and few epochs keep the example short. With your own data, begin like this to
# see that all is well, then raise `max_epochs`.

from functools import partial

from sklearn.model_selection import GridSearchCV, GroupKFold

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

faces = make_faces(100, schema="aflw19", max_yaw=20, occlusion=0, image_size=64, random_state=0)
small = partial(PlainCNN, widths=(8, 16, 32), input_size=32, n_hidden=128, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=18,
    batch_size=8,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
grid = {"w": [2.0, 10.0], "learning_rate": [1e-3, 3e-3, 1e-2]}
search = GridSearchCV(model, grid, cv=GroupKFold(2), refit=False)
search.fit(faces.data, faces.target, groups=faces.groups)

# %%
# The heat map
# ------------
# Compare differences with the standard deviations over the folds: cells whose colours look alike
# differ by no more than chance. Before you believe in a single best cell, search around it with
# more folds.

from skwing.display import ParameterGridDisplay

ParameterGridDisplay.from_estimator(search)

# %%
# Further parameters are searched in the same way: ``{"loss": ["wing", "l1"]}``,
# ``{"augmentation__rotation": [10, 30]}``, or the parameters of the steps of a pipeline,
# ``{"balance": ["passthrough", PoseBalancer()], "reg__w": [5, 10]}``. Candidates run in parallel
# with ``n_jobs``.
