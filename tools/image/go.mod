// Packs a static program into an image, without a container engine.
module vaultsecret-operator/image

go 1.26.0

// Mozilla's root certificates as Go ships them: fixed by go.sum, not whatever this machine trusts.

require golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d
