"""
What does augmentation do to my images?
=======================================

Training never sees the same image twice: crops are turned, scaled, shifted, mirrored, blurred,
covered and bent at random. Look at them before training, to see that they are still images that
could occur.
"""

# %%
# The default augmentation
# ------------------------
# The regressor need not be fitted. The landmarks follow every change: they are what the network
# learns. In mirrored crops, the schema renames them, so that the left eye is the left eye again.

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.display import CropDisplay

faces = make_faces(32, max_yaw=45, occlusion=0, faces_per_identity=1, random_state=5)
model = CascadeLandmarkRegressor(random_state=0)
CropDisplay.from_estimator(model, faces.data, faces.target)

# %%
# One change at a time
# --------------------
# Set all others to 0 to see what each parameter does. `deformation` bends an image towards the
# shape of a similar face, and helps most with few images.

import matplotlib.pyplot as plt

OFF = dict.fromkeys(Augmentation().get_params(), 0)
changes = {"rotation": 30, "shift": 0.15, "mirror": 0.5, "occlusion": 1, "deformation": 1.5}
figure, axes = plt.subplots(len(changes), figsize=(8, 6.4), layout="constrained")
for ax, (name, value) in zip(axes, changes.items(), strict=True):
    model.set_params(augmentation=Augmentation(**{**OFF, name: value}))
    display = CropDisplay.from_estimator(
        model, faces.data, faces.target, n_images=1, n_variants=6, ax=ax
    )
    display.axes_[0, 0].set_ylabel(f"{name}={value}", fontsize="small")
    if ax is not axes[0]:
        display.axes_[0, 0].set_title("")
        display.axes_[0, 1].set_title("", loc="left")

# %%
# If your objects can lie in any direction, set ``rotation=180``. If left and right differ in your
# objects, set ``mirror=0``. ``augmentation=None`` disables all changes.
