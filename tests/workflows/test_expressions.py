"""The evaluator of the sandbox answers as GitHub's would, and raises on what it does not know."""

from __future__ import annotations

import pytest

from .expressions import fill, is_met

CONTEXTS = {
    "inputs": {"dry-run": True, "session": "", "count": 0},
    "needs": {"model": {"result": "success", "outputs": {"key": "model-1"}}},
    "steps": {},
    "matrix": {"month": "2015-03"},
}
FUNCTIONS = {"success": lambda: True, "failure": lambda: False, "always": lambda: True, "cancelled": lambda: False}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${{ needs.model.outputs.key }}", "model-1"),
        ("scores-${{ matrix.month }}", "scores-2015-03"),
        ("${{ inputs.dry-run }}", True),
        ("x ${{ inputs.dry-run }}", "x true"),
        ("${{ inputs.absent }}", None),
        ("x${{ inputs.absent.deeper }}", "x"),
        ("${{ inputs.dry-run && 'yes' || '' }}", "yes"),
        ("${{ inputs.session && 'yes' || 'no' }}", "no"),
        ("${{ inputs.count || 'none' }}", "none"),
        ("${{ needs['model'].result == 'SUCCESS' }}", True),
        ("${{ needs.model.result != 'success' }}", False),
        ("${{ !inputs.dry-run || (inputs.count == 0 && 'it''s') }}", "it's"),
        # Values of two kinds are compared as numbers.
        ("${{ inputs.count == '0' }}", True),
        ("${{ inputs.count == '' }}", True),
        ("${{ inputs.absent == '' }}", True),
        ("${{ inputs.absent == false }}", True),
        ("${{ inputs.absent == 'false' }}", False),
        ("${{ inputs.dry-run == 'true' }}", False),
        ("${{ inputs.dry-run == 1 }}", True),
        ("${{ inputs.dry-run != 'yes' }}", True),
        ("${{ inputs == inputs }}", True),
        ("${{ inputs == 'Object' }}", False),
        ("${{ inputs.Dry-Run }}", True),
        ("${{ needs.MODEL.outputs['KEY'] }}", "model-1"),
    ],
)
def test_an_expression_has_its_value(text: str, value: object) -> None:
    assert fill(text, CONTEXTS, FUNCTIONS) == value


@pytest.mark.parametrize(
    ("condition", "is_fine", "expected"),
    [
        ("needs.model.result == 'success'", True, True),
        ("needs.model.result == 'success'", False, False),
        ("${{ needs.model.result == 'failure' }}", True, False),
        ("always()", False, True),
        ("${{ !cancelled() && steps.line.outcome != 'success' }}", False, True),
        ("failure()", False, True),
        (True, False, False),
    ],
)
def test_a_condition_also_asks_for_success_unless_it_asks_for_a_status(
    condition: object, is_fine: bool, expected: bool
) -> None:
    contexts = CONTEXTS | {"true": True}
    functions = FUNCTIONS | {"success": lambda: is_fine, "failure": lambda: not is_fine}
    assert is_met("true" if condition is True else condition, contexts, functions) is expected


@pytest.mark.parametrize(
    "text", ["${{ nothing.here }}", "${{ nothing() }}", "${{ inputs. ~ }}", "${{ (1 }}", "${{ 1 2 }}", "${{ == }}"]
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        fill(text, CONTEXTS, FUNCTIONS)
