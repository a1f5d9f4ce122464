import pytest

pytest.register_assert_rewrite("tests.workflows.runner", "tests.workflows.sandbox")
