# Two commands on a fresh machine do everything: `make run` and `make test`. `make help` lists the rest.

export CARGO_TARGET_DIR := $(CURDIR)/target
GUESTS := target/guests
WASM := wasm32-wasip2
# Everything is built as one workspace with all targets, so that dependencies are compiled once, with one set of features.
CARGO := cargo --locked

.DEFAULT_GOAL := help
.PHONY: help run test guests check bench bench-extism fuzz torture ci toolchain

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
	@echo "guests: $$(ls $(GUESTS) | wc -l) components in $(GUESTS)"

run: guests ## Deliver a sample log to two component sinks, and say what to try next
	@$(CARGO) build --workspace --all-targets
	@rm -rf target/demo && mkdir -p target/demo
	target/debug/hydrant sample --events 40 --seed 1 --schema 2.0 --out target/demo/state
	target/debug/hydrant run --once --data-dir target/demo/data --event-source file://target/demo/state \
		--event-sink wasm:$(GUESTS)/printer.wasm --event-sink wasm:$(GUESTS)/tally.wasm
	@echo
	@echo "Each line above from 'printer' and 'tally' was written by a sandboxed WebAssembly component."
	@echo "Try next:"
	@echo "  target/debug/hydrant log stats target/demo/state        the same counts, without a sink"
	@echo "  target/debug/hydrant run --event-source file://target/demo/state --event-sink stdout: | head -3"
	@echo "  target/debug/hydrant run --once --event-source file://target/demo/state \\"
	@echo "      --event-sink 'wasm:$(GUESTS)/refuse.wasm?config.refuse-id=7'     a sink that refuses event 7"
	@echo "  target/debug/hydrant run --help                         everything else"

test: guests ## Build the guests and run all tests (needs nothing else; goldens by HYDRANT_GOLDEN_DIR)
	$(CARGO) test --workspace

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

torture: guests ## The crash tests in full: 200 rounds of kill -9
	HYDRANT_TORTURE_ROUNDS=200 $(CARGO) test --workspace --test it -- kill

ci: check test ## What CI runs: check, guests, tests
