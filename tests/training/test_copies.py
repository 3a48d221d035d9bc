from __future__ import annotations

import numpy as np

from gadget.training.copies import warn_of_copies


def test_copies_are_counted(volumes, caplog):
    one, two = volumes
    other = [np.roll(image, 1, axis=0) for image in two]
    copy = [image.copy() for image in two]
    warn_of_copies([copy, other, copy], [one, two])
    (told,) = caplog.messages
    assert told.startswith("Of the 3 volumes to validate on, 2 are trained on, too")


def test_images_of_other_people_are_no_copies(volumes, caplog):
    one, two = volumes
    warn_of_copies([one], [two])
    warn_of_copies([], [one, two])
    assert not caplog.messages
