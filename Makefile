# Two commands on a fresh machine do everything: `make run` and `make test`. `make help` lists the rest.

export CARGO_TARGET_DIR := $(CURDIR)/target
GUESTS := target/guests
WASM := wasm32-wasip2
# Everything is built as one workspace with all targets, so that dependencies are compiled once, with one set of features.
CARGO := cargo --locked

.DEFAULT_GOAL := help
.PHONY: help run test test-clients guests guests-other skip-tally-c skip-tally-py check bench bench-extism fuzz torture ci toolchain

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

toolchain: ## Add the WebAssembly target to the toolchain if it is missing
	@rustup target list --installed | grep -qx $(WASM) || rustup target add $(WASM)

guests: toolchain ## Build every guest from source into target/guests/NAME.wasm
	@mkdir -p $(GUESTS)
	@for workspace in guest-examples tests/guests; do \
		CARGO_TARGET_DIR=$(CURDIR)/target/guests-build $(CARGO) build --quiet --release --target $(WASM) \
			--manifest-path $$workspace/Cargo.toml || exit 1; \
		for guest in $$workspace/*/Cargo.toml; do \
			name=$$(basename $$(dirname $$guest)); \
			built=target/guests-build/$(WASM)/release/$$(echo $$name | tr - _).wasm; \
			cmp -s $$built $(GUESTS)/$$name.wasm || cp $$built $(GUESTS)/$$name.wasm || exit 1; \
		done; \
	done
	@$(MAKE) --no-print-directory guests-other
	@echo "guests: $$(ls $(GUESTS)/*.wasm | wc -l) components in $(GUESTS)"

# Guests in other languages, those whose toolchain is there. With HYDRANT_ALL_GUESTS set, as in CI, a missing one is an error.
CLANG := $(shell command -v clang-19)
COMPONENTIZE_PY := $(shell command -v componentize-py || ls target/componentize-py/bin/componentize-py 2>/dev/null)
skip = $(if $(HYDRANT_ALL_GUESTS),@echo "guests: $(1) is missing: $(2)" >&2; exit 1,@echo "guests: $(1) skipped: $(2)")

guests-other: $(if $(CLANG),$(GUESTS)/tally-c.wasm,skip-tally-c) $(if $(COMPONENTIZE_PY),$(GUESTS)/tally-py.wasm,skip-tally-py)

skip-tally-c:
	$(call skip,tally-c,there is no clang-19 (Debian: clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32))

skip-tally-py:
	$(call skip,tally-py,there is no componentize-py (pip install componentize-py==0.25.1))

# The contract and a world of tally's in one file, for tools that do not take a folder.
target/tally.wit: guest-examples/tally.wit wit/*.wit
	@{ cat $<; echo 'package hydrant:events@0.1.0 {'; cat wit/*.wit | grep -v '^package '; echo '}'; } > $@

$(GUESTS)/tally-c.wasm: guest-examples/tally-c/tally.c guest-examples/tally-c/gen/tally.c guest-examples/tally-c/gen/tally.h target/tally.wit
	@$(CLANG) --target=wasm32-wasi -mexec-model=reactor -std=gnu17 -Wall -Wextra -Werror -O2 -s \
		-fuse-ld=$$(rustc --print target-libdir)/../bin/wasm-component-ld -Wl,--component-type,target/tally.wit \
		-o $@ guest-examples/tally-c/tally.c guest-examples/tally-c/gen/tally.c

$(GUESTS)/tally-py.wasm: guest-examples/tally-py/tally_sink.py target/tally.wit
	@cd guest-examples/tally-py && PYTHONDONTWRITEBYTECODE=1 $(abspath $(COMPONENTIZE_PY)) -d $(CURDIR)/target/tally.wit -w tally \
		componentize tally_sink -o $(CURDIR)/$@

run: guests ## Run a head with its API, component sinks and some transactions, and say what to try next
	@$(CARGO) build --workspace --all-targets
	@examples/demo.sh

test: guests ## Build the guests and run all tests (needs nothing else; goldens by HYDRANT_GOLDEN_DIR)
	$(CARGO) test --workspace

test-clients: ## Try the API with a client that others wrote (needs node and npm)
	@$(CARGO) build --workspace --all-targets
	cd tests/clients && npm install --no-save --omit=optional --no-audit --no-fund --loglevel=error \
		&& HYDRANT=$(CURDIR)/target/debug/hydrant node --test

check: toolchain ## Check formatting, lints and documentation; warnings are errors
	cargo fmt --all --check
	cargo fmt --manifest-path guest-examples/Cargo.toml --all --check
	cargo fmt --manifest-path tests/guests/Cargo.toml --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

bench: guests ## Measure against baselines in the same run; writes target/bench/summary.json
	@rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
	cargo build --locked --release --manifest-path benches/extism/Cargo.toml
	cargo build --locked --release --target wasm32-unknown-unknown --manifest-path benches/extism-guest/Cargo.toml
	$(CARGO) run --release --package hydrant-benches

fuzz: ## Throw random bytes at the log reader, URIs and configuration for a bounded time (PROPTEST_CASES=20000)
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} $(CARGO) test --workspace --test it -- fuzz

torture: guests ## The fault tests in full: 200 rounds of kill -9, swaps and faults
	HYDRANT_TORTURE_ROUNDS=200 $(CARGO) test --workspace --test it -- kill fault torture

ci: check test ## What CI runs: check, guests, tests
