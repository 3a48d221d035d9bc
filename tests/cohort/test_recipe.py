"""What a recipe is made of."""

from __future__ import annotations

from gadget.cohort.recipe import Recipe, check_models, prepare_pipeline
from gadget.diffusion.installed_models import find_model


def test_a_model_in_a_relative_folder_is_found_from_everywhere(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(find_model("brain-small"))
    monkeypatch.chdir(tmp_path)
    pipeline = prepare_pipeline("score_hybrid.xml", {"model": "runs/mine"}, None)
    monkeypatch.chdir("/")
    check_models(Recipe(pipeline))
