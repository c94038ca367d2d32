# Everything here needs Rust 1.95 (with clippy and rustfmt), the C compiler it links with, Go 1.26, bash and make.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CHART := charts/vaultsecret-operator
# The supervisor of the tests' control plane. Its package is `.`: `./...` would compile all of Kubernetes.
CLUSTER := go run -C tests/cluster .
# Tests against the control plane wait most of the time: more run side by side than there are cores.
TEST_THREADS ?= 6

# Tools of these targets alone, built once into the user's cache folder.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vaultsecret-operator-tools
DENY := $(TOOLS)/cargo-deny@0.20.2/bin/cargo-deny
FUZZ := $(TOOLS)/cargo-fuzz@0.13.2/bin/cargo-fuzz
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(wildcard fuzz/corpus/*))

.PHONY: help demo test lint deny advisories fuzz crds cluster clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch the operator at work on this machine, in one terminal; KEEP=1 leaves it running until Enter
	@printf '\n== the control plane: built once, 5 to 15 minutes, then cached\n'
	$(CLUSTER) build --helm >/dev/null
	@printf '\n== the operator, as it would be shipped\n'
	cargo build --release --locked
	@printf '\n== the demo\n'
	cargo build --quiet --locked --example demo
	cargo run --quiet --locked --example demo -- $(if $(filter-out 0,$(KEEP)),--keep)

test: ## Run all tests; most of them against a real API server
	@printf '\n== the control plane: built once, 5 to 15 minutes, then cached\n'
	$(CLUSTER) build --helm
	@printf '\n== Prometheus: built once, 3 minutes, then cached\n'
	$(CLUSTER) prometheus
	@printf '\n== tests of the control plane\n'
	go test -C tests/cluster -count=1 -timeout=20m .
	@printf '\n== tests of the operator\n'
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace --all-features --locked

lint: ## Check formatting, lints, documentation, chart and dependencies
	@printf '\n== formatting\n'
	cargo fmt --all --check
	@unformatted=$$(gofmt -l tests/cluster); \
	if [ -n "$$unformatted" ]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$unformatted" >&2; exit 1; fi
	@$(MAKE) --no-print-directory deny
	@printf '\n== lints\n'
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	cargo clippy --workspace --locked -- -D warnings
	go vet -C tests/cluster .
	@printf '\n== documentation\n'
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps --locked
	@printf '\n== chart\n'
	@helm=$$($(CLUSTER) build --helm | sed -n 's/.*"helm":"\([^"]*\)".*/\1/p'); \
	for mode in '' ',watchNamespaces={payments},admissionPolicy.enabled=true'; do \
		"$$helm" lint --strict $(CHART) --set "image.repository=registry.example.com/vaultsecret-operator$$mode"; done

deny: $(DENY) ## Check the dependencies: licences, duplicates, one TLS provider, sources
	@printf '\n== licences, duplicates and sources of the dependencies\n'
	cargo fetch --quiet --locked
	$(DENY) --offline --locked check --deny warnings licenses bans sources

# Not a part of `lint`: what is found out elsewhere makes no commit wrong, and it takes GitHub to be reached.
advisories: $(DENY) ## Look the dependencies up in the RustSec database, which is fetched from GitHub
	$(DENY) --locked check advisories

# On stable, without a sanitizer, which needs nightly: no line of ours is unsafe.
fuzz: $(FUZZ) ## Fuzz each target for FUZZ_SECONDS (60); what is found goes to fuzz/artifacts, new inputs to fuzz/target/corpus
	@printf '\n== the fuzzers: built in some minutes, then cached\n'
	$(FUZZ) build --sanitizer none
	@for target in $(FUZZ_TARGETS); do \
		printf '\n== %s, for %s s\n' "$$target" $(FUZZ_SECONDS); \
		mkdir -p "fuzz/target/corpus/$$target"; \
		$(FUZZ) run --sanitizer none "$$target" "fuzz/target/corpus/$$target" "fuzz/corpus/$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=30 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0; \
	done

$(DENY) $(FUZZ): $(TOOLS)/%:
	@printf '\n== %s: built once, in 1 to 3 minutes on two cores, then cached\n' '$(firstword $(subst /, ,$*))'
	cargo install --quiet --locked --root '$(TOOLS)/$(firstword $(subst /, ,$*))' '$(firstword $(subst /, ,$*))'

crds: ## Generate crds/ and the chart's copies from the Rust types
	cargo run --quiet --locked -- crds --output-dir crds
	cargo run --quiet --locked -- crds --output-dir $(CHART)/files/crds

cluster: ## Build the control plane and helm into the user's cache folder
	$(CLUSTER) build --helm
	$(CLUSTER) prometheus

clean: ## Remove what cargo built; the control plane stays in the user's cache folder
	cargo clean
