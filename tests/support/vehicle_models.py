"""The models of the sandbox's vehicles, and one vehicle of each."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parents[2] / "mesh" / "vehicle_models"
SEDAN, COUPE, VAN = "KMHSH81C7LU123456", "KMHSC21C7LU123459", "KMFVN31C7LU123460"
