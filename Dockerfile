# docker build -t REGISTRY/vaultsecret-operator:0.1.0 .
# No image is published: build this one and push it to a registry your cluster can pull from. Without docker or the like,
# `make image` makes one that holds the same program, linked statically.
#
# Both bases are named by tag, so that a build takes in what was mended in them. To have the same bytes again, name them
# by digest (docker buildx imagetools inspect IMAGE), and let a bot raise it; deploy the result by its digest
# (image.digest of the chart). The rest is fixed: Cargo.lock with its checksums, the folders, one codegen unit.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# `otel` for traces: docker build --build-arg FEATURES=otel .
ARG FEATURES=
RUN cargo build --release --locked --bin vaultsecret-operator --features "$FEATURES"

# Of the same Debian as above: glibc, libgcc, CA certificates and the user `nonroot`; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
# Root's, and nobody's to write. The root file system may be read-only: nothing is ever written to a file.
COPY --from=build --chown=0:0 --chmod=0555 /src/target/release/vaultsecret-operator /usr/local/bin/vaultsecret-operator
# By number, so that `runAsNonRoot` can be checked without a look into the image.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/vaultsecret-operator"]
CMD ["run"]
