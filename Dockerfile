# docker build -t REGISTRY/vaultsecret-operator:0.1.0 .
# No image is published: build this one and push it to a registry your cluster can pull from. `make image` makes the
# same one without a container engine, but for the certificates: Mozilla's from a Go module, here from Debian.
#
# The base is named by tag, so that a build takes in what was mended in it. To have the same bytes again, name it by
# digest (docker buildx imagetools inspect IMAGE), and let a bot raise it; deploy the result by its digest (image.digest
# of the chart). The rest is fixed: Cargo.lock with its checksums, the folders, one codegen unit.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# `otel` for traces: docker build --build-arg FEATURES=otel .
ARG FEATURES=
# Linked statically, so that nothing else has to be in the image. `--target` keeps the flag from proc macros.
RUN target="$(uname -m)-unknown-linux-gnu" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --release --locked --bin vaultsecret-operator --features "$FEATURES" --target "$target" \
    && mv "target/$target/release/vaultsecret-operator" /vaultsecret-operator

# No shell, no package manager, no library.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Root's, and nobody's to write. The root file system may be read-only: nothing is ever written to a file.
COPY --from=build --chown=0:0 --chmod=0555 /vaultsecret-operator /usr/local/bin/vaultsecret-operator
# By number, so that `runAsNonRoot` can be checked without a look into the image.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/vaultsecret-operator"]
CMD ["run"]
