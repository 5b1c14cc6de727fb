"""The contract of `sparsity` and `continual`: see test_contract.py."""

import contract
import contract_runs as runs

HERE = contract.select("sparsity", "continual")


@contract.each(HERE, contract.SHELLS)
def test_one_run_answers_what_needs_numbers(name, subtests):
    runs.check_run(name, subtests)


@contract.each(HERE, contract.SHELLS)
def test_types_and_refusals_are_known_after_tracing(name, subtests):
    runs.check_types(name, subtests)
