import pytest


@pytest.fixture(scope="session")
def graded_class():
    """The made class, judged once: it takes some seconds."""
    from bertnp.learn.teaching.selftest import judge_class

    return judge_class()
