from __future__ import annotations

import torch

from gadget.diffusion.samplers.orientations import denoise_in_orientation


class Marking:
    """A prior that puts 1 on the first pixel of what it is shown, and remembers its shape."""

    def __init__(self, any_orientation: bool) -> None:
        self.any_orientation = any_orientation
        self.shapes: set[tuple[int, ...]] = set()

    def denoise(self, x, sigma):
        self.shapes.add(tuple(x.shape))
        marked = x.clone()
        marked[:, 0, 0] = 1
        marked[:, 0, 1] = 2
        return marked


def test_eight_orientations_are_shown_and_turned_back():
    x = torch.zeros(1, 4, 6, dtype=torch.complex64)
    prior = Marking(any_orientation=True)
    results = [denoise_in_orientation(prior, x, 0.1, number) for number in range(16)]
    assert all(result.shape == x.shape for result in results)
    assert prior.shapes == {(1, 4, 6), (1, 6, 4)}
    assert len({tuple(result.real.flatten().tolist()) for result in results[:8]}) == 8
    for first, again in zip(results[:8], results[8:], strict=True):
        torch.testing.assert_close(first, again)
    # The first pixel is a corner from every side, and turning back keeps its neighbour beside it.
    for result in results:
        marks = result[0].abs()
        assert {tuple(p) for p in (marks == 1).nonzero().tolist()} <= {
            (0, 0), (0, 5), (3, 0), (3, 5)
        }  # fmt: skip
        assert (
            torch.cdist((marks == 1).nonzero().float(), (marks == 2).nonzero().float()).item() == 1
        )


def test_a_prior_of_upright_images_sees_upright_ones():
    x = torch.zeros(1, 4, 6, dtype=torch.complex64)
    prior = Marking(any_orientation=False)
    for number in range(8):
        assert denoise_in_orientation(prior, x, 0.1, number)[0, 0, 0] == 1
    assert prior.shapes == {(1, 4, 6)}
