# Every target sets up what it needs, on a fresh Debian that has cargo, python3, node and npm only, and asks nothing.
# Stamps in .make/ have the sources as prerequisites, so that nothing is built twice.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
# dev is the loop of tests; `make build PROFILE=release` installs what users get. .venv holds one of the two.
PROFILE ?= dev
RUST := Cargo.toml Cargo.lock $(wildcard .cargo/config.toml) \
        $(shell find core bindings-python -type f \( -name '*.rs' -o -name '*.lua' -o -name Cargo.toml \) 2>/dev/null)
PACKAGE := $(shell find bindings-python/python -type f \( -name '*.py' -o -name '*.pyi' -o -name py.typed \) 2>/dev/null)
LOOM := RUSTFLAGS='--cfg tidegate_loom' CARGO_TARGET_DIR=target/loom \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .make/build.release ## what tidegate does, on real data, in a minute: in memory, then two processes on Redis
	@$(BIN)/python -m examples.demo

.PHONY: test
test: .make/build.dev ## every test: Rust, loom's models, Python
	cargo test -p tidegate
	$(LOOM) cargo test -p tidegate --no-default-features --lib --release loom
	$(BIN)/pytest

.PHONY: check
check: lint test ## lint and test: exactly what CI runs

.PHONY: lint
lint: .make/build.dev ## formats, clippy, ruff, mypy, and the native module's stubs against the module
	cargo fmt --all --check
	cargo clippy -p tidegate --all-targets -- -D warnings
	cargo clippy --manifest-path bindings-python/Cargo.toml --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tidegate._tidegate

.PHONY: build
build: .make/build.$(PROFILE) ## .venv with the package installed (PROFILE=release for the fast one)

.PHONY: dist
dist: .make/dist ## the wheel, in dist/

.PHONY: bench
bench: .make/build.release ## hits per second beside redis-py and the hand-written manager, as a table
	@$(BIN)/python -m benchmarks.l2 --loop asyncio
	@$(BIN)/python -m benchmarks.l2 --loop uvloop

.PHONY: clean
clean: ## remove everything that was built, .venv too
	rm -rf target dist .make .venv bindings-python/python/tidegate/_tidegate*.so

# The package is installed in place: a change in a .py file needs no new build.
.make/build.dev .make/build.release: $(RUST) pyproject.toml .make/venv
	@rm -f .make/build.*
	$(BIN)/maturin develop $(if $(filter %.release,$@),--release)
	@touch $@

.make/dist: $(RUST) $(PACKAGE) pyproject.toml .make/venv
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist
	@ls -l dist
	@touch $@

.make/venv: requirements-dev.txt | system
	@mkdir -p .make
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# What Debian has to give: a linker, the module that makes virtual environments, a server for tests and demo.
.PHONY: system
system:
	@missing=(); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	command -v redis-server >/dev/null || command -v valkey-server >/dev/null || missing+=(redis-server); \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	if (( $${#missing[@]} )); then \
	    echo "installing $${missing[*]}"; \
	    as_root=(env DEBIAN_FRONTEND=noninteractive); \
	    (( $$(id -u) == 0 )) || as_root=(sudo --non-interactive "$${as_root[@]}"); \
	    "$${as_root[@]}" apt-get update -qq; \
	    "$${as_root[@]}" apt-get install -qq --yes --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi
