# docker build -t REGISTRY/vaultsecret-operator:0.1.0 .
# No image is published: build this one and push it to a registry your cluster can pull from.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin vaultsecret-operator

# glibc, CA certificates and the user `nonroot` (65532); no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/vaultsecret-operator /usr/local/bin/vaultsecret-operator
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/vaultsecret-operator"]
CMD ["run"]
