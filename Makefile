BIN := .venv/bin

# PROGRAM=PACKAGE of what the tests use beside Python's packages: a Docker Engine to start by hand,
# what the unpacked engines need of the system, and what sources and examples are made with.
TEST_PROGRAMS := dockerd=docker.io runc iptables ip=iproute2 skopeo git ssh-agent=openssh-client

.PHONY: demo test check lint unit venv proto golden helper

demo:  ## build examples/hello
	.ci/venv
	.ci/demo

test: venv  ## everything that CI checks, on real daemons
	.ci/packages $(TEST_PROGRAMS) || echo "What needs them is skipped, or fails in CI" >&2
	.ci/versions
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m tests.real get || echo "What needs them is skipped, or fails in CI" >&2
	$(BIN)/python -m pytest

check: venv lint unit  ## what needs no daemon

lint:
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m schemas.generate --check

unit:
	$(BIN)/python -m pytest -m "not real"

venv:
	.ci/venv dev

proto: venv  ## write schemas/pb anew
	$(BIN)/python -m schemas.generate

golden: venv  ## write the expected files of the golden tests anew
	$(BIN)/python -m pytest -m "not real" --rewrite-golden

helper:  ## compile the helper program anew (gcc, and gcc-aarch64-linux-gnu)
	$(MAKE) --no-print-directory -C translator/helper
