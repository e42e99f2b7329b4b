"""Batch reuse: claims of Dandi, Troiani, Arnaboldi, Pesce, Zdeborová, Krzakala (2024)."""
