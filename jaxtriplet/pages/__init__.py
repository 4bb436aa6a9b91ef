"""Pages about results, each one HTML file: of a training run, of scored trials, and of recordings in clusters."""

from jaxtriplet.pages.clustering import clustering_page
from jaxtriplet.pages.evaluation import evaluation_page, save_det_curve
from jaxtriplet.pages.run import run_page

__all__ = ["clustering_page", "evaluation_page", "run_page", "save_det_curve"]
