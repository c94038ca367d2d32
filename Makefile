# Everything here needs Rust 1.95 (with clippy and rustfmt), Go 1.26 and make; nothing else is taken from PATH.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CHART := charts/vaultsecret-operator
# The supervisor of the tests' control plane. Its package is `.`: `./...` would compile all of Kubernetes.
CLUSTER := go run -C tests/cluster .
# Tests against the control plane wait most of the time: more run side by side than there are cores.
TEST_THREADS ?= 6

.PHONY: help demo test lint crds cluster clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	@printf '\n== tests of the control plane\n'
	go test -C tests/cluster -count=1 -timeout=20m .
	@printf '\n== tests of the operator\n'
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace --locked

lint: ## Check formatting, lints, documentation, chart and dependencies
	@printf '\n== formatting\n'
	cargo fmt --all --check
	@unformatted=$$(gofmt -l tests/cluster); \
	if [ -n "$$unformatted" ]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$unformatted" >&2; exit 1; fi
	@printf '\n== one TLS provider: ring\n'
	@tree=$$(cargo tree --locked --workspace --prefix none --edges normal,build,dev); \
	if others=$$(grep -E '^(aws-lc-|native-tls|openssl v|openssl-sys)' <<<"$$tree" | sort -u); then \
		printf 'a second TLS implementation came in (cargo tree -i NAME says from where):\n%s\n' "$$others" >&2; exit 1; fi
	@printf '\n== lints\n'
	cargo clippy --workspace --all-targets --locked -- -D warnings
	go vet -C tests/cluster .
	@printf '\n== documentation\n'
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	@printf '\n== chart\n'
	@helm=$$($(CLUSTER) build --helm | sed -n 's/.*"helm":"\([^"]*\)".*/\1/p'); \
	"$$helm" lint --strict $(CHART) --set image.repository=registry.example.com/vaultsecret-operator

crds: ## Generate crds/ and the chart's copies from the Rust types
	cargo run --quiet --locked -- crds --output-dir crds
	cargo run --quiet --locked -- crds --output-dir $(CHART)/files/crds

cluster: ## Build the control plane and helm into the user's cache folder
	$(CLUSTER) build --helm

clean: ## Remove what cargo built; the control plane stays in the user's cache folder
	cargo clean
