"""The parts. Each module has ``run(*, quick: bool) -> Report``."""
