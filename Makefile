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
CYCLONEDX := $(TOOLS)/cargo-cyclonedx@0.5.9/bin/cargo-cyclonedx
ACTIONLINT := $(TOOLS)/actionlint@v1.7.12/actionlint
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(wildcard fuzz/corpus/*))

# The image. Of this machine's architecture, or of another that rustc has a target and a linker for.
VERSION = $(shell sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' Cargo.toml)
# `otel` for traces; nothing otherwise.
FEATURES ?=
ARCH ?= $(shell uname -m)
IMAGE ?= localhost/vaultsecret-operator
# Its name in a registry, for what is printed.
PUSHED = $(if $(filter localhost/%,$(IMAGE)),REGISTRY/vaultsecret-operator,$(IMAGE))
IMAGE_FILE ?= target/image/vaultsecret-operator-$(VERSION)-$(ARCH).tar

# Where the files of a release go, the namespace that install.yaml is for, and the digest of the image in it.
DIST := target/dist
NAMESPACE ?= vaultsecret-system
DIGEST ?=

.PHONY: help demo test e2e image lint deny advisories fuzz sbom release-manifests crds bless cluster clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch the operator at work on this machine, in one terminal; KEEP=1 leaves it running until Enter
	@printf '\n== the control plane: built once, 5 to 15 minutes, then cached\n'
	$(CLUSTER) build --helm >/dev/null
	@printf '\n== the operator, as it would be shipped\n'
	cargo build --release --locked
	@printf '\n== the demo\n'
	cargo build --quiet --locked --example demo
	cargo run --quiet --locked --example demo -- $(if $(filter-out 0,$(KEEP)),--keep)

test: ## Run all tests; most of them against a real API server
	@printf '\n== the control plane: built once, 7 to 18 minutes, then cached\n'
	$(CLUSTER) build --helm --helm3
	@printf '\n== Prometheus: built once, 3 minutes, then cached\n'
	$(CLUSTER) prometheus
	@printf '\n== tests of the control plane\n'
	go test -C tests/cluster -count=1 -timeout=20m .
	@printf '\n== what GitOps tools say of statuses: built once in a minute, then cached\n'
	go build -C tests/gitops -o /dev/null .
	@printf '\n== tests of the image\n'
	go test -C tools/image .
	@printf '\n== tests of the operator\n'
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace --all-features --locked

e2e: ## Install the chart on a real node, in a sandbox, and kill its leader; Linux and root; KEEP=1 leaves it running
	@tests/e2e/run $(if $(filter-out 0,$(KEEP)),--keep)

# Linked statically: the image holds nothing else but certificates. `--target` keeps the flag from proc macros.
image: ## Build the operator's image without a container engine, and say what to do with it
	@printf '\n== the operator, without any library\n'
	RUSTFLAGS='-C target-feature=+crt-static' \
		cargo build --release --locked --bin vaultsecret-operator $(if $(FEATURES),--features $(FEATURES)) --target $(ARCH)-unknown-linux-gnu
	@printf '\n== its image\n'
	@digest=$$(go run -C tools/image . \
		--program '$(CURDIR)/target/$(ARCH)-unknown-linux-gnu/release/vaultsecret-operator' --cmd run \
		--name '$(IMAGE):$(VERSION)' --out '$(abspath $(IMAGE_FILE))' \
		--label org.opencontainers.image.title=vaultsecret-operator \
		--label org.opencontainers.image.description='Syncs secrets into the Nairi vault, one PATCH per change' \
		--label org.opencontainers.image.version='$(VERSION)' \
		--label org.opencontainers.image.licenses=Apache-2.0 \
		--label org.opencontainers.image.revision="$$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)"); \
	printf '%s\n' '$(IMAGE):$(VERSION) is in $(IMAGE_FILE),' \
		"$$(du -h --apparent-size '$(IMAGE_FILE)' | cut -f1)B, $$digest" '' 'Then one of' \
		'  docker load -i $(IMAGE_FILE)                        # or podman load' \
		'  kind load image-archive $(IMAGE_FILE)' \
		'  ctr -n k8s.io images import $(IMAGE_FILE)           # on a node' \
		'  skopeo copy --preserve-digests oci-archive:$(IMAGE_FILE) docker://$(PUSHED):$(VERSION)' \
		'  crane push $(IMAGE_FILE) $(PUSHED):$(VERSION)   # under a digest of its own, which it prints' '' \
		'and helm install … --set image.repository=$(PUSHED)$(if $(filter-out $(PUSHED),$(IMAGE)),   # without a registry: $(IMAGE))'

lint: ## Check formatting, lints, documentation, chart and dependencies
	@printf '\n== formatting\n'
	cargo fmt --all --check
	@unformatted=$$(gofmt -l tests/cluster tests/gitops tools); \
	if [ -n "$$unformatted" ]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$unformatted" >&2; exit 1; fi
	@$(MAKE) --no-print-directory deny
	@printf '\n== lints\n'
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	cargo clippy --workspace --locked -- -D warnings
	go vet -C tests/cluster .
	go vet -C tests/gitops ./...
	go vet -C tools/image .
	@printf '\n== documentation\n'
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps --locked
	@$(MAKE) --no-print-directory $(ACTIONLINT)
	@printf '\n== workflows\n'
	$(ACTIONLINT) -shellcheck= -pyflakes=
	@printf '\n== chart\n'
	@helm=$$($(CLUSTER) build --helm | sed -n 's/.*"helm":"\([^"]*\)".*/\1/p'); \
	for values in $(CHART)/ci/*-values.yaml; do "$$helm" lint --strict --quiet $(CHART) --values "$$values"; done

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

sbom: $(CYCLONEDX) ## Say what the program is made of, as CycloneDX, in target/dist
	@mkdir -p $(DIST)
	$(CYCLONEDX) cyclonedx --quiet --format json --no-build-deps --spec-version 1.5 --override-filename vaultsecret-operator.cdx
	mv vaultsecret-operator.cdx.json $(DIST)/
	@rm -f tests/nairi-sim/vaultsecret-operator.cdx.json

# Nothing is published by this: it makes the files, for whoever releases the operator somewhere.
release-manifests: ## Make install.yaml, crds.yaml, the chart's archive and checksums in target/dist, for IMAGE and DIGEST
	@[[ '$(IMAGE)' != localhost/* ]] || { printf 'say where the image is: make release-manifests IMAGE=REGISTRY/vaultsecret-operator [DIGEST=sha256:…]\n' >&2; exit 1; }
	@mkdir -p $(DIST)
	@rm -f $(DIST)/*.yaml $(DIST)/*.tgz $(DIST)/SHA256SUMS
	@helm=$$($(CLUSTER) build --helm | sed -n 's/.*"helm":"\([^"]*\)".*/\1/p'); \
	{ printf '# kubectl apply --server-side -f install.yaml. Never kubectl delete -f this: with the CustomResourceDefinitions every VaultSecret goes.\n'; \
	  printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: $(NAMESPACE)\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n'; \
	  "$$helm" template vaultsecret-operator $(CHART) --namespace $(NAMESPACE) --set 'image.repository=$(IMAGE),image.digest=$(DIGEST)'; } > $(DIST)/install.yaml || { rm $(DIST)/install.yaml; exit 1; }; \
	"$$helm" package $(CHART) --destination $(DIST)
	@for crd in crds/*.yaml; do printf -- '---\n'; cat "$$crd"; done > $(DIST)/crds.yaml
	cd $(DIST) && sums=$$(sha256sum -- *) && printf '%s\n' "$$sums" | tee SHA256SUMS

$(ACTIONLINT):
	@printf '\n== actionlint: built once, in less than a minute, then cached\n'
	GOBIN='$(@D)' GOFLAGS=-mod=mod go install github.com/rhysd/actionlint/cmd/actionlint@$(patsubst actionlint@%,%,$(notdir $(@D)))

$(DENY) $(FUZZ) $(CYCLONEDX): $(TOOLS)/%:
	@printf '\n== %s: built once, in 1 to 3 minutes on two cores, then cached\n' '$(firstword $(subst /, ,$*))'
	cargo install --quiet --locked --root '$(TOOLS)/$(firstword $(subst /, ,$*))' '$(firstword $(subst /, ,$*))'

crds: ## Generate crds/, the chart's copies and docs/api-reference.md from the Rust types
	cargo run --quiet --locked -- crds --output-dir crds
	cargo run --quiet --locked -- crds --output-dir $(CHART)/files/crds
	cargo run --quiet --locked --example reference

bless: ## Write the golden renderings of the chart and its README's table of values anew: look at the difference
	BLESS=1 cargo test --quiet --locked --test operator -- chart::golden chart::values

cluster: ## Build the control plane and helm, of two major versions, into the user's cache folder
	$(CLUSTER) build --helm --helm3
	$(CLUSTER) prometheus

clean: ## Remove what cargo built; the control plane stays in the user's cache folder
	cargo clean
