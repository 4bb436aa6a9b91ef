"""Pages about results, each one HTML file: of a training run, several, scored trials, recordings in clusters."""

from jaxtriplet.pages.clustering import clustering_page as clustering_page
from jaxtriplet.pages.comparison import comparison_page as comparison_page
from jaxtriplet.pages.evaluation import evaluation_page as evaluation_page, save_det_curve as save_det_curve
from jaxtriplet.pages.run import run_page as run_page
