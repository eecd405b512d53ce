"""How R1 is sampled (its model card: temperature 0.6, "recommended", and top-p 0.95): what every export states."""

TEMPERATURE = 0.6
TOP_P = 0.95
