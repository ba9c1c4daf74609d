# Every target sets up what it needs, on a fresh Debian that has cargo, python3, node and npm only, and asks nothing.
# Stamps in .make/ have the sources as prerequisites, so that nothing is built twice.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
NPX := npx --no-install
# dev is the loop of tests; `make build PROFILE=release` installs what users get. There is one of the two at a time.
PROFILE ?= dev
files = $(shell find $(1) -type f \( $(2) \) 2>/dev/null)
CORE := Cargo.toml Cargo.lock $(wildcard .cargo/config.toml) \
        $(call files,core cli bindings-guard,-name '*.rs' -o -name '*.lua' -o -name Cargo.toml)
FOR_PYTHON := $(CORE) pyproject.toml $(call files,bindings-python,-name '*.rs' -o -name Cargo.toml)
FOR_LINT := $(CORE) $(call files,lint/src,-name '*.rs') lint/Cargo.toml
FOR_NODE := $(CORE) package.json $(call files,bindings-node,-name '*.rs' -o -name Cargo.toml)
TYPESCRIPT := bindings-node/tsconfig.json $(call files,bindings-node,-name '*.ts' -o -name '*.cjs' -o -name '*.mjs' -o -name '*.mts')
PACKAGE := $(call files,bindings-python/python,-name '*.py' -o -name '*.pyi' -o -name py.typed)
LOOM := RUSTFLAGS='--cfg tidegate_loom' CARGO_TARGET_DIR=target/loom CARGO_PROFILE_DEV_DEBUG=0

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ready.release .make/python.release .make/node.release ## what tidegate does, on real data, in a minute: in memory, then Python and Node.js on one Redis
	@$(BIN)/python -m examples.demo

.PHONY: examples
examples: .make/python.$(PROFILE) .make/node.$(PROFILE) ## the programs of docs/choosing.md, on SQLite, PostgreSQL and Redis: a minute
	@for program in read_heavy strong ingestion tenants outbox; do \
	    echo "== $$program"; $(BIN)/python -m examples.choosing.$$program; \
	done

# In this order, each runner of its own, so that `make --keep-going` runs all of them whatever fails. Most tests wait most
# of their time: two cores run more of them at once than two.
.PHONY: test
test: ready.dev test-rust test-loom test-python test-node faults-short ## every test: Rust, loom's models, Python, both languages together, Node.js, each fault's short form

.PHONY: test-rust
test-rust: .make/python.dev .make/node.dev ## of these the Rust ones
	cargo test --no-fail-fast -p tidegate -- --show-output --test-threads 4
	cargo test --no-fail-fast -p tidegate-cli
	cargo test --no-fail-fast -p tidegate-lint

.PHONY: test-loom
test-loom: | system ## loom's models of what threads share
	$(LOOM) cargo test -p tidegate --no-default-features --lib loom

.PHONY: test-python
test-python: .make/python.dev .make/node.dev .make/django-tests .make/typedoc .make/wheels ## Python's, and those of both languages together
	$(BIN)/pytest --ignore tests/faults --numprocesses 5 --dist worksteal

