//! Writes docs/api-reference.md. `make crds` runs this; a test says when it has to be.

mod page;

fn main() -> std::io::Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api-reference.md");
    std::fs::write(file, page::page())
}
