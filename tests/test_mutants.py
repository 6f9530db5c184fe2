"""The benchmark of mutants plants faults in modules that are there, and runs tests that are there."""

import pytest

from benchmarks.mutants import ROOT, TESTS, mutants


@pytest.mark.parametrize("module", TESTS)
def test_module_has_mutants_and_tests(module: str) -> None:
    """Each module that decides has faults to be planted, and tests that are to find them."""
    assert any(mutants(module))
    assert [] == [test for test in TESTS[module] if not (ROOT / test).exists()]


def test_named_faults_are_among_the_mutants() -> None:
    """A check that the gate no longer needs, and a loop over the first server alone, are planted."""
    gate = [one.diff for one in mutants("plugins/deploy/gate.py")]
    proof = [one.diff for one in mutants("plugins/deploy/proof.py")]

    assert [one for one in gate if "+NEEDED: Final = ('size', 'blank', 'workflow', 'LoRA effect', 'twin')" in one]
    assert [one for one in proof if "+        for server in list(self.servers)[:1]:" in one]