.PHONY: test-node
test-node: .make/python.dev .make/node.dev .make/packages ## Node.js's
	node --import tsx --test --test-concurrency 4 --test-reporter spec $(wildcard tests/node/*.test.ts tests/packages/*.test.ts)

.PHONY: faults-short
faults-short: .make/python.dev .make/node.dev ## every fault of docs/reliability.md in a short form: five minutes
	$(BIN)/pytest tests/faults --numprocesses 2 --dist worksteal

.PHONY: faults
faults: .make/python.release .make/node.release ## every fault at length, into docs/reliability.md: an hour (FAULTS="--only 8,9 --write" for some)
	@$(BIN)/python -m tests.faults $(or $(FAULTS),--write)

.PHONY: fuzz
fuzz: ## ten million hostile inputs over all that is read of others; what breaks goes into tests/corpus (FUZZ="--inputs 9000 --seed 7 --target url")
	cargo run --profile fuzz -p tidegate --features fuzz --bin tidegate-fuzz -- tests/corpus $(or $(FUZZ),--inputs 10000000)

.PHONY: check
check: lint test ## lint and test: exactly what CI runs

.PHONY: lint
lint: ready.dev .make/python.dev .make/node.dev ## formats, clippy, ruff, mypy, biome, tsc, the package's shape, stubs against the module
	cargo fmt --all --check
	cargo clippy -p tidegate --all-targets --features fuzz -- -D warnings
	cargo clippy -p tidegate-guard -- -D warnings
	cargo clippy -p tidegate-cli --all-targets -- -D warnings
	cargo clippy -p tidegate-lint --all-targets -- -D warnings
	cargo clippy --manifest-path bindings-python/Cargo.toml --all-targets -- -D warnings
	cargo clippy --manifest-path bindings-node/Cargo.toml --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tidegate._tidegate
	$(NPX) biome check --error-on-warnings
	$(NPX) tsc -p tests/node
	$(NPX) tsc -p examples
	$(NPX) publint --strict
	$(NPX) attw --pack . --quiet

.PHONY: build
build: ready.$(PROFILE) .make/python.$(PROFILE) .make/node.$(PROFILE) ## .venv with the package installed, and the package importable by name from here in Node.js (PROFILE=release for the fast ones)

# For users, so a release; PROFILE=dev packs what tests run on.
.PHONY: dist
dist: .make/dist.$(if $(filter file,$(origin PROFILE)),release,$(PROFILE)) ## the wheel and the npm packages for this machine, in dist/ (PROFILE=dev for quick ones)

.PHONY: docs
docs: .make/python.dev .make/node.dev .make/typedoc ## the site of the documentation, in target/site, with the reference of each language
	$(BIN)/python -m website

.PHONY: docs-serve
docs-serve: .make/python.dev .make/node.dev .make/typedoc ## the same on loopback, built anew with each change
	$(BIN)/python -m website --serve

.PHONY: bench
bench: ready.release .make/python.release .make/node.release ## every figure, beside the peers, into docs/performance.md: 25 minutes (BENCH="--only l2 --quick" for some)
	@$(BIN)/python -m benchmarks $(or $(BENCH),--write)

# The version stands where cargo, npm and pip each look for it.
.PHONY: version
version: ## write the next version into every file that names it: make version TO=0.2.0
	@[[ '$(TO)' =~ ^[0-9]+\.[0-9]+\.[0-9]+$$ ]] || { echo 'say which: make version TO=0.2.0'; exit 2; }
	sed -i -E 's/^version = ".*"/version = "$(TO)"/; s/^(tidegate = .*version = ")[^"]*/\1$(TO)/' Cargo.toml
	sed -i -E 's/^(tidegate = .*version = ")[^"]*/\1$(TO)/' lint/Cargo.toml
	sed -i -E 's/^(lint = \["tidegate-lint==)[^"]*/\1$(TO)/' pyproject.toml
	sed -i -E '1,12s/^( +"version": )".*"/\1"$(TO)"/' package.json package-lock.json
	cargo update --workspace --offline --quiet

.PHONY: clean
clean: ## remove everything that was built, .venv and node_modules too
	rm -rf target dist .make .venv node_modules website/typedoc/node_modules bindings-python/python/tidegate/_tidegate*.so

# Else one thing comes after the other, whatever `--jobs` says.
ifndef AT_ONCE
.NOTPARALLEL:
endif

# What is downloaded, and compiled without it, at once: the one waits for the network, the other for the processor.
.PHONY: ready.dev ready.release
ready.dev ready.release: system
	@$(MAKE) --jobs 4 AT_ONCE=1 .make/venv .make/npm .make/lint$(suffix $@) $(if $(filter ready.dev,$@),.make/typedoc)

# `tidegate lint` is a program of its own, in a package of its own: of Python's it lies among the scripts, and in dist/native.
LINT := tidegate-lint$(if $(filter Windows_NT,$(OS)),.exe)
built-lint = target/$$(rustc --print host-tuple)/$(if $(filter %.release,$@),release,debug)/$(LINT)
# Cargo is no make: it would look for the tokens that `--jobs` shares.
.make/lint.dev .make/lint.release: $(FOR_LINT) | system
	@mkdir -p .make && rm -f .make/lint.*
	MAKEFLAGS= cargo build --locked -p tidegate-lint $(if $(filter %.release,$@),--release)
	@touch $@

# Of what is compiled into a wheel; not in git, since Cargo.lock says it already.
LICENCES := THIRD-PARTY-LICENSES lint/THIRD-PARTY-LICENSES
$(LICENCES): Cargo.lock $(wildcard tools/*.py) | .make/venv
	$(BIN)/python -m tools.third_party $(if $(filter lint/%,$@),tidegate-lint,tidegate-python) > $@

# What tests/packages installs: without what a debugger needs, which is most of a build for tests.
.make/wheels: .make/python.dev .make/lint.dev $(LICENCES) $(PACKAGE) lint/pyproject.toml lint/README.md README.md
	rm -rf target/tested
	$(BIN)/maturin build --strip true --locked --auditwheel skip --out target/tested
	cd lint && ../$(BIN)/maturin build --strip true --locked --auditwheel skip --out ../target/tested
	@touch $@

.make/python.dev .make/node.dev: .make/lint.dev
.make/python.release .make/node.release: .make/lint.release

# The package is installed in place: a change in a .py file needs no new build.
.make/python.dev .make/python.release: $(FOR_PYTHON) .make/venv
	@rm -f .make/python.*
	$(BIN)/maturin develop $(if $(filter %.release,$@),--release)
	install $(built-lint) $(BIN)/
	@touch $@

.make/node.dev .make/node.release: $(FOR_NODE) $(TYPESCRIPT) .make/npm | system
	@rm -f .make/node.*
	rm -rf dist/native dist/cjs
	mkdir -p dist/cjs
	cp bindings-node/esm/* dist/
	echo '{ "type": "commonjs" }' > dist/cjs/package.json
	$(NPX) napi build --platform --manifest-path bindings-node/Cargo.toml --output-dir dist/native \
	    --no-js --dts index.d.cts $(if $(filter %.release,$@),--release)
	cp bindings-node/npm/index.cjs dist/native/
	install $(built-lint) dist/native/
	$(NPX) tsc -p bindings-node
	@touch $@

.make/dist.dev: .make/node.dev
.make/dist.release: .make/node.release
.make/dist.dev .make/dist.release: $(FOR_PYTHON) $(PACKAGE) $(LICENCES) .make/venv bindings-node/npm/pack.mjs
	@rm -f .make/dist.*
	rm -f dist/*.whl dist/*.tgz
	$(BIN)/maturin build $(if $(filter %.release,$@),--release) --locked --out dist
	cd lint && ../$(BIN)/maturin build $(if $(filter %.release,$@),--release) --locked --out ../dist
	node bindings-node/npm/pack.mjs
	@ls -l dist/*.whl dist/*.tgz
	@touch $@

# What the Node.js tests of tests/packages install.
.make/packages: .make/node.dev $(wildcard bindings-node/npm/*.mjs bindings-node/npm/*/* tools/*.py)
	rm -rf target/packages
	node bindings-node/npm/pack.mjs --strip --out target/packages
	@touch $@

.make/npm: package.json package-lock.json .npmrc
	@mkdir -p .make
	npm install --no-save --no-audit --no-fund
	@touch $@

# typedoc reads types by TypeScript 6, so it has packages of its own.
.make/typedoc: website/typedoc/package.json website/typedoc/package-lock.json | .make/npm
	npm install --no-save --no-audit --no-fund --prefix website/typedoc
	@touch $@

.make/venv: requirements-dev.txt | system
	@mkdir -p .make
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# Django's own tests of cache backends, which its wheel has not.
.make/django-tests: requirements-dev.txt .make/venv
	$(BIN)/python -m tests.frameworks.django_source
	@touch $@

# What Debian has to give: a linker, the module that makes virtual environments, servers for tests, examples and demo, a
# clock that can be stepped, and a browser that opens the site. PostgreSQL's package is kept from making a cluster and a
# service of the system's. Prometheus's is unpacked, not installed: it would start a service, and of all that it brings two
# programs are needed.
.PHONY: system
system:
	@missing=(); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	command -v redis-server >/dev/null || command -v valkey-server >/dev/null || missing+=(redis-server); \
	command -v faketime >/dev/null || missing+=(faketime); \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium); \
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql); \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	unpacked=(); \
	{ command -v prometheus && command -v promtool || [[ -x .make/prometheus/usr/bin/promtool ]]; } >/dev/null || \
	    unpacked+=(prometheus); \
	if (( $${#missing[@]} + $${#unpacked[@]} )); then \
	    echo "installing $${missing[*]} $${unpacked[*]}"; \
	    as_root=(env DEBIAN_FRONTEND=noninteractive); \
	    (( $$(id -u) == 0 )) || as_root=(sudo --non-interactive "$${as_root[@]}"); \
	    "$${as_root[@]}" apt-get update -qq; \
	    if [[ " $${missing[*]} " == *" postgresql "* ]]; then \
	        "$${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d; \
	        echo 'create_main_cluster = false' | \
	            "$${as_root[@]}" tee /etc/postgresql-common/createcluster.d/tidegate.conf >/dev/null; \
	    fi; \
	    "$${as_root[@]}" apt-get install -qq --yes --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi; \
	for package in "$${unpacked[@]}"; do \
	    rm -rf .make/$$package && mkdir -p .make/$$package; \
	    (cd .make/$$package && apt-get -o APT::Sandbox::User=root download -qq $$package >/dev/null); \
	    dpkg-deb --fsys-tarfile .make/$$package/*.deb | tar --extract --directory .make/$$package ./usr/bin; \
	    rm .make/$$package/*.deb; \
	done
