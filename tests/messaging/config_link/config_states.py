"""What the tests of settings on their way look at."""

from pathlib import Path
from typing import Any

import services.config
from services.config.domain.config import ApplicationState

MIGRATIONS = Path(services.config.__file__).with_name("migrations")


APPLIED, REJECTED, PENDING = ApplicationState.APPLIED, ApplicationState.REJECTED, ApplicationState.PENDING


def is_state(state: ApplicationState) -> Any:
    return lambda config: config.state is state
