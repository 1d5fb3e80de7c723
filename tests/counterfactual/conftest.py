import jaxtyping
import pytest


@pytest.fixture
def users_call():
    """Annotations are checked in tests only: a user's wrong shape gets as far as the function."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
