"""What is told of one file while it is reconstructed."""

from __future__ import annotations

import logging

import ismrmrd
import numpy as np

from gadget.cli.replay_progress import show_progress
from gadget.mrd.images.counter import ImageCounter
from gadget.mrd.images.meta import STD_ROLE


def test_standard_deviations_are_not_counted_as_images(caplog):
    counter = ImageCounter()
    with caplog.at_level(logging.INFO), show_progress(counter, 100) as follower:
        for role in ("Image", STD_ROLE):
            image = ismrmrd.Image.from_array(np.ones((2, 2), np.float32), transpose=False)
            image.meta = {"DataRole": role}
            counter.add_image(image)
            follower.show_image(image)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "100 readouts in the file",
        "image 1 of 0",
        "standard deviation of image 1 of 0",
    ]
