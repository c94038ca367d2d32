//! The `vaultsecret-operator` program.
fn main() {}
