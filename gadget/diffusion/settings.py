"""The settings of a reconstruction, as pipelines, commands and Python callers give them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gadget.diffusion import DEFAULT_MODEL

Method = Literal["fast", "paper", "sense", "fft"]
SAMPLERS = ("fast", "paper")
"""Methods that need a prior."""


class SamplerSettings(BaseModel):
    """Settings of a reconstruction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Method = Field(
        "fast",
        description="`fast`: few evaluations on the combined image; `paper`: predictor-corrector "
        "on every coil image (Chung and Ye 2022); `sense`: CG-SENSE with self-calibrated coils; "
        "`fft`: inverse Fourier transform and root sum of squares.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Noise levels; for `fast` each is one network evaluation. "
        "Default: 30 for `fast`, 40 without a complete centre of k-space, 500 for `paper`.",
    )
    corrector_steps: int = Field(
        1, ge=0, le=10, description="`paper`: Langevin corrections at each noise level."
    )
    joint_every: int = Field(
        10,
        ge=0,
        description="`paper`: joint data consistency and new coil sensitivities every so many "
        "noise levels (Algorithm 5, hybrid); 0: never (Algorithm 4, SSOS).",
    )
    lam_start: float = Field(
        1.0, ge=0, le=1, description="`paper`: weight of data consistency at the first noise level."
    )
    lam_end: float = Field(
        0.2, ge=0, le=1, description="`paper`: weight of data consistency at the last noise level."
    )
    snr: float = Field(
        0.16, gt=0, lt=1, description="`paper`: signal-to-noise ratio of a Langevin correction."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of all random numbers.")
    samples: int = Field(
        1,
        ge=1,
        le=64,
        description="Posterior samples; with two or more the image is their mean and their "
        "standard deviation is a second series.",
    )
    model: str = Field(
        DEFAULT_MODEL,
        description="Name or folder of the prior; `auto`: `brain-base` on a GPU or a CPU that "
        "computes in bfloat16 (AMX, AVX-512 BF16), `brain-small` on any other.",
    )
    device: str = Field(
        "auto", description="`auto` (CUDA where there is one, else CPU), `cpu`, `cuda`, `cuda:1`."
    )
    deadline_s: float | None = Field(
        None,
        gt=0,
        description="Longest time for one image [s]: fewer steps are taken where needed, and where "
        "not even few are possible, the image is made by CG-SENSE, or by root sum of squares where "
        "there is no time for that. Default: any time.",
    )
    noise_std: float | None = Field(
        None,
        gt=0,
        description="Standard deviation of the receiver's complex noise in one sample [units of "
        "the data]. Default: estimated from the data.",
    )

    @property
    def needs_prior(self) -> bool:
        """Whether the method samples, and so needs a prior."""
        return self.method in SAMPLERS

    def step_count(self, *, from_centre: bool = True) -> int:
        """`steps`, or the method's default.

        That depends on whether the coil sensitivities come from a complete centre of k-space.
        """
        if self.steps is not None:
            return self.steps
        if self.method == "paper":
            return 500
        return 30 if from_centre else 40
